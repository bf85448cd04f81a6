//! Passing on what containers print while something else decides how long.

use std::time::Duration;

use futures::future::{Either, join_all, select};

use crate::container::ContainerState;
use crate::ports::MachineServices;
use crate::run::ProgressPart;
use crate::step::services::StepContext;

/// What a line says of how far a machine is; `None` where it says nothing of that.
pub(crate) type ReadProgress<'a> = Box<dyn FnMut(&str) -> Option<ProgressPart> + Send + 'a>;

/// How long the last lines of a container that has ended may take to come.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What happens to the logs once `act` has an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The containers run on, and nobody follows them any more.
    Leave,
    /// The containers have ended, and their last lines are read.
    ReadOut,
}

/// Awaits `act`, and meanwhile logs every line of the container of this name on every machine and shows
/// the progress that `read` finds in it. A log that cannot be followed costs the progress and nothing else.
pub(crate) async fn while_followed<'a, T>(
    cx: &'a StepContext,
    container: &'a str,
    read: impl Fn(&'a MachineServices) -> ReadProgress<'a>,
    act: impl Future<Output = T>,
    then: Then,
) -> T {
    let follows = cx.machines.iter().map(|machine| {
        let mut reading = read(machine);
        async move {
            let mut on_line = |line: &str| {
                cx.log(Some(&machine.name), line);
                if let Some(progress) = reading(line) {
                    cx.progress(progress);
                }
            };
            if let Err(e) = machine.containers.follow(container, &mut on_line).await {
                cx.log(
                    Some(&machine.name),
                    format!("The log is not followed any more: {e}."),
                );
            }
        }
    });
    let follows = join_all(follows);
    futures::pin_mut!(act, follows);
    match select(act, follows).await {
        Either::Left((result, follows)) => {
            if then == Then::ReadOut {
                select(follows, cx.clock.wait(LAST_LINES)).await;
            }
            result
        }
        Either::Right((_, act)) => act.await,
    }
}

/// Why a container does not run any more, as the beginning of a sentence; `None` while it runs.
pub(crate) fn ended(state: Option<&ContainerState>, on: &str) -> Option<String> {
    match state {
        Some(state) if state.running => None,
        Some(state) if state.oom_killed => {
            Some(format!("The kernel ended it on {on} for want of memory"))
        }
        Some(state) => Some(format!(
            "It ended on {on} with {}",
            state.exit_code.unwrap_or(-1)
        )),
        None => Some(format!("Its container on {on} is gone")),
    }
}
