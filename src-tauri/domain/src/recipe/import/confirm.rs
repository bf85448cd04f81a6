//! A recipe that somebody else wrote, and what it takes to launch it.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ImportFormat;
use super::report::{ImportFate, ImportLine};
use crate::problem::{Code, Problem};
use crate::recipe::Recipe;

/// A recipe that came from elsewhere. It gives out the recipe only to whoever confirms what was shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedRecipe {
    format: ImportFormat,
    title: String,
    /// `None` where Tandem has no counterpart for it at all.
    recipe: Option<Recipe>,
    lines: Vec<ImportLine>,
}

/// What an import came to. The third outcome is a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportOutcome {
    /// A recipe, with everything that counts.
    Plan,
    /// What came of it, beside things that were not taken. Whether it can be launched says
    /// [`ImportedRecipe::missing`].
    PlanWithRefusals,
}

/// What a person confirmed, by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Confirmation(pub String);

impl ImportedRecipe {
    pub(super) fn new(
        format: ImportFormat,
        title: String,
        recipe: Option<Recipe>,
        lines: Vec<ImportLine>,
    ) -> Self {
        Self {
            format,
            title,
            recipe,
            lines,
        }
    }

    /// The form it was given in.
    pub fn format(&self) -> ImportFormat {
        self.format
    }

    /// Its name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What became of every part of it.
    pub fn lines(&self) -> &[ImportLine] {
        &self.lines
    }

    /// The recipe, to be looked at. To launch it, see [`ImportedRecipe::confirmed`].
    pub fn shown(&self) -> Option<&Recipe> {
        self.recipe.as_ref()
    }

    /// What stands in the way of a launch.
    pub fn missing(&self) -> impl Iterator<Item = &ImportLine> {
        self.lines.iter().filter(|l| l.fate == ImportFate::Missing)
    }

    /// What it came to.
    pub fn outcome(&self) -> ImportOutcome {
        let not = |l: &ImportLine| matches!(l.fate, ImportFate::Refused | ImportFate::Missing);
        match self.lines.iter().any(not) {
            true => ImportOutcome::PlanWithRefusals,
            false => ImportOutcome::Plan,
        }
    }

    /// With another image, where the one that it names lies in no registry or none is named.
    pub fn with_image(mut self, image: &str) -> Result<Self, Problem> {
        let Some(recipe) = &mut self.recipe else {
            return Ok(self);
        };
        if !super::names::is_image(image) || !image.contains('/') {
            return Err(Problem::new(Code::BadInput, "The image cannot be used.")
                .cause(format!(
                    "`{}` is no name of an image in a registry.",
                    crate::foreign_text::visible(image, 200)
                ))
                .fix("Give it as for `docker pull`."));
        }
        recipe.image.name = image.to_owned();
        for line in self.lines.iter_mut().filter(|l| l.item == "image") {
            line.fate = ImportFate::Changed;
            line.becomes = Some(image.to_owned());
            line.why =
                "Another image was chosen; what is said of its arguments was said of the first."
                    .into();
        }
        Ok(self)
    }

    /// The hash of all that is shown of it: another recipe, or another report, has another.
    pub fn hash(&self) -> Confirmation {
        let json = serde_json::to_vec(self).expect("it is plain data");
        let hash = Sha256::digest(json);
        Confirmation(hash.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// The recipe, for a launch. A problem where something is missing, or where something else was confirmed.
    pub fn confirmed(self, confirmation: &Confirmation) -> Result<Recipe, Problem> {
        let refused = |cause: String| {
            Problem::new(Code::BadInput, "The imported recipe is not launched.").cause(cause)
        };
        if let Some(line) = self.missing().next() {
            let cause = format!("There is no counterpart for `{}`: {}", line.item, line.why);
            return Err(
                refused(cause).fix("Choose another recipe, or make one of your own without it.")
            );
        }
        if self.hash() != *confirmation {
            let cause = "What was confirmed is not what would be launched.".to_owned();
            return Err(refused(cause).fix("Look at the import again, and confirm it."));
        }
        self.recipe.ok_or_else(|| {
            let cause = "It holds nothing that Tandem can serve.".to_owned();
            refused(cause).fix("Choose another recipe.")
        })
    }

    /// Names keys that stood twice in the file.
    pub(super) fn with_twice(mut self, keys: &[String]) -> Self {
        self.lines.extend(keys.iter().map(|key| ImportLine {
            item: key.clone(),
            given: key.clone(),
            becomes: None,
            fate: ImportFate::Changed,
            why: "It stands twice in the file; the last one counts.".into(),
        }));
        self
    }
}

/// An import as a text for people: what became of every part, what stands in the way, and the recipe that came of it.
pub fn told(imported: &ImportedRecipe) -> String {
    let mut out = format!("{} ({})\n\n", imported.title, imported.format.title());
    for line in &imported.lines {
        let fate = match line.fate {
            ImportFate::Kept => "kept",
            ImportFate::Changed => "changed",
            ImportFate::Recomputed => "worked out",
            ImportFate::Refused => "not taken",
            ImportFate::Missing => "MISSING",
        };
        let becomes = line
            .becomes
            .as_ref()
            .map_or(String::new(), |now| format!(" → {now}"));
        // An argument's own words begin with its name.
        let after = line.given.strip_prefix(&line.item);
        let own = after.filter(|rest| rest.is_empty() || rest.starts_with([' ', '=']));
        let given = own.unwrap_or(&line.given);
        let given = if given.is_empty() {
            String::new()
        } else {
            format!(" {}", given.trim_start())
        };
        let why = if line.why.is_empty() {
            String::new()
        } else {
            format!("\n            {}", line.why)
        };
        out.push_str(&format!("{fate:<11} {}{given}{becomes}{why}\n", line.item));
    }
    let missing = imported.missing().count();
    out.push_str(&match (missing, &imported.recipe) {
        (0, Some(_)) => format!(
            "\nIt can be launched once it is confirmed: {}\n",
            imported.hash().0
        ),
        (1, _) => "\nIt cannot be launched: one thing has no counterpart.\n".into(),
        (n, _) => format!("\nIt cannot be launched: {n} things have no counterpart.\n"),
    });
    if let Some(recipe) = &imported.recipe {
        out.push_str(&format!("\n{}", super::export::toml(recipe)));
    }
    out
}
