//! What a word says of a repository.

use crate::recipe::import::report::{ImportFate, Report};
use crate::repository::{is_repository, is_revision};

/// A repository of the Hub at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// `owner/name`.
    pub name: String,
    /// A branch, tag or commit.
    pub revision: String,
}

/// The repository that a text names: `owner/name`, its address, or the folder of a snapshot in a Hugging Face cache.
pub fn repo_of(text: &str) -> Option<Repo> {
    let repo = |name: &str, revision: &str| {
        (is_repository(name) && is_revision(revision)).then(|| Repo {
            name: name.to_owned(),
            revision: revision.to_owned(),
        })
    };
    if let Some(path) = text.strip_prefix("https://huggingface.co/") {
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        return match parts[..] {
            [owner, name] => repo(&format!("{owner}/{name}"), "main"),
            [owner, name, "tree" | "blob" | "resolve", revision, ..] => {
                repo(&format!("{owner}/{name}"), revision)
            }
            _ => None,
        };
    }
    if text.starts_with('/') {
        let (_, folder) = text.split_once("/models--")?;
        let (name, revision) = folder.split_once("/snapshots/")?;
        return repo(&name.replacen("--", "/", 1), revision.trim_end_matches('/'));
    }
    repo(text, "main")
}

/// Reads a repository and notes what became of it.
pub(super) fn note(item: &str, text: &str, report: &mut Report) -> Option<Repo> {
    let found = repo_of(text);
    match &found {
        Some(repo) if repo.name == text => report.kept(item, text),
        Some(repo) => report.becomes(
            ImportFate::Changed,
            item,
            text,
            format!("{} at {}", repo.name, repo.revision),
            "It is that repository of the Hub.",
        ),
        None => report.note(
            ImportFate::Missing,
            item,
            text,
            "It is no repository of the Hub, which has the form owner/name.",
        ),
    }
    found
}
