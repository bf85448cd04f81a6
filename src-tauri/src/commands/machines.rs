//! Machines: who could be added, who is there, how they are.

use tandem_domain::ids::MachineId;
use tandem_domain::run::RunSummary;
use tauri::State;
use tauri::ipc::Channel;

use super::Answer;
use crate::app::App;
use crate::wire::{
    ChangedMachine, HostProbe, MachineView, Neighbour, NewMachine, Overview, PairView,
};

/// What surrounds every screen.
#[tauri::command]
#[specta::specta]
pub async fn overview(app: State<'_, App>) -> Answer<Overview> {
    app.overview().await
}

/// Sends what surrounds every screen now and after every change of it. A later watch ends the earlier one.
#[tauri::command]
#[specta::specta]
pub async fn watch_overview(app: State<'_, App>, overviews: Channel<Overview>) -> Answer<()> {
    app.watch_overview(move |overview| overviews.send(overview).is_ok())
        .await
}

/// What is known about the machines together: findings, cable, the last measurement.
#[tauri::command]
#[specta::specta]
pub async fn pair(app: State<'_, App>) -> Answer<PairView> {
    app.pair().await
}

/// Machines on the network and in `~/.ssh/config` that could be added.
#[tauri::command]
#[specta::specta]
pub async fn neighbours(app: State<'_, App>) -> Answer<Vec<Neighbour>> {
    app.neighbours().await
}

/// Reads the host key at an address. Nothing is sent there but the greeting.
#[tauri::command]
#[specta::specta]
pub async fn probe_host(app: State<'_, App>, address: String, port: u16) -> Answer<HostProbe> {
    app.probe_host(&address, port).await
}

/// Signs in, pins the host key, looks at the machine and keeps it. The same machine twice is refused.
#[tauri::command]
#[specta::specta]
pub async fn add_machine(app: State<'_, App>, machine: NewMachine) -> Answer<MachineView> {
    app.add_machine(machine).await
}

/// Changes how a machine is reached. The new address must lead to the same machine.
#[tauri::command]
#[specta::specta]
pub async fn change_machine(
    app: State<'_, App>,
    id: MachineId,
    change: ChangedMachine,
) -> Answer<MachineView> {
    app.change_machine(&id, change).await
}

/// The runs that can be undone only while this machine is here, the newest first.
#[tauri::command]
#[specta::specta]
pub async fn undos_of_machine(app: State<'_, App>, id: MachineId) -> Answer<Vec<RunSummary>> {
    app.undos_of_machine(&id).await
}

/// Forgets a machine. Nothing changes on the machine itself.
#[tauri::command]
#[specta::specta]
pub async fn remove_machine(app: State<'_, App>, id: MachineId) -> Answer<()> {
    app.remove_machine(&id).await
}

/// Looks at a machine again.
#[tauri::command]
#[specta::specta]
pub async fn refresh_machine(app: State<'_, App>, id: MachineId) -> Answer<MachineView> {
    app.refresh_machine(&id).await
}

/// Keeps the password of a machine's user in memory for this session, after trying it.
#[tauri::command]
#[specta::specta]
pub async fn give_password(
    app: State<'_, App>,
    id: MachineId,
    password: String,
) -> Answer<MachineView> {
    app.give_password(&id, password).await
}

/// Makes two simulated machines in a folder of the user's own and turns to them.
#[tauri::command]
#[specta::specta]
pub async fn start_rehearsal(app: State<'_, App>) -> Answer<Overview> {
    app.start_rehearsal().await
}

/// Turns back to the real machines and removes the simulated ones with everything on them.
#[tauri::command]
#[specta::specta]
pub async fn leave_rehearsal(app: State<'_, App>) -> Answer<Overview> {
    app.leave_rehearsal().await
}
