//! The catalogue: read, imported, kept, given on.

use tandem_domain::launch::export::ExportedLaunch;
use tandem_domain::procedure::request::SetupRequest;
use tandem_domain::recipe::RecipeId;
use tandem_domain::recipe::import::Confirmation;
use tandem_domain::recipe::listing::ListedRecipe;
use tauri::{AppHandle, State};

use super::Answer;
use crate::app::App;
use crate::file_dialog;
use crate::wire::recipes::{ChosenRecipes, FetchedRecipe, ImportView, KeptView, NewKept};

/// Every recipe, with whether the machines that are there can serve it. Nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn recipes(app: State<'_, App>) -> Answer<Vec<ListedRecipe>> {
    app.recipes().await
}

/// What would become of a recipe that somebody else wrote: kept, changed, worked out or refused, part by part. Nothing
/// of it is run, and nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn read_recipe(
    app: State<'_, App>,
    text: String,
    image: Option<String>,
) -> Answer<ImportView> {
    app.read_recipe(&text, image.as_deref())
}

/// The text at a public address of GitHub or the Hub, or the files of a repository there. Nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn fetch_recipe(app: State<'_, App>, address: String) -> Answer<FetchedRecipe> {
    app.fetch_recipe(&address).await
}

/// Asks the person for a file of this computer, or for a folder, and reads the recipes in it; `None` where they choose none.
/// Nothing of it is run, and nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn choose_recipes(
    handle: AppHandle,
    app: State<'_, App>,
    folder: bool,
) -> Answer<Option<ChosenRecipes>> {
    match file_dialog::to_read(&handle, folder).await {
        Some(path) => app.local_recipes(path).await.map(Some),
        None => Ok(None),
    }
}

/// Keeps a recipe as it was shown; refused where something else was confirmed.
#[tauri::command]
#[specta::specta]
pub async fn keep_recipe(
    app: State<'_, App>,
    recipe: NewKept,
    confirmation: Confirmation,
) -> Answer<RecipeId> {
    app.keep_recipe(recipe, &confirmation).await
}

/// Where a kept recipe came from, and what was changed in it.
#[tauri::command]
#[specta::specta]
pub async fn kept_recipe(app: State<'_, App>, id: RecipeId) -> Answer<KeptView> {
    app.kept_recipe(&id).await
}

/// Gives a kept recipe another name for people.
#[tauri::command]
#[specta::specta]
pub async fn rename_recipe(app: State<'_, App>, id: RecipeId, title: String) -> Answer<()> {
    app.rename_recipe(&id, &title).await
}

/// A recipe in Tandem's own form, to be changed or kept elsewhere.
#[tauri::command]
#[specta::specta]
pub async fn recipe_text(app: State<'_, App>, id: RecipeId) -> Answer<String> {
    app.recipe_text(&id).await
}

/// Takes a kept recipe out of the catalogue. It can be brought back until the app is opened again.
#[tauri::command]
#[specta::specta]
pub async fn delete_recipe(app: State<'_, App>, id: RecipeId) -> Answer<()> {
    app.delete_recipe(&id).await
}

/// Brings a deleted recipe back.
#[tauri::command]
#[specta::specta]
pub async fn restore_recipe(app: State<'_, App>, id: RecipeId) -> Answer<()> {
    app.restore_recipe(&id).await
}

/// A recipe and its launch as text: Tandem's own form, `docker run`, compose files and scripts. Nothing changes.
#[tauri::command]
#[specta::specta]
pub async fn export_recipe(app: State<'_, App>, id: RecipeId) -> Answer<ExportedLaunch> {
    app.export_recipe(&id).await
}

/// The same for what was chosen in a plan.
#[tauri::command]
#[specta::specta]
pub async fn export_launch(app: State<'_, App>, request: SetupRequest) -> Answer<ExportedLaunch> {
    app.export_launch(&request).await
}

/// Asks the person for a place, and saves a text there under the name that they choose; whether they chose one.
#[tauri::command]
#[specta::specta]
pub async fn save_text(
    handle: AppHandle,
    app: State<'_, App>,
    name: String,
    text: String,
) -> Answer<bool> {
    match file_dialog::to_save(&handle, &name).await {
        Some(path) => app.save_text(path, text).await.map(|()| true),
        None => Ok(false),
    }
}
