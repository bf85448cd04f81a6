//! Starting the two containers, hearing them out, and what came of it.

use std::time::Duration;

use super::explain::{self, Stop};
use super::{AllReduceTest, CONTAINER, LIMIT_SECONDS, PROGRAM, as_command};
use crate::container::ContainerSpec;
use crate::network::verdict::all_reduce::{AllReduce, AllReduceLog};
use crate::ports::{ContainerError, MachineServices};
use crate::run::{ProgressPart, StepError};
use crate::step::follow::{ReadProgress, Then, ended, while_followed};
use crate::step::machines::on_all;
use crate::step::services::StepContext;
use crate::step::{firewall, owned};

/// Longer than the program itself takes at most, for its start and a slow engine.
const PATIENCE: Duration = Duration::from_secs(LIMIT_SECONDS as u64 + 30);
const BETWEEN: Duration = Duration::from_millis(500);
/// Lines of a log that are read in the end; NCCL says some hundred.
const LINES: usize = 2000;

/// How it ended well.
#[derive(Debug)]
pub(super) enum AllReduceEnd {
    /// With numbers.
    Measured(AllReduce),
    /// The image cannot do it, for this reason.
    NoTorch(String),
}

impl AllReduceTest {
    /// Starts the containers and waits for both. What was started is the caller's to remove.
    pub(super) async fn run(
        &self,
        cx: &StepContext,
        specs: &[ContainerSpec],
    ) -> Result<AllReduceEnd, StepError> {
        // The second rank first, as with the server: it waits for the head.
        for (rank, (machine, spec)) in cx.machines.iter().zip(specs).enumerate().rev() {
            cx.safe_point()?;
            cx.log(Some(&machine.name), shown(spec));
            match firewall::start(cx, machine, &self.launch, rank, spec).await? {
                Ok(()) => {}
                Err(ContainerError::Refused { detail, .. }) if no_python(&detail) => {
                    return Ok(AllReduceEnd::NoTorch("it has no `python3`".into()));
                }
                Err(e) => return Err(e.problem(&machine.name, &machine.user).into()),
            }
        }
        let stop = cx.unless_cancelled(self.follow_to_the_end(cx)).await?;
        let logs = on_all(&cx.machines, |_, machine| {
            Box::pin(async move {
                let log = machine.containers.logs(CONTAINER, LINES).await;
                Ok(log.map_err(|e| e.problem(&machine.name, &machine.user))?)
            })
        });
        let logs = cx.unless_cancelled(logs).await?;
        if let (Stop::Ended, Some(all_reduce)) = (&stop, AllReduce::of(&logs)) {
            return Ok(AllReduceEnd::Measured(all_reduce));
        }
        let missing = logs.iter().flatten().find(|l| no_torch(l));
        if let Some(line) = missing {
            let why = line.trim().trim_end_matches('.');
            return Ok(AllReduceEnd::NoTorch(why.to_owned()));
        }
        Err(explain::nothing_came(cx, &self.plan, self.launch.master_port, &logs, &stop).into())
    }

    /// Passes on what both print until both have ended, one has failed, or time is up.
    async fn follow_to_the_end(&self, cx: &StepContext) -> Result<Stop, StepError> {
        let read = |machine| -> ReadProgress<'_> {
            let machine: &MachineServices = machine;
            let mut log = AllReduceLog::default();
            Box::new(move |line| {
                log.push(line).then(|| ProgressPart {
                    machine: machine.name.clone(),
                    done: log.sizes.len() as u64,
                    total: None,
                    unit: "measurements".into(),
                    rate: None,
                    doing: doing(&log).into(),
                    held: None,
                })
            })
        };
        while_followed(cx, CONTAINER, read, self.stop(cx), Then::ReadOut).await
    }

    async fn stop(&self, cx: &StepContext) -> Result<Stop, StepError> {
        let began = cx.clock.monotonic();
        loop {
            let standing = on_all(&cx.machines, |_, s| Box::pin(owned::find(s, CONTAINER))).await?;
            let mut running = false;
            for (machine, state) in cx.machines.iter().zip(standing) {
                if state
                    .as_ref()
                    .is_some_and(|s| !s.running && s.exit_code == Some(0))
                {
                    continue;
                }
                match ended(state.as_ref(), &format!("`{}`", machine.name)) {
                    Some(why) => return Ok(Stop::Failed(why)),
                    None => running = true,
                }
            }
            if !running {
                return Ok(Stop::Ended);
            }
            if cx.clock.monotonic().saturating_sub(began) >= PATIENCE {
                return Ok(Stop::TimedOut);
            }
            cx.clock.wait(BETWEEN).await;
        }
    }
}

/// The command as one would type it, without the program's text, which the plan shows.
fn shown(spec: &ContainerSpec) -> String {
    as_command(spec).replace(PROGRAM, "PROGRAM")
}

fn doing(log: &AllReduceLog) -> &'static str {
    if log.done {
        "measured"
    } else if log.met {
        "reducing"
    } else {
        "waiting for the other"
    }
}

fn no_python(detail: &str) -> bool {
    detail.contains("python3")
        && (detail.contains("executable file not found") || detail.contains("no such file"))
}

fn no_torch(line: &str) -> bool {
    line.contains("No module named 'torch'")
}
