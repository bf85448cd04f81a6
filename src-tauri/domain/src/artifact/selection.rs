//! Which files of a repository are meant.

use serde::{Deserialize, Serialize};

use crate::pattern::fnmatch;

/// Which files of a repository are meant, by patterns that mean what `allow_patterns` and `ignore_patterns`
/// of `huggingface_hub` mean, and `--include` and `--exclude` of `hf download`: `*` stands for any
/// characters, also `/`, `?` for one, `[ab]` for one of these, and capitals count. A pattern that ends in `/`
/// means all that is below.
///
/// <https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/utils/_paths.py>
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Only files that fit one of these patterns. Every file where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// No file that fits one of these patterns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl Selection {
    /// Whether it means every file.
    pub fn is_all(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Whether it means this file, by its name in the repository.
    pub fn takes(&self, name: &str) -> bool {
        let one_of = |patterns: &[String]| patterns.iter().any(|p| fits(p, name));
        (self.include.is_empty() || one_of(&self.include)) && !one_of(&self.exclude)
    }

    /// Its patterns, for people.
    pub fn words(&self) -> String {
        let list = |patterns: &[String]| {
            let quoted = patterns.iter().map(|p| format!("`{p}`"));
            quoted.collect::<Vec<_>>().join(", ")
        };
        match (self.include.is_empty(), self.exclude.is_empty()) {
            (true, true) => "all files".to_owned(),
            (false, true) => list(&self.include),
            (true, false) => format!("all but {}", list(&self.exclude)),
            (false, false) => format!("{} but not {}", list(&self.include), list(&self.exclude)),
        }
    }
}

/// As `allow_patterns` and `ignore_patterns` of huggingface_hub have it: `fnmatch`, and a folder stands for all below it.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.ends_with('/') {
        true => fnmatch(&format!("{pattern}*"), name),
        false => fnmatch(pattern, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect();
        Selection {
            include: owned(include),
            exclude: owned(exclude),
        }
    }

    /// Each line was asked of Python 3.11: `fnmatch.fnmatchcase(name, pattern)`.
    #[test]
    fn patterns_mean_what_fnmatch_says() {
        for (pattern, name, fits) in [
            ("*.json", "config.json", true),
            ("*.json", "original/params.json", true),
            ("*.JSON", "config.json", false),
            ("config.?son", "config.json", true),
            ("a?b", "a/b", true),
            ("*Q4_K_M*", "UD/model-Q4_K_M-00001-of-00002.gguf", true),
            ("*Q4_K_M*", "model-q4_k_m.gguf", false),
            ("original/**", "original/x/y.pth", true),
            ("a**b", "a-b", true),
            ("model-0000[12]-*", "model-00002-of-3", true),
            ("model-0000[!12]-*", "model-00002-of-3", false),
            ("model[1", "model[1", true),
            ("{a,b}", "a", false),
            ("", "a", false),
        ] {
            assert_eq!(
                selection(&[pattern], &[]).takes(name),
                fits,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_folder_means_all_below_it_and_what_is_excluded_wins() {
        let copies = selection(&[], &["original/", "metal/"]);
        assert!(copies.takes("model.safetensors"));
        assert!(!copies.takes("original/a/model.safetensors"));
        let one = selection(&["*.gguf"], &["*Q8*"]);
        assert!(one.takes("x-Q4.gguf") && !one.takes("x-Q8.gguf") && !one.takes("README.md"));
        assert!(Selection::default().takes("anything"));
        assert_eq!(copies.words(), "all but `original/`, `metal/`");
        assert_eq!(one.words(), "`*.gguf` but not `*Q8*`");
    }
}
