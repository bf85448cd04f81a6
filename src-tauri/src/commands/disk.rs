//! The disks of the machines: what takes room, checks, repairs, deletions.

use tandem_domain::ids::MachineId;
use tandem_domain::node::disk::{CheckReceipt, CheckTime};
use tauri::State;
use tauri::ipc::Channel;

use super::Answer;
use crate::app::App;
use crate::wire::disk::{CheckEvent, CheckTarget, DeleteTarget, FoundCheck, Freed, MachineDisk};

/// What takes room on every machine. Only looks.
#[tauri::command]
#[specta::specta]
pub async fn disks(app: State<'_, App>) -> Answer<Vec<MachineDisk>> {
    app.disks().await
}

/// How long a deep check will take, from a moment of reading on that machine.
#[tauri::command]
#[specta::specta]
pub async fn check_time(app: State<'_, App>, target: CheckTarget) -> Answer<CheckTime> {
    app.check_time(&target).await
}

/// Checks a revision, and fetches again what is wrong where that is asked for.
#[tauri::command]
#[specta::specta]
pub async fn check_revision(
    app: State<'_, App>,
    target: CheckTarget,
    deep: bool,
    repair: bool,
    events: Channel<CheckEvent>,
) -> Answer<CheckReceipt> {
    let hear = |event| {
        // A closed window hears nothing; the check goes on without it.
        let _ = events.send(event);
    };
    app.check_revision(&target, deep, repair, hear).await
}

/// The checks that go on on the machines, or have ended unheard since the window was closed.
#[tauri::command]
#[specta::specta]
pub async fn found_checks(app: State<'_, App>) -> Answer<Vec<FoundCheck>> {
    app.found_checks().await
}

/// Listens to a check that was found, to its end.
#[tauri::command]
#[specta::specta]
pub async fn follow_check(
    app: State<'_, App>,
    machine: MachineId,
    events: Channel<CheckEvent>,
) -> Answer<CheckReceipt> {
    let hear = |event| {
        // A closed window hears nothing; the check goes on without it.
        let _ = events.send(event);
    };
    app.follow_check(&machine, hear).await
}

/// Stops the check or repair on a machine. What was fetched stays for the next one.
#[tauri::command]
#[specta::specta]
pub async fn stop_check(app: State<'_, App>, machine: MachineId) -> Answer<()> {
    app.stop_check(&machine).await
}

/// Deletes an item for good. Refused while something uses it.
#[tauri::command]
#[specta::specta]
pub async fn delete_item(app: State<'_, App>, target: DeleteTarget) -> Answer<Freed> {
    app.delete_item(&target).await
}
