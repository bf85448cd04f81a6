//! Runs for the cable alone.

use tandem_domain::procedure::link::LinkRequest;
use tandem_domain::run::RunId;
use tauri::State;

use super::Answer;
use crate::app::App;
use crate::wire::LinkView;

/// What addressing and measuring the link would do; with `restart`, after both machines were restarted.
/// Nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn propose_link(app: State<'_, App>, restart: bool) -> Answer<LinkView> {
    app.propose_link(restart).await
}

/// Starts a run for the cable alone. It always measures.
#[tauri::command]
#[specta::specta]
pub async fn start_link(app: State<'_, App>, request: LinkRequest) -> Answer<RunId> {
    app.start_link(request).await
}
