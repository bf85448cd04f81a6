//! Recipes that a person keeps beside those that come with Tandem: imported ones, and copies.

use serde::{Deserialize, Serialize};

use super::compare::{RecipeDifference, differences};
use super::import::{Confirmation, ImportFormat, ImportLine, ImportedRecipe};
use super::{Recipe, RecipeId, catalog};
use crate::foreign_text::visible;
use crate::problem::{Code, Problem};

/// Bytes of the name of a source, at most.
const LONGEST: usize = 300;

/// Bytes of a recipe's name for people, at most.
const LONGEST_TITLE: usize = 120;

/// A kept recipe: as it was confirmed, with where it came from and what became of what was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptRecipe {
    /// What is launched.
    pub recipe: Recipe,
    /// What it was before the person changed it; equal where nothing was changed.
    pub original: Recipe,
    /// Where it came from.
    pub source: RecipeSource,
    /// The form in which it was given.
    pub format: ImportFormat,
    /// What became of every part of what was given.
    pub lines: Vec<ImportLine>,
    /// When, ms since 1970.
    pub added_at: i64,
}

/// Where a kept recipe came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RecipeSource {
    /// It was pasted.
    Pasted,
    /// A file of this computer.
    File {
        /// Its name, without its folder.
        name: String,
    },
    /// It was fetched.
    Address {
        /// From where, after every redirect.
        address: String,
    },
    /// The person's copy of a recipe that is here.
    Copy {
        /// Which.
        of: RecipeId,
    },
}

impl RecipeSource {
    /// The same with nothing in it that cannot be seen.
    fn seen(self) -> Self {
        let seen = |text: String| visible(&text, LONGEST);
        match self {
            Self::File { name } => Self::File { name: seen(name) },
            Self::Address { address } => Self::Address {
                address: seen(address),
            },
            other => other,
        }
    }
}

impl KeptRecipe {
    /// Keeps what was imported, for whoever confirms what was shown. `is_taken` says which names are in use; `before` is
    /// what it takes the place of.
    pub fn new(
        imported: ImportedRecipe,
        confirmation: &Confirmation,
        source: RecipeSource,
        before: Option<&Self>,
        is_taken: impl Fn(&RecipeId) -> bool,
        now: i64,
    ) -> Result<Self, Problem> {
        let (format, lines) = (imported.format(), imported.lines().to_vec());
        let mut recipe = imported.confirmed(confirmation)?;
        recipe.id = match before {
            Some(before) => before.recipe.id.clone(),
            None => free_name(&recipe.id, is_taken),
        };
        let original = match (before, &source) {
            (Some(before), _) => before.original.clone(),
            (None, RecipeSource::Copy { of }) => match catalog::find(of) {
                Ok(original) => original.clone(),
                Err(_) => recipe.clone(),
            },
            (None, _) => recipe.clone(),
        };
        Ok(Self {
            source: before.map_or_else(|| source.seen(), |b| b.source.clone()),
            added_at: before.map_or(now, |b| b.added_at),
            recipe,
            original,
            format,
            lines,
        })
    }

    /// The same under another name for people. A problem where none is given.
    pub fn renamed(mut self, title: &str) -> Result<Self, Problem> {
        let title = visible(title.trim(), LONGEST_TITLE);
        if title.is_empty() {
            return Err(Problem::new(Code::BadInput, "The recipe was not renamed.")
                .cause("No name was given.")
                .fix("Type a name."));
        }
        self.recipe.title = title;
        Ok(self)
    }

    /// What the person changed in it. Its names are no change.
    pub fn changes(&self) -> Vec<RecipeDifference> {
        let mut all = differences(&self.recipe, &self.original);
        all.retain(|d| !["id", "proposed", "title"].contains(&d.item.as_str()));
        all
    }
}

/// The first of `x`, `x-2`, `x-3` … that is not taken.
fn free_name(id: &RecipeId, is_taken: impl Fn(&RecipeId) -> bool) -> RecipeId {
    let numbered = (2..).map(|n| RecipeId(format!("{id}-{n}")));
    let mut names = std::iter::once(id.clone()).chain(numbered);
    names
        .find(|name| !is_taken(name))
        .unwrap_or_else(|| id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::import::{export, import};

    const COMMAND: &str =
        "docker run --gpus all vllm/vllm-openai:v0.28.0 --model o/n --max-model-len 4096";

    fn imported(text: &str) -> ImportedRecipe {
        import(text).unwrap_or_else(|problem| panic!("{problem}"))
    }

    fn kept(text: &str, source: RecipeSource, before: Option<&KeptRecipe>) -> KeptRecipe {
        let shown = imported(text);
        let hash = shown.hash();
        KeptRecipe::new(shown, &hash, source, before, |_| false, 7)
            .unwrap_or_else(|problem| panic!("{problem}"))
    }

    #[test]
    fn nothing_is_kept_for_another_confirmation() {
        let other = imported(&COMMAND.replace("4096", "8192")).hash();
        let refused = KeptRecipe::new(
            imported(COMMAND),
            &other,
            RecipeSource::Pasted,
            None,
            |_| false,
            7,
        );
        assert_eq!(refused.expect_err("another one").code, Code::BadInput);
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let shown = imported(COMMAND);
        let own = shown.shown().expect("a recipe").id.clone();
        let hash = shown.hash();
        let taken = |id: &RecipeId| *id == own || id.0 == format!("{own}-2");
        let kept = KeptRecipe::new(shown, &hash, RecipeSource::Pasted, None, taken, 7)
            .expect("it is kept");
        assert_eq!(kept.recipe.id.0, format!("{own}-3"));
        assert_eq!(kept.changes(), []);
    }

    #[test]
    fn an_edit_keeps_name_source_and_original_and_tells_what_it_changed() {
        let source = RecipeSource::File {
            name: "a\u{202e}b.yaml".into(),
        };
        let first = kept(COMMAND, source, None);
        assert!(
            !matches!(&first.source, RecipeSource::File { name } if name.contains('\u{202e}')),
            "what nobody sees is told"
        );
        let mut edited = first.recipe.clone();
        edited.settings.context = 2048;
        let again = kept(&export::toml(&edited), RecipeSource::Pasted, Some(&first));
        assert_eq!(again.recipe.id, first.recipe.id);
        assert_eq!(
            (&again.source, again.added_at),
            (&first.source, first.added_at)
        );
        let changes = again.changes();
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!(changes[0].item, "settings.context");
        assert_eq!(changes[0].original.as_deref(), Some("4096"));
        let thrice = kept(
            &export::toml(&again.recipe),
            RecipeSource::Pasted,
            Some(&again),
        );
        assert_eq!(thrice.changes(), changes, "the original stays the first");
    }

    #[test]
    fn a_copy_is_compared_with_what_it_is_a_copy_of() {
        let original = catalog::find(&"qwen36-27b-nvfp4".into()).expect("it is built in");
        let mut copy = original.clone();
        copy.settings.memory_share = 0.5;
        let source = RecipeSource::Copy {
            of: original.id.clone(),
        };
        let kept = kept(&export::toml(&copy), source, None);
        assert_ne!(
            kept.recipe.id, original.id,
            "it takes no name of Tandem's own"
        );
        let items: Vec<String> = kept.changes().into_iter().map(|d| d.item).collect();
        assert_eq!(items, ["settings.memory_share"]);
    }

    #[test]
    fn another_name_is_no_change_and_none_is_refused() {
        let one = kept(COMMAND, RecipeSource::Pasted, None);
        let named = one.clone().renamed("  For\u{202e} work ").expect("a name");
        assert_eq!(named.recipe.title, "For⟨U+202E⟩ work");
        assert_eq!(
            (named.changes(), &named.recipe.id),
            (vec![], &one.recipe.id)
        );
        assert_eq!(
            one.renamed(" \n").expect_err("no name").code,
            Code::BadInput
        );
    }

    #[test]
    fn what_is_kept_is_read_again_as_it_was() {
        let one = kept(COMMAND, RecipeSource::Pasted, None);
        let text = serde_json::to_string(&one).expect("plain data");
        let back: KeptRecipe = serde_json::from_str(&text).expect("it is read");
        assert_eq!(back, one);
    }
}
