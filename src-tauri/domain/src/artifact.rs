//! What must be on the disks before a model can be served: files of a repository at a revision.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

pub mod complete;
pub mod copies;
mod selection;

pub use selection::Selection;

/// Files of one repository of the Hub, and what they are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// What it is for.
    pub role: ArtifactRole,
    /// As on the Hub: `owner/name`.
    pub repo: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// Which of its files. Without it all but copies of the weights for other programs, such as `original/`;
    /// `include = ["*"]` takes these too.
    #[serde(
        default,
        skip_serializing_if = "Selection::is_all",
        deserialize_with = "stored"
    )]
    pub files: Selection,
}

/// What an artifact is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactRole {
    /// It is served.
    Served,
    /// It drafts tokens for what is served.
    Draft,
    /// Layers are taken from it; it is not fetched as a whole.
    Donor,
    /// Its tokenizer is used.
    Tokenizer,
}

/// Reads a selection. Plans that an older version stored say `"all"` where every file is meant.
fn stored<'de, D: Deserializer<'de>>(from: D) -> Result<Selection, D::Error> {
    struct Stored;

    impl<'de> Visitor<'de> for Stored {
        type Value = Selection;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("patterns of files, as `include` and `exclude`")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Selection, E> {
            match text {
                "all" => Ok(Selection::default()),
                other => Err(E::custom(format!("`{other}` is no selection of files"))),
            }
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Selection, A::Error> {
            Selection::deserialize(MapAccessDeserializer::new(map))
        }
    }

    from.deserialize_any(Stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARTIFACT: &str = "role = 'served'\nrepo = 'o/n'\nrevision = 'main'\n";

    fn parse(files: &str) -> Result<Artifact, toml::de::Error> {
        toml::from_str(&format!("{ARTIFACT}{files}"))
    }

    #[test]
    fn a_recipe_says_which_files_and_without_a_word_it_means_all() {
        let one = parse("files = { include = ['*Q4_K_M*'], exclude = ['*.md'] }").unwrap();
        assert_eq!(one.files.include, ["*Q4_K_M*"]);
        assert_eq!(one.files.exclude, ["*.md"]);
        assert!(parse("").unwrap().files.is_all());
        assert!(parse("files = { inclde = ['x'] }").is_err());
        assert!(parse("files = 'some'").is_err());
    }

    #[test]
    fn a_plan_of_an_older_version_is_read() {
        let all = parse("files = 'all'").unwrap();
        assert!(all.files.is_all());
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Artifact>(&text).unwrap(), all);
    }
}
