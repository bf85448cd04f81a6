//! What is served, for programs that are not Tandem.

use tauri::State;

use super::Answer;
use crate::app::App;
use crate::wire::elsewhere::{Access, TrafficTest};

/// Where and how what is served can be used. Nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn access(app: State<'_, App>) -> Answer<Access> {
    app.access().await
}

/// Opens an address on this computer's loopback that leads to the server, until Tandem ends or it is closed. A second
/// call changes nothing.
#[tauri::command]
#[specta::specta]
pub async fn open_local(app: State<'_, App>) -> Answer<Access> {
    app.open_local().await
}

/// Closes that address, with what goes through it.
#[tauri::command]
#[specta::specta]
pub async fn close_local(app: State<'_, App>) -> Answer<()> {
    app.close_local();
    Ok(())
}

/// The key that the server asks for, to be shown; `None` where it asks for none.
#[tauri::command]
#[specta::specta]
pub async fn server_key(app: State<'_, App>) -> Answer<Option<String>> {
    app.server_key().await
}

/// Asks the server for its models without the key, then with it, at the address on this computer, which is opened for
/// that.
#[tauri::command]
#[specta::specta]
pub async fn test_traffic(app: State<'_, App>) -> Answer<TrafficTest> {
    app.test_traffic().await
}
