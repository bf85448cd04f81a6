//! What became of everything that an import was given, word by word.

use serde::{Deserialize, Serialize};

use crate::foreign_text::visible;

/// Bytes of a text in a line, at most.
const LONGEST: usize = 4000;

/// What stands in the place of a login.
pub const NOT_SHOWN: &str = "(not shown)";

/// Words as they are shown on one line, without logins: those that follow an option for one, and those that look so.
pub fn told(words: &[String]) -> String {
    let hides = |word: &str| {
        let name = word.split('=').next().unwrap_or(word).to_ascii_lowercase();
        let parts = ["token", "key", "password", "secret", "passwd"];
        name.starts_with('-') && name.split(['-', '_']).any(|part| parts.contains(&part))
            || name == "-p" && words.get(1).is_some_and(|w| w == "login")
    };
    let looks = |word: &str| {
        let value = word.rsplit('=').next().unwrap_or(word);
        let heads = ["hf_", "nvapi-", "sk-", "ghp_", "github_pat_"];
        value.len() > 12 && heads.iter().any(|head| value.starts_with(head))
    };
    let mut shown = Vec::new();
    let mut hidden = false;
    for word in words {
        let hide = std::mem::replace(&mut hidden, hides(word) && !word.contains('='));
        shown.push(match word.split_once('=') {
            _ if hide => NOT_SHOWN.to_owned(),
            Some((name, _)) if hides(word) || looks(word) => format!("{name}={NOT_SHOWN}"),
            None if looks(word) => NOT_SHOWN.to_owned(),
            _ => word.clone(),
        });
    }
    visible(&shown.join(" "), 600)
}

/// What became of one thing that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ImportLine {
    /// What it is: `image`, `env NAME`, `--flag`, `mods`.
    pub item: String,
    /// As it was given.
    pub given: String,
    /// What it is now, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub becomes: Option<String>,
    /// What became of it.
    pub fate: ImportFate,
    /// Why, as a sentence. Empty where nothing changed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What can become of a thing that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum ImportFate {
    /// It is as it was.
    Kept,
    /// It is written otherwise, or means a little else.
    Changed,
    /// It is worked out for these machines at each launch.
    Recomputed,
    /// It is not taken, and nothing is missing without it.
    Refused,
    /// It is not taken, and there is no launch without it.
    Missing,
}

/// Lines as they come together.
#[derive(Debug, Default)]
pub struct Report(pub Vec<ImportLine>);

impl Report {
    /// Notes what became of something.
    pub fn note(
        &mut self,
        fate: ImportFate,
        item: impl Into<String>,
        given: impl Into<String>,
        why: impl Into<String>,
    ) {
        // What nobody sees, nobody confirms.
        let seen = |text: String| visible(&text, LONGEST);
        self.0.push(ImportLine {
            item: seen(item.into()),
            given: seen(given.into()),
            becomes: None,
            fate,
            why: seen(why.into()),
        });
    }

    /// Notes that something was kept.
    pub fn kept(&mut self, item: impl Into<String>, given: impl Into<String>) {
        self.note(ImportFate::Kept, item, given, "");
    }

    /// Notes that something became something else.
    pub fn becomes(
        &mut self,
        fate: ImportFate,
        item: impl Into<String>,
        given: impl Into<String>,
        becomes: impl Into<String>,
        why: impl Into<String>,
    ) {
        self.note(fate, item, given, why);
        if let Some(line) = self.0.last_mut() {
            line.becomes = Some(visible(&becomes.into(), LONGEST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn no_login_is_shown() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for text in [
            "hf auth login --token sesame",
            "x --api-key=sesame",
            "docker login -p sesame",
            "echo hf_sesamesesame",
            "A=nvapi-sesamesesame run",
            "x --hf-token sesame --port 1",
        ] {
            let shown = told(&words(text));
            assert!(!shown.contains("sesame"), "{shown}");
        }
        assert_eq!(
            told(&words("docker run -p 8000:8000 --key-less")),
            "docker run -p 8000:8000 --key-less"
        );
    }
}
