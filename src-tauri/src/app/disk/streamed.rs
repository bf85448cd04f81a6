//! A check that is listened to while it goes on. It runs in the foreground of a connection: looking
//! changes nothing, and a repair that breaks off goes on from what is on the disk.

use tandem_domain::node::disk::{CheckReceipt, CheckRequest};
use tandem_domain::node::{NodeEvent, NodeLine, NodeRequest, NodeWork, PROGRAM};
use tandem_domain::ports::{Command, Output, Station};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tokio_util::sync::CancellationToken;

use super::super::visit::{no_answer, not_understood};
use super::super::world::World;
use crate::wire::disk::CheckEvent;

/// Runs the check with the installed program, or with a copy where that does not know it.
pub(super) async fn check(
    world: &World,
    station: &Station,
    request: CheckRequest,
    token: Option<Secret>,
    cancel: &CancellationToken,
    hear: &mut (dyn FnMut(CheckEvent) + Send),
) -> Result<CheckReceipt, Problem> {
    let request = NodeRequest {
        token: token.map(|t| t.reveal().to_owned()),
        work: NodeWork::Check(request),
    };
    let stdin = serde_json::to_vec(&request).expect("a request is plain data");
    let mut end = run(station, PROGRAM, &stdin, cancel, hear).await?;
    if end.is_err() {
        let copy = world.copy_of_program(station).await?;
        let ran = run(station, &copy.path, &stdin, cancel, hear).await;
        copy.remove(station).await?;
        end = ran?;
    }
    match end.map_err(|output| no_answer(station, &output))? {
        NodeEvent::Done { result } => serde_json::from_value(result)
            .map_err(|e| not_understood(station).detail(e.to_string())),
        NodeEvent::Failed { problem } => Err(problem.on(station.name.clone())),
        NodeEvent::Cancelled => Err(stopped(station)),
        _ => Err(not_understood(station)),
    }
}

/// The work's last line, or what was said where no line of a job came.
async fn run(
    station: &Station,
    program: &str,
    stdin: &[u8],
    cancel: &CancellationToken,
    hear: &mut (dyn FnMut(CheckEvent) + Send),
) -> Result<Result<NodeEvent, Output>, Problem> {
    let command = Command::new(program, ["run", "check"])
        .stdin(stdin)
        .timeout(None);
    let mut end = None;
    let mut on_line = |line: &str| match serde_json::from_str::<NodeLine>(line).map(|l| l.event) {
        Ok(NodeEvent::Progress {
            done,
            total,
            rate,
            doing,
            ..
        }) => hear(CheckEvent::Progress {
            done,
            total,
            rate,
            doing,
        }),
        Ok(NodeEvent::Note { text }) => hear(CheckEvent::Note { text }),
        Ok(last) => end = Some(last),
        Err(_) => {}
    };
    let output = tokio::select! {
        // Letting go of the command ends it on the machine.
        () = cancel.cancelled() => return Err(stopped(station)),
        output = station.machine.lines(&command, &mut on_line) => output,
    };
    let output = output.map_err(|e| e.problem(&station.name))?;
    Ok(end.ok_or(output))
}

fn stopped(station: &Station) -> Problem {
    Problem::new(Code::TimedOut, "The check was stopped.")
        .severity(tandem_domain::problem::Severity::Notice)
        .on(station.name.clone())
}
