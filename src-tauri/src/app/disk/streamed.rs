//! A check that is listened to while it goes on. It runs in the foreground of a connection: looking
//! changes nothing, and a repair that breaks off goes on from what is on the disk.

use tandem_domain::node::disk::{CheckReceipt, CheckRequest};
use tandem_domain::node::{NodeEvent, NodeLine, NodeRequest, NodeWork, PROGRAM};
use tandem_domain::ports::{Command, MachineError, NodePrograms as _, Output, Station};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tokio_util::sync::CancellationToken;

use super::super::new_id;
use super::super::world::World;
use crate::wire::disk::CheckEvent;

/// What a program said before it ended.
enum Said {
    /// The work's last line.
    End(NodeEvent),
    /// Not a line of a job: there is no program there, or one that does not know this work.
    Nothing(Output),
}

/// Runs the check with the installed program, or with a copy where that does not know it.
pub(super) async fn check(
    world: &World,
    station: &Station,
    request: CheckRequest,
    token: Option<Secret>,
    cancel: &CancellationToken,
    hear: &mut (dyn FnMut(CheckEvent) + Send),
) -> Result<CheckReceipt, Problem> {
    let on = |e: MachineError| e.problem(&station.name);
    let request = NodeRequest {
        token: token.map(|t| t.reveal().to_owned()),
        work: NodeWork::Check(request),
    };
    let stdin = serde_json::to_vec(&request).expect("a request is plain data");
    let mut end = run(station, PROGRAM, &stdin, cancel, hear).await?;
    if let Said::Nothing(_) = &end {
        let arch = station.machine.exec(&Command::new("uname", ["-m"])).await;
        let arch = arch.map_err(on)?.text().trim().to_owned();
        let build = world.programs.build(&arch).ok_or_else(|| {
            Problem::new(Code::NodeProgram, "The model was not checked.")
                .cause(format!("There is no helper for `{arch}` with this Tandem."))
                .on(station.name.clone())
        })?;
        let folder = format!("/tmp/tandem-check-{}", new_id());
        let path = format!("{folder}/tandem-node");
        station
            .machine
            .upload(&build.path, &path, 0o700, &mut |_| {})
            .await
            .map_err(on)?;
        let ran = run(station, &path, &stdin, cancel, hear).await;
        let remove = Command::new("rm", ["-rf", &folder]);
        station.machine.exec(&remove).await.map_err(on)?;
        end = ran?;
    }
    match end {
        Said::End(NodeEvent::Done { result }) => serde_json::from_value(result)
            .map_err(|e| not_understood(station).detail(e.to_string())),
        Said::End(NodeEvent::Failed { problem }) => Err(problem.on(station.name.clone())),
        Said::End(NodeEvent::Cancelled) => Err(stopped(station)),
        Said::End(_) => Err(not_understood(station)),
        Said::Nothing(output) => Err(not_understood(station).cause(format!(
            "It ended with {}: {}",
            output.status,
            output.error_text()
        ))),
    }
}

async fn run(
    station: &Station,
    program: &str,
    stdin: &[u8],
    cancel: &CancellationToken,
    hear: &mut (dyn FnMut(CheckEvent) + Send),
) -> Result<Said, Problem> {
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
    Ok(end.map_or(Said::Nothing(output), Said::End))
}

fn stopped(station: &Station) -> Problem {
    Problem::new(Code::TimedOut, "The check was stopped.")
        .severity(tandem_domain::problem::Severity::Notice)
        .on(station.name.clone())
}

fn not_understood(station: &Station) -> Problem {
    Problem::new(
        Code::NodeProgram,
        "The node program's answer was not understood.",
    )
    .on(station.name.clone())
}
