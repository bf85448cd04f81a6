//! Doing the same on every machine at once.

use futures::future::BoxFuture;

use crate::ports::{Command, Machine, MachineError, MachineServices, Output};
use crate::problem::{Code, Problem};
use crate::run::{StepCheck, StepError};
use crate::step::stored::{stored, value};

/// Runs an act on every machine at the same time and waits for all of them, so that none is left in
/// the middle when another fails. Gives back the results in the machines' order, or the first error.
pub(crate) async fn on_all<'a, T: Send + 'a>(
    machines: &'a [MachineServices],
    act: impl Fn(usize, &'a MachineServices) -> BoxFuture<'a, Result<T, StepError>>,
) -> Result<Vec<T>, StepError> {
    let acts = machines
        .iter()
        .enumerate()
        .map(|(i, machine)| act(i, machine));
    futures::future::join_all(acts).await.into_iter().collect()
}

/// Takes back on every machine at the same time what the step found missing there: `act` gets what was
/// written down about the machine before. A machine that nothing was written down about is left alone.
pub(crate) async fn undo_on_all<'a, B: serde::de::DeserializeOwned>(
    machines: &'a [MachineServices],
    before: &serde_json::Value,
    act: impl Fn(B, &'a MachineServices) -> BoxFuture<'a, Result<(), StepError>>,
) -> Result<(), StepError> {
    let before: Vec<B> = stored(before)?;
    let acts = before
        .into_iter()
        .zip(machines)
        .map(|(was, machine)| act(was, machine));
    let ends: Vec<Result<(), StepError>> = futures::future::join_all(acts).await;
    ends.into_iter().collect()
}

/// Nothing to do, in these words, or work to do on machines that are as `before` says.
pub(crate) fn found<B: serde::Serialize>(done: bool, words: &str, before: &B) -> StepCheck {
    if done {
        StepCheck::AlreadyDone {
            found: words.to_owned(),
            receipt: serde_json::Value::Null,
        }
    } else {
        StepCheck::Needed {
            before: value(before),
        }
    }
}

/// Names the machine that did not do what it was asked.
pub(crate) fn failed_on(
    machine: &MachineServices,
) -> impl Fn(MachineError) -> StepError + Copy + '_ {
    |error| StepError::Machine {
        machine: machine.name.clone(),
        error,
    }
}

/// Runs a command and takes any end but 0 as a failure that `what` names.
pub(crate) async fn must(
    machine: &MachineServices,
    command: &Command,
    code: Code,
    what: &str,
) -> Result<Output, StepError> {
    let output = machine
        .shell
        .exec(command)
        .await
        .map_err(failed_on(machine))?;
    if output.ok() {
        return Ok(output);
    }
    let stderr = output.error_text();
    let words = if stderr.is_empty() {
        output.text().trim().to_owned()
    } else {
        stderr
    };
    let last = words
        .lines()
        .last()
        .unwrap_or("it said nothing")
        .trim_end_matches('.')
        .to_owned();
    Err(Problem::new(code, what)
        .cause(format!(
            "`{}` ended with {}: {last}.",
            command.program, output.status
        ))
        .on(machine.name.clone())
        .detail(words)
        .into())
}

/// The user's home folder there, absolute.
pub(crate) async fn home(machine: &MachineServices) -> Result<String, StepError> {
    let command = Command::new("sh", ["-c", "printf %s \"$HOME\""]);
    let output = must(
        machine,
        &command,
        Code::NodeProgram,
        "The home folder was not found.",
    )
    .await?;
    Ok(output.text().trim_end_matches('/').to_owned())
}

/// Whether a path exists there.
pub(crate) async fn exists(machine: &dyn Machine, path: &str) -> Result<bool, MachineError> {
    Ok(machine
        .exec(&Command::new("test", ["-e", path]))
        .await?
        .ok())
}
