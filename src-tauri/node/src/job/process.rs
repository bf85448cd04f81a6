//! A worker, told apart from a later process with the same number.

use std::path::Path;

use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

/// Who works on a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The process.
    pub pid: i32,
    /// When it started, in the kernel's ticks since boot.
    pub started: u64,
    /// Which boot that was.
    pub boot: String,
    /// The first line that is its own.
    pub first_seq: u64,
}

impl Worker {
    /// This process.
    pub fn this(first_seq: u64) -> Self {
        let pid = getpid().as_raw_nonzero().get();
        Self {
            pid,
            started: started(pid).unwrap_or(0),
            boot: boot(),
            first_seq,
        }
    }

    /// Whether the process still runs.
    pub fn is_alive(&self) -> bool {
        self.boot == boot() && started(self.pid) == Some(self.started)
    }

    /// Asks it to stop and tidy up.
    pub fn ask_to_end(&self) {
        self.send(Signal::TERM);
    }

    /// Ends it at once.
    pub fn kill(&self) {
        self.send(Signal::KILL);
    }

    fn send(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) {
            // It may have ended in between, which is what is wanted.
            let _ = kill_process(pid, signal);
        }
    }
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|t| t.trim().to_owned())
        .unwrap_or_default()
}

/// The start time of a process that runs; a zombie has ended.
fn started(pid: i32) -> Option<u64> {
    let text =
        std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    of_stat(&text)
}

/// The program's name may hold spaces and brackets, so fields are counted from the last bracket.
fn of_stat(text: &str) -> Option<u64> {
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_another_with_its_number_is_not() {
        let worker = Worker::this(1);
        assert!(worker.is_alive());
        let later = Worker {
            started: worker.started + 1,
            ..worker.clone()
        };
        assert!(!later.is_alive(), "the number was given again");
        let before = Worker {
            boot: "another".into(),
            ..worker
        };
        assert!(!before.is_alive(), "the machine restarted");
    }

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(of_stat(&format!("1 (a) b) c) {rest}")), Some(777));
        assert_eq!(
            of_stat(&format!("1 (a) {}", rest.replacen('S', "Z", 1))),
            None
        );
    }
}
