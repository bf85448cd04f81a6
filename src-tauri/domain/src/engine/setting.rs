//! A setting that a person may change: its words, its limits and its value. Forms are drawn from it, and
//! what comes back is checked by it, so that both have the same limits.

use serde::{Deserialize, Serialize};

use crate::problem::{Code, Problem};
use crate::recipe::{Recipe, SettingId, SettingValue, words};
use crate::repository;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Setting {
    /// Its name, as in [`Choices`](crate::recipe::Choices).
    pub id: SettingId,
    /// The heading it stands under.
    pub group: String,
    /// Its name for people.
    pub label: String,
    /// What it takes.
    pub kind: SettingKind,
    /// The value that is proposed.
    pub proposed: SettingValue,
    /// The value that is chosen; the proposed one where nothing was chosen.
    pub value: SettingValue,
    /// What helps to choose, in a sentence.
    pub hint: Option<String>,
}

/// What a setting takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SettingKind {
    /// A whole number.
    Integer {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
        /// What is counted, such as `tokens`.
        unit: Option<String>,
    },
    /// A share, 0 to 1.
    Share {
        /// The least.
        #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
        least: f64,
        /// The most.
        #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
        most: f64,
    },
    /// A name, such as that of a repository.
    Name {
        /// Its form.
        form: NameForm,
    },
    /// Words apart by spaces, such as arguments.
    Words {
        /// Whether each has to be `NAME=value`.
        assignments: bool,
    },
    /// One of several.
    Options {
        /// Which.
        options: Vec<SettingOption>,
    },
}

/// The form of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum NameForm {
    /// `owner/name`, as on the Hub.
    Repository,
    /// A branch, tag or commit.
    Revision,
    /// As for `docker pull`.
    Image,
    /// A model's name in requests.
    Model,
}

/// One of several values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct SettingOption {
    /// The value.
    pub value: String,
    /// Its name for people.
    pub label: String,
    /// What it means, in a sentence.
    pub what: String,
}

/// The heading over the settings of an engine.
pub(super) const ENGINE_GROUP: &str = "Speed and memory";

/// Tokens of context, which every engine has.
pub(super) fn context(recipe: &Recipe) -> Setting {
    let context = recipe.settings.context;
    let kind = SettingKind::Integer {
        least: 256,
        most: 1_048_576,
        unit: Some("tokens".into()),
    };
    Setting::new("context", ENGINE_GROUP, "Context length", kind, context)
        .hint(format!("The recipe has {context}."))
}

/// More words for the engine's command.
pub(super) fn arguments(recipe: &Recipe, label: &str, hint: &str) -> Setting {
    let args: Vec<String> = words(&recipe.args).cloned().collect();
    let kind = SettingKind::Words { assignments: false };
    Setting::new("args", ENGINE_GROUP, label, kind, args).hint(hint)
}

/// More environment of the engine's container.
pub(super) fn environment(recipe: &Recipe) -> Setting {
    let env: Vec<String> = recipe.env.iter().map(|(n, v)| format!("{n}={v}")).collect();
    let kind = SettingKind::Words { assignments: true };
    Setting::new("env", ENGINE_GROUP, "More environment", kind, env)
        .hint("NAME=value, apart by spaces.")
}

impl Setting {
    /// A setting as it is proposed.
    pub fn new(
        id: &str,
        group: &str,
        label: &str,
        kind: SettingKind,
        proposed: impl Into<SettingValue>,
    ) -> Self {
        let proposed = proposed.into();
        Self {
            id: SettingId(id.to_owned()),
            group: group.to_owned(),
            label: label.to_owned(),
            kind,
            value: proposed.clone(),
            proposed,
            hint: None,
        }
    }

    /// With a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What stands against the chosen value.
    pub fn fault(&self) -> Option<Problem> {
        let cause = self.kind.refuses(&self.value)?;
        let mut problem = Problem::new(
            Code::BadInput,
            format!("The setting \u{201c}{}\u{201d} cannot be used.", self.label),
        )
        .cause(cause);
        if let Some(hint) = &self.hint {
            problem = problem.fix(hint.clone());
        }
        Some(problem)
    }
}

/// Characters of a name that no shell, path or address reads as something else.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

impl NameForm {
    fn refuses(self, name: &str) -> Option<String> {
        let (is_right, form) = match self {
            Self::Repository => (repository::is_repository(name), "`owner/name`"),
            Self::Revision => (repository::is_revision(name), "a branch, tag or commit"),
            Self::Image => (
                !name.is_empty() && !name.contains(char::is_whitespace) && !name.starts_with('-'),
                "the name of an image",
            ),
            Self::Model => (
                !name.is_empty() && name.chars().all(|c| is_name(c) || c == '/'),
                "made of letters, digits, `-`, `_`, `.` and `/`",
            ),
        };
        (!is_right).then(|| format!("`{name}` is not {form}."))
    }
}

impl SettingKind {
    /// Why a value cannot be taken.
    fn refuses(&self, value: &SettingValue) -> Option<String> {
        match (self, value) {
            (Self::Integer { least, most, unit }, SettingValue::Number(n)) => {
                let unit = unit.as_ref().map_or(String::new(), |u| format!(" {u}"));
                let inside = n.fract() == 0.0 && (f64::from(*least)..=f64::from(*most)).contains(n);
                (!inside)
                    .then(|| format!("{n} is not a whole number from {least} to {most}{unit}."))
            }
            (Self::Share { least, most }, SettingValue::Number(n)) => (!(*least..=*most)
                .contains(n))
            .then(|| format!("{n} is outside {least} to {most}.")),
            (Self::Name { form }, SettingValue::Text(name)) => form.refuses(name),
            (Self::Words { assignments }, SettingValue::Words(words)) => {
                let odd = words.iter().find(|w| {
                    let named = w.split_once('=').is_some_and(|(name, _)| !name.is_empty());
                    w.is_empty() || w.contains(['\0', '\n']) || (*assignments && !named)
                })?;
                Some(match assignments {
                    true => format!("`{odd}` is not `NAME=value`."),
                    false => format!("`{odd}` is empty or holds a line break."),
                })
            }
            (Self::Options { options }, SettingValue::Text(chosen)) => {
                let known = options.iter().any(|o| o.value == *chosen);
                (!known).then(|| format!("`{chosen}` is none of its options."))
            }
            _ => Some("It was given a value of another kind.".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: SettingKind, value: impl Into<SettingValue>) -> bool {
        Setting::new("x", "g", "X", kind, value).fault().is_some()
    }

    #[test]
    fn a_value_is_taken_inside_its_limits_and_refused_outside() {
        let port = || SettingKind::Integer {
            least: 1024,
            most: 65535,
            unit: None,
        };
        assert!(!refused(port(), 1024.0));
        assert!(!refused(port(), 65535.0));
        for bad in [1023.0, 65536.0, 8000.5, f64::NAN, -1.0] {
            assert!(refused(port(), bad), "{bad}");
        }
        assert!(refused(port(), "8000"), "a text is no number");
        let share = || SettingKind::Share {
            least: 0.1,
            most: 0.95,
        };
        assert!(!refused(share(), 0.85));
        assert!(refused(share(), 0.96));
    }

    #[test]
    fn names_hold_nothing_that_a_path_or_a_command_reads_otherwise() {
        let of = |form| move |name: &str| refused(SettingKind::Name { form }, name);
        let repository = of(NameForm::Repository);
        assert!(!repository("owner/name"));
        for bad in ["name", "a/b/c", "/b", "a/", "a/../b", "a b/c"] {
            assert!(repository(bad), "{bad}");
        }
        assert!(!of(NameForm::Revision)("refs/pr/3"));
        assert!(of(NameForm::Revision)(""));
        assert!(of(NameForm::Image)("-v"));
        assert!(of(NameForm::Image)("a b"));
    }

    #[test]
    fn environment_is_made_of_assignments() {
        let env = || SettingKind::Words { assignments: true };
        assert!(!refused(env(), vec!["A=1".to_owned(), "B=".to_owned()]));
        assert!(refused(env(), vec!["A".to_owned()]));
        assert!(refused(env(), vec!["=1".to_owned()]));
    }
}
