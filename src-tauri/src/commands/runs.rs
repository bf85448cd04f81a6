//! Runs: plan, start, watch, cancel, resume, undo.

use tandem_domain::node::FetchLimits;
use tandem_domain::procedure::RunDetail;
use tandem_domain::procedure::request::SetupRequest;
use tandem_domain::recipe::RecipeId;
use tandem_domain::run::{RunId, RunSignal, RunSummary};
use tauri::State;
use tauri::ipc::Channel;

use super::Answer;
use crate::app::App;
use crate::wire::{MachineAhead, PlanView};

/// The set-up with sensible choices for the machines that are there.
#[tauri::command]
#[specta::specta]
pub async fn propose_setup(app: State<'_, App>) -> Answer<PlanView> {
    app.propose_setup().await
}

/// The set-up of one recipe with sensible choices for the machines that are there. Nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn propose_recipe(app: State<'_, App>, id: RecipeId) -> Answer<PlanView> {
    app.propose_recipe(&id).await
}

/// The plan of what another run was asked for, for the machines as they are now. Nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn plan_again(app: State<'_, App>, run: RunId) -> Answer<PlanView> {
    app.plan_again(&run).await
}

/// What these choices would do. Nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn plan_setup(app: State<'_, App>, request: SetupRequest) -> Answer<PlanView> {
    app.plan_setup(request).await
}

/// What is on the disks already, how long the rest takes and whether the model fits. Nothing changes.
/// With `measure`, a few seconds of the line are taken to see how fast it is.
#[tauri::command]
#[specta::specta]
pub async fn ahead(
    app: State<'_, App>,
    request: SetupRequest,
    measure: bool,
) -> Answer<Vec<MachineAhead>> {
    app.ahead(request, measure).await
}

/// Starts the set-up.
#[tauri::command]
#[specta::specta]
pub async fn start_setup(app: State<'_, App>, request: SetupRequest) -> Answer<RunId> {
    app.start_setup(request).await
}

/// Replays a run's events after `after_seq`, then sends what happens from then on.
#[tauri::command]
#[specta::specta]
pub async fn watch_run(
    app: State<'_, App>,
    id: RunId,
    after_seq: u32,
    signals: Channel<RunSignal>,
) -> Answer<()> {
    app.watch_run(&id, u64::from(after_seq), move |signal| {
        signals.send(signal).is_ok()
    })
    .await
}

/// Asks a run to stop at its next safe point. What is done stays done.
#[tauri::command]
#[specta::specta]
pub async fn cancel_run(app: State<'_, App>, id: RunId) -> Answer<()> {
    app.cancel_run(&id).await
}

/// Holds the download of a run to a rate, to hours of the day, or still: at once, and when it is gone on
/// with later.
#[tauri::command]
#[specta::specta]
pub async fn hold_download(app: State<'_, App>, id: RunId, limits: FetchLimits) -> Answer<()> {
    app.hold_download(&id, limits).await
}

/// Goes on with a run that failed, was cancelled or was interrupted.
#[tauri::command]
#[specta::specta]
pub async fn resume_run(app: State<'_, App>, id: RunId) -> Answer<()> {
    app.resume_run(&id).await
}

/// Takes back everything a run did, last step first.
#[tauri::command]
#[specta::specta]
pub async fn undo_run(app: State<'_, App>, id: RunId) -> Answer<()> {
    app.undo_run(&id).await
}

/// All runs, the newest first.
#[tauri::command]
#[specta::specta]
pub async fn list_runs(app: State<'_, App>) -> Answer<Vec<RunSummary>> {
    app.list_runs().await
}

/// One run with its plan and history.
#[tauri::command]
#[specta::specta]
pub async fn run_detail(app: State<'_, App>, id: RunId) -> Answer<RunDetail> {
    app.run_detail(&id).await
}

/// The last lines of a step's log, with the machine's name before each.
#[tauri::command]
#[specta::specta]
pub async fn step_log(app: State<'_, App>, id: RunId, step: String) -> Answer<Vec<String>> {
    app.step_log(&id, &step).await
}

/// A text about a run for a forum post: plan, events, problems, versions; no secrets, addresses or serial numbers.
#[tauri::command]
#[specta::specta]
pub async fn run_report(app: State<'_, App>, id: RunId) -> Answer<String> {
    app.run_report(&id).await
}
