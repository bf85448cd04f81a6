//! Which files of a revision were selected when it was fetched, kept beside it: a snapshot that lacks the
//! others is complete, and nothing else on the disk tells.

use std::io;
use std::path::{Path, PathBuf};

use tandem_domain::artifact::Selection;
use tandem_domain::node::{RepoFiles, Repositories};
use tandem_domain::problem::Problem;

use crate::cache::Cache;
use crate::context::Context;
use crate::created_paths::CreatedPath;
use crate::digest::sha256;
use crate::disk;
use crate::own_file;

/// Which files of a revision should be there: those of any of these selections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SelectedFiles {
    first: Selection,
    others: Vec<Selection>,
}

impl SelectedFiles {
    /// Those of a request; without one, those that are kept; and where none are kept, all files.
    pub(crate) fn of(asked: Option<&Selection>, cache: &Cache, repo: &str, commit: &str) -> Self {
        let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
        let mut selections: Vec<Selection> = match asked {
            Some(selection) => vec![selection.clone()],
            None => kept(&cache.repo(repo), commit)
                .into_iter()
                .filter_map(read)
                .collect(),
        };
        let others = selections.split_off(selections.len().min(1));
        Self {
            first: selections.pop().unwrap_or_default(),
            others,
        }
    }

    /// Whether a file should be there.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.first.takes(name) || self.others.iter().any(|selection| selection.takes(name))
    }

    /// Whether somebody's patterns mean it, and not only a selection of everything.
    pub(crate) fn names(&self, name: &str) -> bool {
        let mut all = std::iter::once(&self.first).chain(&self.others);
        all.any(|selection| !selection.is_all() && selection.takes(name))
    }

    /// These files of a revision, to be fetched.
    pub(crate) fn of_revision(&self, repo: &str, revision: &str) -> Repositories {
        let of = |files: &Selection| RepoFiles {
            files: files.clone(),
            ..RepoFiles::all(repo, revision)
        };
        Repositories {
            first: of(&self.first),
            others: self.others.iter().map(of).collect(),
        }
    }
}

impl From<&Selection> for SelectedFiles {
    fn from(selection: &Selection) -> Self {
        Self {
            first: selection.clone(),
            others: Vec::new(),
        }
    }
}

/// Keeps a selection, before the snapshot gets its first file. Nothing is kept of a whole revision, unless
/// parts of it were selected before. Nor is a part of a snapshot that is there already without a word of what
/// was selected: it counts as a whole one.
pub(crate) fn keep(
    cache: &Cache,
    repo: &str,
    commit: &str,
    selection: &Selection,
    context: &Context,
) -> Result<(), Problem> {
    let known = !kept(&cache.repo(repo), commit).is_empty();
    let has_files = || {
        let files = std::fs::read_dir(cache.snapshot(repo, commit));
        files.is_ok_and(|mut files| files.next().is_some())
    };
    if !known && (selection.is_all() || has_files()) {
        return Ok(());
    }
    let text = serde_json::to_vec(selection).unwrap_or_default();
    let folder = folder(&cache.repo(repo));
    let path = folder.join(format!("{commit}-{}.json", &sha256(&text)[..16]));
    if path.exists() {
        return Ok(());
    }
    let write = || -> io::Result<()> {
        context.made.folder(cache, &folder)?;
        let entry = CreatedPath::File(cache.relative(&path));
        context.made.note(entry)?;
        own_file::replace(&path, &text)
    };
    write().map_err(|e| disk::problem("keeping which files were selected", &path, &e))
}

/// Where selections are kept. Programs of `huggingface_hub` do not look there.
pub(crate) fn folder(repo: &Path) -> PathBuf {
    repo.join("tandem-selections")
}

/// The files of a revision's selections.
pub(crate) fn kept(repo: &Path, commit: &str) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder(repo)).into_iter().flatten();
    let of_commit = |path: &PathBuf| {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
        name.is_some_and(|n| n.starts_with(commit))
    };
    let mut found: Vec<PathBuf> = list.flatten().map(|e| e.path()).filter(of_commit).collect();
    found.sort();
    found
}
