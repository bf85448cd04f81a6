//! Long work on a machine: started detached under a name, followed, and found again after a lost
//! connection instead of being started twice.

pub mod check;
mod error;
pub mod limits;

pub(crate) use error::JobError;

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::node::{
    FetchLimits, JobAsked, JobStanding, JobState, NodeEvent, NodeLine, NodeRequest, NodeWork,
    PROGRAM, Refusal, Refused, Undone,
};
use crate::ports::{Command, MachineError, MachineServices, Output};
use crate::problem::{Code, Problem, Retry};
use crate::run::{ProgressPart, RunId, StepError, StepId};
use crate::secret::Secret;
use crate::step::machines::{failed_on, must};
use crate::step::services::StepContext;

/// How often a lost worker is started again, and a lost connection opened again, before it is a problem.
const ATTEMPTS: u32 = 3;

/// The name of a step's job: found again by a repeat of the same step of the same run.
pub(crate) fn name(cx: &StepContext) -> String {
    named(&cx.run, &cx.step)
}

/// The same without being in that step.
pub(crate) fn named(run: &RunId, step: &StepId) -> String {
    format!("{run}-{step}")
}

/// Carries one job through on one machine.
///
/// On cancel the worker is told to stop and what is on disk stays. On a lost connection it is
/// followed again from the last line; a worker that is gone (restart of the machine, `kill -9`) is
/// started again and goes on from what is on disk.
pub(crate) async fn run<T: DeserializeOwned>(
    cx: &StepContext,
    machine: &MachineServices,
    work: NodeWork,
) -> Result<T, JobError> {
    run_with(cx, machine, work, cx.services.hub_token.clone()).await
}

/// The same with another secret than the Hub's token.
pub(crate) async fn run_with<T: DeserializeOwned>(
    cx: &StepContext,
    machine: &MachineServices,
    work: NodeWork,
    secret: Option<Secret>,
) -> Result<T, JobError> {
    let job = name(cx);
    let mut request = NodeRequest {
        token: secret.map(|s| s.reveal().to_owned()),
        work,
    };
    let kind = request.work.kind();
    let mut after = 0;
    let mut lost = 0;
    loop {
        if let (Some(asked), Some(held)) = (request.work.fetches_mut(), cx.services.download.now())
        {
            asked.limits = held;
        }
        let limits = request.work.fetches().map(|r| r.limits.clone());
        let request = serde_json::to_vec(&request).expect("a request is plain data");
        let state = patiently(cx, machine, || async {
            let command =
                Command::new(PROGRAM, ["start", kind, "--job", &job]).stdin(request.clone());
            machine.shell.exec(&command).await
        })
        .await?;
        let state: JobState = answer(machine, &state)?;
        if state.state == JobStanding::Started {
            after = after.max(state.last_seq);
        }
        // What was changed while the start was on its way found no job there.
        if let Some(held) = cx
            .services
            .download
            .now()
            .filter(|h| Some(h) != limits.as_ref())
            && limits.is_some()
            && let Err(problem) = limit(machine, &job, &held).await
        {
            // Whoever changed it tells the machine too, and hears of it; the work itself goes on.
            cx.log(Some(&machine.name), problem.message);
        }
        match follow(cx, machine, &job, &mut after).await? {
            NodeEvent::Done { result } => {
                return serde_json::from_value(result).map_err(|e| {
                    let problem = Problem::new(
                        Code::NodeProgram,
                        "Tandem did not understand the node program's result.",
                    );
                    JobError::refused(problem.cause(format!("{e}.")), machine)
                });
            }
            NodeEvent::Failed { problem } => return Err(JobError::refused(problem, machine)),
            NodeEvent::Cancelled => return Err(JobError::Cancelled),
            NodeEvent::Lost if lost < ATTEMPTS => {
                lost += 1;
                cx.log(Some(&machine.name), "The work on the machine had ended without a word; it goes on from what is on disk.");
            }
            _ => {
                let problem = Problem::new(
                    Code::JobLost,
                    "The job on the machine ended without a result.",
                )
                .cause("It was started again several times and disappeared each time.")
                .fix("Look whether the machine restarts or runs out of memory, then resume.")
                .retry(Retry::Now)
                .on(machine.name.clone());
                return Err(JobError::Lost(Box::new(problem)));
            }
        }
    }
}

/// How one turn of listening ended.
pub(crate) enum FollowEnd {
    /// With the job's last line.
    Last(NodeEvent),
    /// Somebody cancelled; the job goes on.
    Cancelled,
    /// Without a last line.
    Broke(Result<Output, MachineError>),
}

/// Listens to a job over one connection, from the line after `after` on, which moves along.
pub(crate) async fn listen(
    machine: &MachineServices,
    program: &str,
    job: &str,
    after: &mut u64,
    cancel: &CancellationToken,
    on_event: &mut (dyn FnMut(NodeEvent) + Send),
) -> FollowEnd {
    let words = ["follow", "--job", job, "--after", &after.to_string()];
    let command = Command::new(program, words).timeout(None);
    let mut last = None;
    let mut on_line = |line: &str| {
        let Ok(line) = serde_json::from_str::<NodeLine>(line) else {
            return;
        };
        *after = line.seq.max(*after);
        if line.event.is_last() {
            last = Some(line.event);
        } else {
            on_event(line.event);
        }
    };
    let result = {
        let following = machine.shell.lines(&command, &mut on_line);
        let cancelled = cancel.cancelled();
        futures::pin_mut!(following, cancelled);
        match futures::future::select(following, cancelled).await {
            futures::future::Either::Left((result, _)) => result,
            futures::future::Either::Right(_) => return FollowEnd::Cancelled,
        }
    };
    match last {
        Some(end) => FollowEnd::Last(end),
        None => FollowEnd::Broke(result),
    }
}

/// Follows a job to its last line.
async fn follow(
    cx: &StepContext,
    machine: &MachineServices,
    job: &str,
    after: &mut u64,
) -> Result<NodeEvent, JobError> {
    let mut failures = 0;
    loop {
        let from = (*after + 1).to_string();
        let mut on_event = |event| tell(cx, machine, event);
        let result = match listen(machine, PROGRAM, job, after, &cx.cancel, &mut on_event).await {
            FollowEnd::Last(end) => return Ok(end),
            FollowEnd::Cancelled => {
                cancel(cx, machine, job).await;
                return Err(JobError::Cancelled);
            }
            FollowEnd::Broke(result) => result,
        };
        match result {
            Ok(output) if output.ok() => return Ok(NodeEvent::Lost),
            Ok(output) => {
                let problem = Problem::new(
                    Code::NodeProgram,
                    "Tandem could not follow the job on the machine.",
                )
                .cause(format!("From line {from} on: {}.", output.error_text()));
                return Err(JobError::refused(problem, machine));
            }
            Err(e) if is_passing(&e) && failures < ATTEMPTS => {
                failures += 1;
                cx.log(Some(&machine.name), format!("{e}; trying again."));
                wait(cx, failures).await?;
            }
            Err(e) => return Err(JobError::machine(e, machine)),
        }
    }
}

/// Holds a job's download to other limits, from within a second on. `false` where there is no such job:
/// its start brings them along.
pub(crate) async fn limit(
    machine: &MachineServices,
    job: &str,
    limits: &FetchLimits,
) -> Result<bool, Problem> {
    let stdin = serde_json::to_vec(limits).expect("limits are plain data");
    let command = Command::new(PROGRAM, ["limit", "--job", job]).stdin(stdin);
    let output = machine.shell.exec(&command).await;
    let output = output.map_err(|e| e.problem(&machine.name))?;
    if output.ok() {
        return Ok(true);
    }
    let refused = serde_json::from_slice::<Refused>(&output.stdout).map(|r| r.problem);
    match refused {
        Ok(problem) if Refusal::of(&problem) == Refusal::NoJob => Ok(false),
        Ok(problem) => Err(problem.on(machine.name.clone())),
        // The program itself is not there yet.
        Err(_) if output.status == 127 => Ok(false),
        Err(_) => Err(Problem::new(
            Code::NodeProgram,
            "The download did not take the new limits.",
        )
        .cause(format!(
            "The node program ended with {}: {}.",
            output.status,
            output.error_text()
        ))
        .retry(Retry::Now)
        .on(machine.name.clone())),
    }
}

/// What the step's job on this machine was last asked to do; `None` where there is none, or where it
/// cannot be told.
pub(crate) async fn asked(cx: &StepContext, machine: &MachineServices) -> Option<NodeWork> {
    let command = Command::new(PROGRAM, ["asked", "--job", &name(cx)]);
    let output = patiently(cx, machine, || machine.shell.exec(&command));
    let output = output.await.ok().filter(Output::ok)?;
    Some(answer::<JobAsked>(machine, &output).ok()?.work)
}

/// Ends what the step's job is at, where it is at anything else than `work`: a job does one thing at a
/// time, and goes on from what is on the disk.
pub(crate) async fn make_room(
    cx: &StepContext,
    machine: &MachineServices,
    begun: Option<&NodeWork>,
    work: &NodeWork,
) {
    let same = match (begun, work) {
        (Some(NodeWork::Fetch(_)), NodeWork::Fetch(_)) | (None, _) => true,
        (Some(NodeWork::Copy(begun)), NodeWork::Copy(work)) => begun.share == work.share,
        _ => false,
    };
    if !same {
        cancel(cx, machine, &name(cx)).await;
    }
}

/// Tells the worker to stop. What it wrote stays for a resume.
async fn cancel(cx: &StepContext, machine: &MachineServices, job: &str) {
    let result = machine
        .shell
        .exec(&Command::new(PROGRAM, ["cancel", "--job", job]))
        .await;
    if let Err(e) = result {
        cx.log(
            Some(&machine.name),
            format!("The work may still go on there: {e}."),
        );
    }
}

/// Removes exactly what the step's job made on this machine.
pub(crate) async fn undo(cx: &StepContext, machine: &MachineServices) -> Result<Undone, StepError> {
    let job = name(cx);
    let command =
        Command::new(PROGRAM, ["undo", "--job", &job]).timeout(Some(Duration::from_secs(600)));
    let what = "What the step wrote on the machine was not removed.";
    let output = must(machine, &command, Code::NodeProgram, what).await?;
    let undone: Undone = answer(machine, &output)?;
    for kept in &undone.kept {
        cx.log(Some(&machine.name), kept.clone());
    }
    if undone.left.is_empty() {
        return Ok(undone);
    }
    Err(Problem::new(
        Code::NodeProgram,
        "Some of what the step wrote could not be removed.",
    )
    .cause(undone.left.join(" "))
    .fix("Remove it by hand, then undo again.")
    .on(machine.name.clone())
    .into())
}

/// Shows what a work says while it goes on.
fn tell(cx: &StepContext, machine: &MachineServices, event: NodeEvent) {
    match event {
        NodeEvent::Progress {
            done,
            total,
            rate,
            doing,
            held,
        } => cx.progress(ProgressPart {
            machine: machine.name.clone(),
            done,
            total,
            unit: "bytes".into(),
            // The last seconds before it was held back say nothing of the time that is left.
            rate: rate.filter(|_| held.is_none()),
            doing,
            held,
        }),
        NodeEvent::Note { text } => cx.log(Some(&machine.name), text),
        _ => {}
    }
}

/// The command that has the node program do a work in the foreground, with the Hub's token on stdin.
pub(crate) fn in_foreground(cx: &StepContext, work: NodeWork) -> Command {
    let token = cx.services.hub_token.as_ref();
    let request = NodeRequest {
        token: token.map(|t| t.reveal().to_owned()),
        work,
    };
    let kind = request.work.kind();
    let request = serde_json::to_vec(&request).expect("a request is plain data");
    Command::new(PROGRAM, ["run", kind]).stdin(request)
}

/// Runs a short piece of the node program's work in the foreground.
pub(crate) async fn foreground<T: DeserializeOwned>(
    cx: &StepContext,
    machine: &MachineServices,
    work: NodeWork,
) -> Result<T, StepError> {
    let limit = Some(Duration::from_secs(300));
    heard(cx, machine, work, limit, &mut |_| {}).await
}

/// Runs work that leaves nothing behind in the foreground, however long it takes, with its progress. It ends with
/// the connection or the cancel, and begins with what is not done then.
pub(crate) async fn watched<T: DeserializeOwned>(
    cx: &StepContext,
    machine: &MachineServices,
    work: NodeWork,
) -> Result<T, StepError> {
    let mut on_event = |event| tell(cx, machine, event);
    cx.unless_cancelled(heard(cx, machine, work, None, &mut on_event))
        .await
}

async fn heard<T: DeserializeOwned>(
    cx: &StepContext,
    machine: &MachineServices,
    work: NodeWork,
    limit: Option<Duration>,
    on_event: &mut (dyn FnMut(NodeEvent) + Send),
) -> Result<T, StepError> {
    let command = in_foreground(cx, work).timeout(limit);
    let mut last = None;
    let mut on_line = |line: &str| {
        let Ok(line) = serde_json::from_str::<NodeLine>(line) else {
            return;
        };
        if line.event.is_last() {
            last = Some(line.event);
        } else {
            on_event(line.event);
        }
    };
    let output = machine
        .shell
        .lines(&command, &mut on_line)
        .await
        .map_err(failed_on(machine))?;
    match last {
        Some(NodeEvent::Done { result }) => serde_json::from_value(result).map_err(|e| {
            Problem::new(
                Code::NodeProgram,
                "Tandem did not understand the node program's result.",
            )
            .cause(format!("{e}."))
            .on(machine.name.clone())
            .into()
        }),
        Some(NodeEvent::Failed { problem }) => Err(problem.on(machine.name.clone()).into()),
        Some(NodeEvent::Cancelled) => Err(StepError::Cancelled),
        _ => Err(Problem::new(
            Code::NodeProgram,
            "The node program ended without a result.",
        )
        .cause(format!(
            "It ended with {}: {}.",
            output.status,
            output.error_text()
        ))
        .on(machine.name.clone())
        .into()),
    }
}

pub(crate) fn answer<T: DeserializeOwned>(
    machine: &MachineServices,
    output: &Output,
) -> Result<T, StepError> {
    let read = |line: &str| serde_json::from_str(line).ok();
    output.text().lines().rev().find_map(read).ok_or_else(|| {
        Problem::new(
            Code::NodeProgram,
            "The node program did not answer as it should.",
        )
        .cause(format!(
            "It ended with {}: {}.",
            output.status,
            output.error_text()
        ))
        .fix("Resume; the node program is copied again if it is not the right one.")
        .on(machine.name.clone())
        .into()
    })
}

/// Whether the same act may well succeed in a moment.
pub(crate) fn is_passing(error: &MachineError) -> bool {
    matches!(
        error,
        MachineError::Lost { .. }
            | MachineError::Unreachable { .. }
            | MachineError::TimedOut { .. }
    )
}

/// Repeats an act whose failure is likely to pass: a machine that restarts is gone for a minute or two.
async fn patiently<T, F: std::future::Future<Output = Result<T, MachineError>>>(
    cx: &StepContext,
    machine: &MachineServices,
    act: impl Fn() -> F,
) -> Result<T, JobError> {
    let mut failures = 0;
    loop {
        match act().await {
            Ok(done) => return Ok(done),
            Err(e) if is_passing(&e) && failures < 12 => {
                failures += 1;
                cx.log(Some(&machine.name), format!("{e}; trying again."));
                wait(cx, failures).await?;
            }
            Err(e) => return Err(JobError::machine(e, machine)),
        }
    }
}

/// Waits 1, 2, 4, … up to 15 s, or until cancelled.
async fn wait(cx: &StepContext, failures: u32) -> Result<(), JobError> {
    let seconds = (1u64 << failures.min(4).saturating_sub(1)).min(15);
    let pause = cx.clock.wait(Duration::from_secs(seconds));
    let waited = cx.unless_cancelled(async {
        pause.await;
        Ok(())
    });
    Ok(waited.await?)
}
