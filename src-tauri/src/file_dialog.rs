//! The system's own dialogs for files. The window names no path: a person chooses one there, and only that one is used.

use std::path::PathBuf;

use tauri::AppHandle;
use tauri_plugin_dialog::{DialogExt as _, FilePath};
use tokio::sync::oneshot;

/// A file or a folder to read; `None` where none was chosen.
pub(crate) async fn to_read(handle: &AppHandle, folder: bool) -> Option<PathBuf> {
    let (tell, told) = oneshot::channel();
    let dialog = handle.dialog().file();
    // Nobody listens any more where the window was closed.
    let answer = move |path: Option<FilePath>| drop(tell.send(path));
    match folder {
        true => dialog.pick_folder(answer),
        false => dialog.pick_file(answer),
    }
    told.await.ok()??.into_path().ok()
}

/// A place for a new file, under this name where the person likes it; `None` where none was chosen.
pub(crate) async fn to_save(handle: &AppHandle, name: &str) -> Option<PathBuf> {
    let (tell, told) = oneshot::channel();
    let answer = move |path: Option<FilePath>| drop(tell.send(path));
    handle.dialog().file().set_file_name(name).save_file(answer);
    told.await.ok()??.into_path().ok()
}
