//! The processes of a machine, as the box sees them, and running something in it as root.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

use crate::error::LabError;
use crate::host::{Output, ask};
use crate::spark::Spark;

/// The first processes that were found last. To find one, every process of the box is looked at, and tests
/// that wait for a condition ask a machine many times a second.
static FOUND: Mutex<BTreeMap<Spark, u32>> = Mutex::new(BTreeMap::new());

/// The process on the box that is the machine's first one.
pub(crate) async fn leader(spark: Spark) -> Result<u32, LabError> {
    let found = || FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let last = found().get(&spark).copied();
    if let Some(pid) = last
        && is_in_network(pid, spark)
        && is_first(pid)
    {
        return Ok(pid);
    }
    for pid in pids(spark).await? {
        if let Some(pid) = pid.parse().ok().filter(|pid| is_first(*pid)) {
            found().insert(spark, pid);
            return Ok(pid);
        }
    }
    Err(LabError::new(
        format!("{} is not running", spark.name()),
        "no process of it was found",
    ))
}

/// Whether a process is the first one of a machine: its id in its own namespace is 1, and a container's first
/// process has a third id.
fn is_first(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let ids = status.lines().find_map(|l| l.strip_prefix("NSpid:"));
    let ids: Vec<_> = ids.unwrap_or_default().split_whitespace().collect();
    ids.len() == 2 && ids[1] == "1"
}

fn is_in_network(pid: u32, spark: Spark) -> bool {
    let number = |path: String| std::fs::metadata(path).ok().map(|about| about.ino());
    let own = number(format!("/proc/{pid}/ns/net"));
    own.is_some() && own == number(format!("/run/netns/{}", spark.namespace()))
}

/// All processes that are in its network.
pub(crate) async fn pids(spark: Spark) -> Result<Vec<String>, LabError> {
    let said = ask(&["ip", "netns", "pids", spark.namespace()], b"").await?;
    Ok(said.stdout.split_whitespace().map(str::to_owned).collect())
}

/// Runs a program in it as root, with `input` on stdin; any status is an answer.
pub(crate) async fn exec(spark: Spark, argv: &[&str], input: &[u8]) -> Result<Output, LabError> {
    let leader = leader(spark).await?.to_string();
    let mut line = vec![
        "nsenter",
        "-t",
        &leader,
        "-m",
        "-u",
        "-i",
        "-n",
        "-p",
        "-C",
        "--",
        "env",
        "-i",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "LANG=C.UTF-8",
    ];
    line.extend(argv);
    ask(&line, input).await
}

/// The processes that this one started.
pub(crate) fn children(pid: &str) -> Vec<String> {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// Ends a process by its id if its command line still names what it was started for.
pub(crate) fn end_process(pid: &str, mark: &str) {
    let Some(id) = pid
        .trim()
        .parse()
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    else {
        return;
    };
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim())).unwrap_or_default();
    if String::from_utf8_lossy(&line).contains(mark) {
        // It may have ended by itself in between, which is what is wanted.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
    }
}
