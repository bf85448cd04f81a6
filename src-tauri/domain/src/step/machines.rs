//! Doing the same on every machine at once.

use futures::future::BoxFuture;

use crate::ports::{Command, Machine, MachineError, Output, Station};
use crate::problem::{Code, Problem};
use crate::run::{Found, StepError};

/// Runs an act on every machine at the same time and waits for all of them, so that none is left in
/// the middle when another fails. Gives back the results in the machines' order, or the first error.
pub(crate) async fn on_all<'a, T: Send + 'a>(
    stations: &'a [Station],
    act: impl Fn(usize, &'a Station) -> BoxFuture<'a, Result<T, StepError>>,
) -> Result<Vec<T>, StepError> {
    let acts = stations
        .iter()
        .enumerate()
        .map(|(i, station)| act(i, station));
    futures::future::join_all(acts).await.into_iter().collect()
}

/// Takes back on every machine at the same time what the step found missing there: `act` gets what was
/// written down about the machine before. A machine that nothing was written down about is left alone.
pub(crate) async fn undo_on_all<'a, B: serde::de::DeserializeOwned>(
    stations: &'a [Station],
    before: &serde_json::Value,
    act: impl Fn(B, &'a Station) -> BoxFuture<'a, Result<(), StepError>>,
) -> Result<(), StepError> {
    let before: Vec<B> = stored(before)?;
    let acts = before
        .into_iter()
        .zip(stations)
        .map(|(was, station)| act(was, station));
    let ends: Vec<Result<(), StepError>> = futures::future::join_all(acts).await;
    ends.into_iter().collect()
}

/// Nothing to do, in these words, or work to do on machines that are as `before` says.
pub(crate) fn found<B: serde::Serialize>(done: bool, words: &str, before: &B) -> Found {
    if done {
        Found::AlreadyDone {
            found: words.to_owned(),
            receipt: serde_json::Value::Null,
        }
    } else {
        Found::Needed {
            before: value(before),
        }
    }
}

/// Names the machine that did not do what it was asked.
pub(crate) fn failed_on(station: &Station) -> impl Fn(MachineError) -> StepError + Copy + '_ {
    |error| StepError::Machine {
        machine: station.name.clone(),
        error,
    }
}

/// Runs a command and takes any end but 0 as a failure that `what` names.
pub(crate) async fn must(
    station: &Station,
    command: &Command,
    code: Code,
    what: &str,
) -> Result<Output, StepError> {
    let output = station
        .machine
        .exec(command)
        .await
        .map_err(failed_on(station))?;
    if output.ok() {
        return Ok(output);
    }
    let said = output.error_text();
    let said = if said.is_empty() {
        output.text().trim().to_owned()
    } else {
        said
    };
    let last = said
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
        .on(station.name.clone())
        .detail(said)
        .into())
}

/// The user's home folder there, absolute.
pub(crate) async fn home(station: &Station) -> Result<String, StepError> {
    let command = Command::new("sh", ["-c", "printf %s \"$HOME\""]);
    let output = must(
        station,
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

/// Reads a step's own stored value.
pub(crate) fn stored<T: serde::de::DeserializeOwned>(
    value: &serde_json::Value,
) -> Result<T, StepError> {
    serde_json::from_value(value.clone()).map_err(|e| {
        Problem::new(
            Code::PlanStale,
            "This run was made by another version of Tandem.",
        )
        .cause(format!("What the step wrote down cannot be read: {e}."))
        .into()
    })
}

/// Writes a step's own value.
pub(crate) fn value<T: serde::Serialize>(of: &T) -> serde_json::Value {
    serde_json::to_value(of).expect("what steps write down is plain data")
}
