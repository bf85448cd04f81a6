//! Shapes of importing, keeping and giving on recipes.

use serde::{Deserialize, Serialize};
use specta::Type;
use tandem_adapters::recipe_files::{LocalRecipe, LocalRecipes};
use tandem_domain::recipe::RecipeId;
use tandem_domain::recipe::compare::RecipeDifference;
use tandem_domain::recipe::import::address::RecipeFile;
use tandem_domain::recipe::import::{Confirmation, ImportLine};
use tandem_domain::recipe::kept::RecipeSource;

/// A recipe that somebody else wrote, as it is shown before anything comes of it.
#[derive(Debug, Clone, Serialize, Type)]
pub struct ImportView {
    /// Its name for people.
    pub title: String,
    /// The form in which it was given, for people.
    pub format: String,
    /// What became of every part of it.
    pub lines: Vec<ImportLine>,
    /// The recipe that came of it, in Tandem's own form; `None` where Tandem has no counterpart for it at all.
    pub toml: Option<String>,
    /// What to confirm, so that it is kept; `None` where it cannot be launched as it is.
    pub confirmation: Option<Confirmation>,
}

/// What an address gave.
#[derive(Debug, Clone, Serialize, Type)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FetchedRecipe {
    /// A file.
    Text {
        /// Its text.
        text: String,
        /// The addresses that were asked, the last of which gave it.
        way: Vec<String>,
    },
    /// A repository with files that may be recipes.
    Files {
        /// They.
        files: Vec<RecipeFile>,
        /// Whether there are more than are listed.
        more: bool,
    },
}

/// Files of this computer that a person chose.
#[derive(Debug, Clone, Default, Serialize, Type)]
pub struct ChosenRecipes {
    /// They, by name.
    pub files: Vec<ChosenRecipe>,
    /// Whether there are more than were read.
    pub more: bool,
}

/// A file of this computer.
#[derive(Debug, Clone, Serialize, Type)]
pub struct ChosenRecipe {
    /// Its path below what was chosen, or its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl From<LocalRecipes> for ChosenRecipes {
    fn from(read: LocalRecipes) -> Self {
        let files = read.files.into_iter();
        Self {
            files: files
                .map(|LocalRecipe { name, text }| ChosenRecipe { name, text })
                .collect(),
            more: read.more,
        }
    }
}

/// A recipe to keep.
#[derive(Debug, Clone, Deserialize, Type)]
pub struct NewKept {
    /// Its text, as it was shown.
    pub text: String,
    /// The image that was chosen in the place of its own, where that was done.
    pub image: Option<String>,
    /// Where it came from.
    pub source: RecipeSource,
    /// The kept recipe whose place it takes, where it is an edit of one.
    pub replaces: Option<RecipeId>,
}

/// A kept recipe beside the catalogue.
#[derive(Debug, Clone, Serialize, Type)]
pub struct KeptView {
    /// Where it came from.
    pub source: RecipeSource,
    /// What became of every part of what was given.
    pub lines: Vec<ImportLine>,
    /// What the person changed since.
    pub changes: Vec<RecipeDifference>,
}
