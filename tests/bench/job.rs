//! A job of the node program as the app runs it: started detached, followed, watched from outside.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use tandem_domain::node::{NodeEvent, NodeWork};
use tandem_domain::secret::Secret;
use tandem_tests::Place;

use crate::Failure;

/// How often a worker is looked at. Its peak is kept by the kernel, so only what it grows by in its
/// very last moments can be missed.
const LOOK: Duration = Duration::from_millis(5);

/// A job under way.
pub(crate) struct Job<'a> {
    place: &'a Place<'a>,
    name: String,
    pid: i32,
    began: Instant,
}

/// How a job went.
pub(crate) struct Ended {
    name: String,
    /// Its last event.
    pub(crate) event: NodeEvent,
    /// From before it was started until its end was heard of.
    pub(crate) took: Duration,
    /// The most memory its worker ever held, in KiB.
    pub(crate) peak_kib: u64,
}

impl Ended {
    /// The receipt of a job that is done.
    pub(crate) fn receipt<T: DeserializeOwned>(self) -> Result<T, Failure> {
        match self.event {
            NodeEvent::Done { result } => Ok(serde_json::from_value(result)?),
            NodeEvent::Failed { problem } => {
                let details = problem.details.join("\n");
                Err(format!("{} failed: {problem}\n{details}", self.name).into())
            }
            other => Err(format!("{} ended as {other:?}", self.name).into()),
        }
    }
}

impl<'a> Job<'a> {
    /// Starts it, or goes on with what a killed one left.
    pub(crate) async fn start(
        place: &'a Place<'a>,
        name: &str,
        work: NodeWork,
    ) -> Result<Self, Failure> {
        Self::start_with(place, name, work, None).await
    }

    /// The same with a secret.
    pub(crate) async fn start_with(
        place: &'a Place<'a>,
        name: &str,
        work: NodeWork,
        secret: Option<&Secret>,
    ) -> Result<Self, Failure> {
        let began = Instant::now();
        let state = place.start(name, work, secret).await??;
        let Some(pid) = worker(name)? else {
            let said = place.follow(name, 0).await?;
            let last = said.last().map(|l| &l.event);
            return Err(format!("no process works on {name}: {state:?}, and then {last:?}").into());
        };
        Ok(Self {
            place,
            name: name.to_owned(),
            pid,
            began,
        })
    }

    /// Follows it to its end.
    pub(crate) async fn end(&self) -> Result<Ended, Failure> {
        let follow = async {
            let mut lines = self.place.follow(&self.name, 0).await?;
            let line = lines.pop().ok_or("`follow` says nothing")?;
            Ok::<_, Failure>((line.event, self.began.elapsed()))
        };
        let watch = async {
            let mut peak = 0;
            while let Some(now) = peak_kib(self.pid) {
                peak = peak.max(now);
                tokio::time::sleep(LOOK).await;
            }
            peak
        };
        let (followed, peak_kib) = tokio::join!(follow, watch);
        let (event, took) = followed?;
        if peak_kib == 0 {
            return Err("the worker ended before its memory could be looked at".into());
        }
        Ok(Ended {
            name: self.name.clone(),
            event,
            took,
            peak_kib,
        })
    }

    /// Ends its worker with SIGKILL as soon as `due` says so, and waits until it is gone. Gives back its
    /// peak until then.
    pub(crate) async fn kill_when(&self, due: impl Fn() -> bool) -> Result<u64, Failure> {
        let mut peak = 0;
        while !due() {
            peak = peak_kib(self.pid)
                .ok_or("the job ended before it was to be killed")?
                .max(peak);
            tokio::time::sleep(LOOK).await;
        }
        let pid = Pid::from_raw(self.pid).ok_or("a process has a number")?;
        kill_process(pid, Signal::KILL)?;
        while !ended(self.pid) {
            tokio::time::sleep(LOOK).await;
        }
        Ok(peak)
    }

    /// Takes back what it made.
    pub(crate) async fn undo(&self) -> Result<(), Failure> {
        let undone = self
            .place
            .answer(&["undo", "--job", &self.name], "")
            .await?;
        match undone["left"].as_array() {
            Some(left) if left.is_empty() => Ok(()),
            _ => Err(format!("not all was taken back: {undone}").into()),
        }
    }
}

impl Drop for Job<'_> {
    /// A measurement that broke off leaves no worker behind.
    fn drop(&mut self) {
        if worker(&self.name).is_ok_and(|pid| pid == Some(self.pid))
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may have ended by itself in between, which is what is wanted.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The process on this box that works on a job; a machine of the lab has its processes here too.
fn worker(job: &str) -> Result<Option<i32>, Failure> {
    let arguments = format!("\0work\0--job\0{job}\0");
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        // Programs that start it name the same words; the worker is the one that begins with itself. One that
        // was handed a secret has the place of it behind.
        let line = String::from_utf8_lossy(&line);
        if line.contains(&arguments) && line.split('\0').nth(1) == Some("work") {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// Whether a process is gone, or nothing of it is left but its number. One that was killed gives up its
/// memory a moment before that, and would still be taken for the job's worker.
fn ended(pid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = text
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.chars().nth(1));
    matches!(state, None | Some('Z' | 'X'))
}

/// The most memory a process ever held; `None` when it has ended.
fn peak_kib(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
