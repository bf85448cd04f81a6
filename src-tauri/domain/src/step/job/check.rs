//! A check of a revision on a machine's disk, and its repair, as a job of its own: it goes on while the
//! laptop sleeps, is found again by the next start of the app, and is listened to meanwhile.
//!
//! There is one at a time on a machine, under one name, so that nobody has to remember which. Once its end
//! was heard it is forgotten; until then the machine keeps it. Where the installed program does not know the
//! work, or none is installed, a copy does it from a folder of its own, which goes with the job.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::node::disk::{CheckReceipt, CheckRequest};
use crate::node::{JobAsked, JobStanding, JobState, NodeEvent, NodeRequest, NodeWork};
use crate::node::{PROGRAM, Refusal, Refused};
use crate::ports::{Clock, Command, MachineError, MachineServices, Output};
use crate::problem::{Code, Problem, Retry, Severity};
use crate::run::StepError;
use crate::secret::Secret;
use crate::step::job::{FollowEnd, answer, is_passing, listen};
use crate::step::program::SendProgram;

/// The name of the one check of a machine.
const JOB: &str = "disk-check";
/// Where a copy of the program is as long as a check needs one.
const COPY: &str = "~/.local/share/tandem/disk-check/tandem-node";
/// Removes the copy, and the folders that it alone needed.
const REMOVE: &str = "cd \"$HOME/.local/share\" 2>/dev/null || exit 0; rm -rf tandem/disk-check; rmdir tandem 2>/dev/null; exit 0";
/// How often a machine that does not answer is asked again before somebody is told: for a quarter of an hour.
const TRIES: u32 = 60;

/// The check of a machine that goes on, or has ended and nobody has heard how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it was asked to do.
    pub request: CheckRequest,
    /// Whether it goes on.
    pub alive: bool,
    /// The program that knows it.
    program: &'static str,
}

/// What is heard of a check.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckNews {
    /// It came further.
    Progress {
        /// Bytes done.
        done: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
        /// Bytes per second over the last seconds.
        rate: Option<f64>,
        /// What is being done.
        doing: String,
    },
    /// Something worth knowing.
    Note(String),
    /// The machine does not answer now; the check goes on there.
    Away,
}

/// Looks whether there is one. Changes nothing.
pub async fn find(machine: &MachineServices) -> Result<Option<Kept>, Problem> {
    for program in [PROGRAM, COPY] {
        let output = ask(machine, program, &["asked"], Vec::new()).await?;
        if let Ok(asked) = serde_json::from_slice::<JobAsked>(&output.stdout) {
            let alive = asked.state.state == JobStanding::Running;
            return Ok(match asked.work {
                NodeWork::Check(request) => Some(Kept {
                    request,
                    alive,
                    program,
                }),
                _ => None,
            });
        }
        // Both look into the same folder, so one that knows the question knows the answer.
        if refusal(&output).is_some_and(|p| Refusal::of(&p) == Refusal::NoJob) {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Begins a check, or finds the same one that goes on already. Another one that goes on is a problem with
/// the code [`Code::Locked`]; one that has ended makes room.
pub async fn begin(
    machine: &MachineServices,
    request: &CheckRequest,
    token: Option<Secret>,
) -> Result<Kept, Problem> {
    if let Some(kept) = find(machine).await? {
        if kept.alive && kept.request == *request {
            return Ok(kept);
        }
        if kept.alive {
            return Err(Problem::new(Code::Locked, "The check was not begun.")
                .cause("Another check goes on there.")
                .fix("Stop it or wait for its end.")
                .on(machine.name.clone()));
        }
        forget(machine, &kept).await?;
    }
    let work = NodeRequest {
        token: token.map(|t| t.reveal().to_owned()),
        work: NodeWork::Check(request.clone()),
    };
    let stdin = serde_json::to_vec(&work).expect("a request is plain data");
    let kept = |program| Kept {
        request: request.clone(),
        alive: true,
        program,
    };
    let output = ask(machine, PROGRAM, &["start", "check"], stdin.clone()).await?;
    if serde_json::from_slice::<JobState>(&output.stdout).is_ok() {
        return Ok(kept(PROGRAM));
    }
    // What it understood and refused stays refused.
    if let Some(problem) = refusal(&output).filter(|p| Refusal::of(p) != Refusal::NotUnderstood) {
        return Err(problem.on(machine.name.clone()));
    }
    let build = SendProgram::build(machine).await.map_err(problem_of)?;
    machine
        .shell
        .upload(&build.path, COPY, 0o700, &mut |_| {})
        .await
        .map_err(|e| e.problem(&machine.name))?;
    let output = ask(machine, COPY, &["start", "check"], stdin).await?;
    let begun = answer::<JobState>(machine, &output).map_err(problem_of);
    if begun.is_err() {
        remove_copy(machine).await?;
    }
    match refusal(&output) {
        Some(problem) => Err(problem.on(machine.name.clone())),
        None => begun.map(|_| kept(COPY)),
    }
}

/// Listens until it ends, over lost connections too, and has it forgotten then. Cancelled, it is stopped on
/// the machine, and what a repair fetched stays for the next one; dropped, it goes on.
pub async fn follow(
    machine: &MachineServices,
    kept: &Kept,
    clock: &Arc<dyn Clock>,
    cancel: &CancellationToken,
    on_news: &mut (dyn FnMut(CheckNews) + Send),
) -> Result<CheckReceipt, Problem> {
    let mut after = 0;
    let mut tries = 0;
    let end = loop {
        let before = after;
        let mut on_event = |event| match event {
            NodeEvent::Progress {
                done,
                total,
                rate,
                doing,
                ..
            } => on_news(CheckNews::Progress {
                done,
                total,
                rate,
                doing,
            }),
            NodeEvent::Note { text } => on_news(CheckNews::Note(text)),
            _ => {}
        };
        let heard = listen(
            machine,
            kept.program,
            JOB,
            &mut after,
            cancel,
            &mut on_event,
        )
        .await;
        if after > before {
            tries = 0;
        }
        match heard {
            FollowEnd::Last(end) => break end,
            // Forgetting it ends it.
            FollowEnd::Cancelled => break NodeEvent::Cancelled,
            FollowEnd::Broke(Ok(output)) if output.ok() => break NodeEvent::Lost,
            FollowEnd::Broke(Ok(output)) => {
                let problem = refusal(&output).unwrap_or_else(|| not_understood(&output));
                return Err(problem.on(machine.name.clone()));
            }
            FollowEnd::Broke(Err(e)) if is_passing(&e) && tries < TRIES => {
                tries += 1;
                on_news(CheckNews::Away);
                let pause = clock.wait(Duration::from_secs(u64::from(tries.min(15))));
                let cancelled = cancel.cancelled();
                futures::pin_mut!(cancelled);
                futures::future::select(pause, cancelled).await;
            }
            FollowEnd::Broke(Err(e)) => return Err(away(machine, &e)),
        }
    };
    forget(machine, kept).await?;
    let name = machine.name.clone();
    match end {
        NodeEvent::Done { result } => serde_json::from_value(result).map_err(|e| {
            Problem::new(
                Code::NodeProgram,
                "Tandem did not understand the node program's result.",
            )
            .cause(format!("{e}."))
            .on(name)
        }),
        NodeEvent::Failed { problem } => Err(problem.on(name)),
        NodeEvent::Cancelled => Err(stopped(&name)),
        _ => Err(
            Problem::new(Code::JobLost, "The check ended without a result.")
                .cause("The machine was restarted, or something ended the program there.")
                .fix("Check again; what a repair fetched is kept.")
                .retry(Retry::Now)
                .on(name),
        ),
    }
}

/// The problem of a check on a machine that somebody stopped.
pub fn stopped(machine: &str) -> Problem {
    Problem::new(Code::TimedOut, "The check was stopped.")
        .severity(Severity::Notice)
        .on(machine)
}

/// Ends a check where it goes on still, and lets go of it, with the copy of the program that it needed.
async fn forget(machine: &MachineServices, kept: &Kept) -> Result<(), Problem> {
    let output = ask(machine, kept.program, &["undo"], Vec::new()).await?;
    if let Some(problem) = refusal(&output) {
        return Err(problem.on(machine.name.clone()));
    }
    // A set-up may have installed the program meanwhile, so the copy is looked for in any case.
    remove_copy(machine).await
}

async fn remove_copy(machine: &MachineServices) -> Result<(), Problem> {
    let remove = Command::new("sh", ["-c", REMOVE]);
    let removed = machine.shell.exec(&remove).await;
    removed.map(drop).map_err(|e| e.problem(&machine.name))
}

/// Asks a program about the one job.
async fn ask(
    machine: &MachineServices,
    program: &str,
    words: &[&str],
    stdin: Vec<u8>,
) -> Result<Output, Problem> {
    let words = words.iter().chain(&["--job", JOB]).copied();
    let command = Command::new(program, words).stdin(stdin);
    let output = machine.shell.exec(&command).await;
    output.map_err(|e| e.problem(&machine.name))
}

fn refusal(output: &Output) -> Option<Problem> {
    let refused = serde_json::from_slice::<Refused>(&output.stdout);
    refused.ok().map(|r| r.problem)
}

fn not_understood(output: &Output) -> Problem {
    Problem::new(Code::NodeProgram, "Tandem could not follow the check.").cause(format!(
        "The node program ended with {}: {}.",
        output.status,
        output.error_text()
    ))
}

fn away(machine: &MachineServices, error: &MachineError) -> Problem {
    let problem = error.problem(&machine.name);
    problem.fix("The check goes on there. Look at the disk anew once the machine answers.")
}

fn problem_of(error: StepError) -> Problem {
    let stopped = || Problem::new(Code::TimedOut, "It was stopped.");
    error.into_problem().unwrap_or_else(stopped)
}
