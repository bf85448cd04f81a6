//! Containers that carry our label, and those of our names that do not.

use crate::container::{ContainerState, LABEL};
use crate::ports::{ContainerError, MachineServices};
use crate::problem::{Code, Problem};
use crate::run::StepError;
use crate::shell::quote;

/// The identity that a container of ours carries; `None` for another's.
pub(crate) fn label(state: &ContainerState) -> Option<&str> {
    state
        .labels
        .iter()
        .find(|(name, _)| name == LABEL)
        .map(|(_, value)| value.as_str())
}

/// Looks a container up by its name.
pub(crate) async fn find(
    machine: &MachineServices,
    name: &str,
) -> Result<Option<ContainerState>, StepError> {
    let state = machine.containers.inspect(name).await;
    Ok(state.map_err(|e| e.problem(&machine.name, &machine.user))?)
}

/// Removes a container of ours; another's of that name stays. Says whether one of another stands there.
async fn spare(machine: &MachineServices, name: &str) -> Result<bool, Problem> {
    let on = |e: ContainerError| e.problem(&machine.name, &machine.user);
    let Some(state) = machine.containers.inspect(name).await.map_err(on)? else {
        return Ok(false);
    };
    if label(&state).is_none() {
        return Ok(true);
    }
    machine.containers.remove(name).await.map_err(on)?;
    Ok(false)
}

/// Removes a container of ours; another's of that name stays, and is no error here. Safe to repeat.
pub(crate) async fn remove(machine: &MachineServices, name: &str) -> Result<(), StepError> {
    spare(machine, name).await?;
    Ok(())
}

/// Removes the container that carries this identity; one of another run, or another's, stays. Says whether one of
/// another run stands there. Safe to repeat.
pub(crate) async fn remove_if(
    machine: &MachineServices,
    name: &str,
    identity: &str,
) -> Result<bool, StepError> {
    let Some(state) = find(machine, name).await? else {
        return Ok(false);
    };
    match label(&state) {
        Some(of) if of == identity => {
            remove(machine, name).await?;
            Ok(false)
        }
        of => Ok(of.is_some()),
    }
}

/// Removes a container of ours; another's of that name stays, and is why `message` is said. Safe to repeat.
pub(crate) async fn clear(
    machine: &MachineServices,
    name: &str,
    message: &str,
) -> Result<(), StepError> {
    if spare(machine, name).await? {
        return Err(foreign(machine, name, message).into());
    }
    Ok(())
}

/// Removes our container of that name on every machine. A container that Tandem did not make stays where it is,
/// and the first one found is told once the others are gone: a server of two machines must not be left half up.
///
/// Stops at the first machine whose engine does not answer. Safe to repeat.
pub async fn stop(machines: &[MachineServices], name: &str) -> Result<(), Problem> {
    let mut spared = None;
    for machine in machines {
        if spare(machine, name).await? {
            let message = format!("The container `{name}` was not removed.");
            spared.get_or_insert_with(|| foreign(machine, name, &message));
        }
    }
    spared.map_or(Ok(()), Err)
}

/// What did not happen because a container of that name is somebody else's.
pub(crate) fn foreign(machine: &MachineServices, name: &str, message: &str) -> Problem {
    Problem::new(Code::ContainerForeign, message)
        .cause(format!(
            "A container named `{name}` exists that Tandem did not make."
        ))
        .fix_with(
            "Rename or remove it if you do not need it.",
            format!("docker rm -f {}", quote(name)),
        )
        .on(machine.name.clone())
}
