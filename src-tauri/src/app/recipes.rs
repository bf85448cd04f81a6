//! The catalogue with what the person keeps: imported, copied, changed, given on.

use std::borrow::Cow;
use std::path::PathBuf;

use tandem_adapters::recipe_fetch::RecipeFetch;
use tandem_adapters::recipe_files::{self, LARGEST};
use tandem_domain::launch::export::{ExportPlace, ExportedLaunch, exported};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::procedure::request::SetupRequest;
use tandem_domain::recipe::import::address::{self, RecipePlace};
use tandem_domain::recipe::import::{Confirmation, ImportedRecipe, export, import};
use tandem_domain::recipe::kept::KeptRecipe;
use tandem_domain::recipe::listing::{self, ListedRecipe};
use tandem_domain::recipe::{Recipe, RecipeId, catalog};

use super::{App, stored};
use crate::wire::recipes::{ChosenRecipes, FetchedRecipe, ImportView, KeptView, NewKept};

/// Bytes of the list of a repository's files at most.
const LARGEST_LIST: usize = 16 << 20;

impl App {
    /// The catalogue, for the machines that are there.
    pub async fn recipes(&self) -> Result<Vec<ListedRecipe>, Problem> {
        let machines = self.workspace().await.machines().await?;
        let kept = stored(self.inner.real.store.kept_recipes().await)?;
        Ok(listing::list(machines.len(), &kept))
    }

    /// A recipe of the catalogue by its name. What the person keeps is the same in a rehearsal.
    pub(super) async fn recipe(&self, id: &RecipeId) -> Result<Cow<'static, Recipe>, Problem> {
        let missing = match catalog::find(id) {
            Ok(recipe) => return Ok(Cow::Borrowed(recipe)),
            Err(problem) => problem,
        };
        let kept = stored(self.inner.real.store.kept_recipe(id).await)?;
        kept.map(|kept| Cow::Owned(kept.recipe)).ok_or(missing)
    }

    /// What would become of a recipe that somebody else wrote, with another image where one is given. Nothing is kept.
    pub fn read_recipe(&self, text: &str, image: Option<&str>) -> Result<ImportView, Problem> {
        let imported = read(text, image)?;
        let is_whole = imported.missing().next().is_none() && imported.shown().is_some();
        Ok(ImportView {
            title: imported.title().to_owned(),
            format: imported.format().title().to_owned(),
            lines: imported.lines().to_vec(),
            toml: imported.shown().map(export::toml),
            confirmation: is_whole.then(|| imported.hash()),
        })
    }

    /// The text at an address, or the files of a repository that may be recipes.
    pub async fn fetch_recipe(&self, address: &str) -> Result<FetchedRecipe, Problem> {
        let place = address::place(address)?;
        let fetch = RecipeFetch::new()?;
        let listing = match &place {
            RecipePlace::File { address } => {
                let found = fetch.text(address, LARGEST).await?;
                return Ok(FetchedRecipe::Text {
                    text: found.text,
                    way: found.way,
                });
            }
            RecipePlace::Repository { listing, .. } => listing,
        };
        let list = fetch.text(listing, LARGEST_LIST).await?.text;
        let list = serde_json::from_str(&list).ok();
        let found = list.and_then(|list| address::listed(&place, &list));
        let (files, more) = found.ok_or_else(|| {
            Problem::new(
                Code::BadInput,
                "The repository\u{2019}s files were not listed.",
            )
            .cause("The answer is no list of files.")
            .fix("Give the address of one file, or paste its text.")
        })?;
        if files.is_empty() {
            return Err(
                Problem::new(Code::BadInput, "The repository holds no recipe.")
                    .cause("It has no file that ends in .yaml, .yml or .toml there.")
                    .fix("Give the address of another repository, or of one file."),
            );
        }
        Ok(FetchedRecipe::Files { files, more })
    }

    /// The text of a file of this computer, or the texts of the files below a folder that may be recipes.
    pub async fn local_recipes(&self, path: PathBuf) -> Result<ChosenRecipes, Problem> {
        let read = tokio::task::spawn_blocking(move || recipe_files::read(&path));
        let read = read.await.map_err(|e| {
            Problem::new(Code::Broken, "The recipe could not be read.").detail(e.to_string())
        })??;
        if read.files.is_empty() {
            return Err(Problem::new(Code::BadInput, "The folder holds no recipe.")
                .cause("It has no file that ends in .yaml, .yml or .toml.")
                .fix("Choose another folder, or one file."));
        }
        Ok(read.into())
    }

    /// Saves a text where the person chose to have it.
    pub async fn save_text(&self, path: PathBuf, text: String) -> Result<(), Problem> {
        let saved = tokio::task::spawn_blocking(move || recipe_files::save(&path, &text));
        saved.await.map_err(|e| {
            Problem::new(Code::Broken, "The file was not saved.").detail(e.to_string())
        })?
    }

    /// Keeps a recipe as it was shown, for whoever confirms it. Gives back its name here.
    pub async fn keep_recipe(
        &self,
        new: NewKept,
        confirmation: &Confirmation,
    ) -> Result<RecipeId, Problem> {
        let store = &self.inner.real.store;
        let imported = read(&new.text, new.image.as_deref())?;
        let before = match &new.replaces {
            Some(id) => Some(self.kept(id).await?),
            None => None,
        };
        let names = stored(store.kept_recipe_names().await)?;
        let is_taken = |id: &RecipeId| names.contains(id) || catalog::find(id).is_ok();
        let kept = KeptRecipe::new(
            imported,
            confirmation,
            new.source,
            before.as_ref(),
            is_taken,
            self.now(),
        )?;
        stored(store.keep_recipe(&kept).await)?;
        Ok(kept.recipe.id)
    }

    /// What is to be known of a kept recipe.
    pub async fn kept_recipe(&self, id: &RecipeId) -> Result<KeptView, Problem> {
        let kept = self.kept(id).await?;
        let changes = kept.changes();
        Ok(KeptView {
            source: kept.source,
            lines: kept.lines,
            changes,
        })
    }

    async fn kept(&self, id: &RecipeId) -> Result<KeptRecipe, Problem> {
        let kept = stored(self.inner.real.store.kept_recipe(id).await)?;
        kept.ok_or_else(|| not_kept(id))
    }

    /// Gives a kept recipe another name for people.
    pub async fn rename_recipe(&self, id: &RecipeId, title: &str) -> Result<(), Problem> {
        let kept = self.kept(id).await?.renamed(title)?;
        stored(self.inner.real.store.keep_recipe(&kept).await)
    }

    /// A recipe in Tandem's own form, to be changed.
    pub async fn recipe_text(&self, id: &RecipeId) -> Result<String, Problem> {
        Ok(export::toml(&*self.recipe(id).await?))
    }

    /// Takes a kept recipe out of the catalogue. Until the app is opened again it can be brought back.
    pub async fn delete_recipe(&self, id: &RecipeId) -> Result<(), Problem> {
        let deleted = self.inner.real.store.delete_kept_recipe(id, self.now());
        match stored(deleted.await)? {
            true => Ok(()),
            false => Err(not_kept(id)),
        }
    }

    /// Brings a deleted recipe back.
    pub async fn restore_recipe(&self, id: &RecipeId) -> Result<(), Problem> {
        match stored(self.inner.real.store.restore_kept_recipe(id).await)? {
            true => Ok(()),
            false => Err(not_kept(id)),
        }
    }

    /// A recipe as text for elsewhere: for the machines that are there where they can serve it, else for sample ones.
    pub async fn export_recipe(&self, id: &RecipeId) -> Result<ExportedLaunch, Problem> {
        let workspace = self.workspace().await;
        let recipe = self.recipe(id).await?;
        let ids = workspace.machines().await?.into_iter().map(|m| m.id);
        let ids: Vec<_> = ids.take(recipe.nodes.most as usize).collect();
        if !recipe.fits(ids.len()) {
            return exported(&recipe, None);
        }
        let Ok(machines) = workspace.setup_machines(&ids).await else {
            return exported(&recipe, None);
        };
        let endpoint = self.endpoint(&workspace).await?;
        match SetupRequest::proposed(&recipe, ids, &machines, endpoint) {
            Ok(request) => {
                let place = ExportPlace {
                    launch: &request.resolve(&recipe, &machines).launch,
                    machines: &machines,
                    has_choices: false,
                };
                exported(&recipe, Some(place))
            }
            // Without a cable there are no addresses of theirs.
            Err(_) => exported(&recipe, None),
        }
    }

    /// What these choices would start, as text for elsewhere.
    pub async fn export_launch(&self, request: &SetupRequest) -> Result<ExportedLaunch, Problem> {
        let recipe = self.recipe(&request.recipe).await?;
        let machines = self
            .workspace()
            .await
            .setup_machines(&request.machines)
            .await?;
        let resolved = request.resolve(&recipe, &machines);
        if let Some(problem) = resolved.problems.into_iter().next() {
            return Err(problem);
        }
        let place = ExportPlace {
            launch: &resolved.launch,
            machines: &machines,
            has_choices: !request.choices.0.is_empty(),
        };
        exported(&recipe, Some(place))
    }
}

fn read(text: &str, image: Option<&str>) -> Result<ImportedRecipe, Problem> {
    if text.len() > LARGEST {
        return Err(
            Problem::new(Code::TooLarge, "This cannot be imported as a recipe.")
                .cause(format!("It is larger than {} KiB.", LARGEST / 1024))
                .fix("Give the recipe alone."),
        );
    }
    let imported = import(text)?;
    match image.map(str::trim).filter(|image| !image.is_empty()) {
        Some(image) => imported.with_image(image),
        None => Ok(imported),
    }
}

fn not_kept(id: &RecipeId) -> Problem {
    Problem::new(Code::BadInput, "The recipe was not found.")
        .cause(format!("You keep no recipe `{id}`."))
        .fix("Look at the catalogue again.")
}
