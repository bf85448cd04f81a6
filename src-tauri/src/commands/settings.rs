//! Remembered choices and the Hub's token.

use tandem_domain::problem::Problem;
use tauri::State;

use super::Answer;
use crate::app::App;
use crate::wire::{Serving, Settings};

/// The remembered choices.
#[tauri::command]
#[specta::specta]
pub async fn settings(app: State<'_, App>) -> Answer<Settings> {
    app.settings().await
}

/// Remembers choices.
#[tauri::command]
#[specta::specta]
pub async fn save_settings(app: State<'_, App>, settings: Settings) -> Answer<()> {
    app.save_settings(settings).await
}

/// Keeps a Hub token in the system's keyring, or forgets it. Answers with a notice where there is no
/// keyring and the token is kept in memory until Tandem is closed.
#[tauri::command]
#[specta::specta]
pub async fn set_hub_token(app: State<'_, App>, token: Option<String>) -> Answer<Option<Problem>> {
    app.set_hub_token(token).await
}

/// Whether the server that the last run launched answers, asked now.
#[tauri::command]
#[specta::specta]
pub async fn check_serving(app: State<'_, App>) -> Answer<Option<Serving>> {
    app.check_serving().await
}

/// Stops what is served on both machines. Weights, image and network stay.
#[tauri::command]
#[specta::specta]
pub async fn stop_serving(app: State<'_, App>) -> Answer<()> {
    app.stop_serving().await
}
