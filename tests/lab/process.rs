//! The processes of a machine, as the box sees them, and running something in it as root.

use crate::error::{Context as _, LabError};
use crate::host::{Output, ask};
use crate::machine::Spark;

/// The process on the box that is the machine's first one.
pub(crate) async fn leader(spark: Spark) -> Result<u32, LabError> {
    for pid in pids(spark).await? {
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        // Its id in its own namespace is 1; a container's first process has a third id.
        let ids: Vec<_> = status
            .lines()
            .find_map(|l| l.strip_prefix("NSpid:"))
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        if ids.len() == 2 && ids[1] == "1" {
            return pid.parse().context(|| format!("`{pid}` is no process id"));
        }
    }
    Err(LabError::new(
        format!("{} is not running", spark.name()),
        "no process of it was found",
    ))
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
