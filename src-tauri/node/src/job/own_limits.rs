//! What a worker may take of the machine. A Spark's memory is that of its GPU too: when it becomes short, a download
//! has to die before the model that serves.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the user's service manager starts it. The cached pages of its files count as memory, and the kernel gives
/// them back before it refuses.
pub(super) const UNIT: [&str; 2] = ["MemoryMax=256M", "TasksMax=128"];

/// Addresses, in bytes. What is really used stays below 64 MiB; stacks of threads and room that the allocator
/// reserves are the rest.
const ADDRESSES: u64 = 2 << 30;
/// How much sooner than others it is ended when memory runs out, of 1000.
const SOONER: &str = "500";

/// Sets the limits for this process. One that cannot be set is none: the work itself keeps below them.
pub fn set() {
    let _ = std::fs::write("/proc/self/oom_score_adj", SOONER);
    let now = getrlimit(Resource::As);
    let most = now.maximum.map_or(ADDRESSES, |most| most.min(ADDRESSES));
    let current = now.current.map_or(most, |current| current.min(most));
    let _ = setrlimit(
        Resource::As,
        Rlimit {
            current: Some(current),
            maximum: now.maximum,
        },
    );
}
