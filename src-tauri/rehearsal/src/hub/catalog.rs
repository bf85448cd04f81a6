//! The repositories on disk, as the Hub knows them: `OWNER/NAME/COMMIT/files` and
//! `OWNER/NAME/refs/BRANCH`.

use std::collections::HashMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use sha1::Digest;

use crate::checkpoint::HASHES;

/// One file of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name in the repository.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Bytes.
    pub(crate) size: u64,
    /// Its git id: 40 hex digits.
    pub(crate) oid: String,
    /// Its sha256 where it is kept outside of git.
    pub(crate) lfs: Option<String>,
}

impl Entry {
    /// What the Hub puts in `ETag`.
    pub(crate) fn etag(&self) -> &str {
        self.lfs.as_deref().unwrap_or(&self.oid)
    }
}

/// A revision that exists.
#[derive(Debug, Clone)]
pub(crate) struct Revision {
    pub(crate) commit: String,
    pub(crate) files: Vec<Entry>,
}

type Known = HashMap<PathBuf, (u64, Option<SystemTime>, Entry)>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Catalog {
    root: PathBuf,
    known: Mutex<Known>,
}

/// Why something was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Repo,
    Revision,
}

/// A name that stays below its folder.
fn plain(text: &str) -> bool {
    !text.is_empty()
        && Path::new(text)
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
}

impl Catalog {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            known: Mutex::default(),
        }
    }

    /// The commit that a branch or a commit's id stands for.
    pub(crate) fn commit(&self, repo: &str, revision: &str) -> Result<String, Absent> {
        let folder = self.root.join(repo);
        if !plain(repo) || !folder.is_dir() {
            return Err(Absent::Repo);
        }
        let branch = revision.strip_prefix("refs/heads/").unwrap_or(revision);
        if !plain(branch) {
            return Err(Absent::Revision);
        }
        if let Ok(commit) = std::fs::read_to_string(folder.join("refs").join(branch)) {
            return Ok(commit.trim().to_owned());
        }
        let is_commit = revision.len() == 40 && folder.join(revision).is_dir();
        is_commit
            .then(|| revision.to_owned())
            .ok_or(Absent::Revision)
    }

    /// Everything in a revision. Blocks: weights without kept hashes are read through once.
    pub(crate) fn revision(&self, repo: &str, revision: &str) -> Result<Revision, Absent> {
        let commit = self.commit(repo, revision)?;
        let folder = self.root.join(repo).join(&commit);
        let mut names = Vec::new();
        walk(&folder, &folder, &mut names).map_err(|_| Absent::Revision)?;
        names.sort();
        let kept: serde_json::Value = std::fs::read(folder.join(HASHES))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let files = names
            .into_iter()
            .filter(|name| name != HASHES)
            .filter_map(|name| self.entry(&folder, name, &kept).ok())
            .collect();
        Ok(Revision { commit, files })
    }

    fn entry(&self, folder: &Path, name: String, kept: &serde_json::Value) -> io::Result<Entry> {
        let path = folder.join(&name);
        let meta = std::fs::metadata(&path)?;
        let (size, changed) = (meta.len(), meta.modified().ok());
        let lock = || {
            self.known
                .lock()
                .expect("no thread panics while it holds the catalogue")
        };
        if let Some((s, c, entry)) = lock().get(&path)
            && (*s, *c) == (size, changed)
        {
            return Ok(entry.clone());
        }
        let large = name.ends_with(".safetensors") || name == "tokenizer.json";
        let lfs = match (large, &kept[&name]) {
            (false, _) => None,
            (true, known) if known["size"] == size => known["sha256"].as_str().map(str::to_owned),
            (true, _) => Some(sha256(&path)?),
        };
        // Of a large file git holds a pointer; its id is the pointer's.
        let oid = match &lfs {
            Some(sha) => git_id(pointer(sha, size).as_bytes()),
            None => git_id(&std::fs::read(&path)?),
        };
        let entry = Entry {
            name,
            path: path.clone(),
            size,
            oid,
            lfs,
        };
        lock().insert(path, (size, changed, entry.clone()));
        Ok(entry)
    }
}

/// What git keeps in a large file's place.
pub(crate) fn pointer(sha256: &str, size: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n")
}

fn git_id(content: &[u8]) -> String {
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hex::encode(hash.finalize())
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut hash = sha2::Sha256::new();
    io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    Ok(hex::encode(hash.finalize()))
}

fn walk(root: &Path, folder: &Path, names: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, names)?;
        } else if let Ok(below) = path.strip_prefix(root) {
            names.push(below.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Absent, Catalog, git_id};

    #[test]
    fn git_ids_are_git_s() {
        assert_eq!(
            git_id(b"hello\n"),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
    }

    #[test]
    fn nothing_outside_of_the_folder_is_a_repository() {
        let dir = tempfile::tempdir().expect("folder");
        let commit = "0123456789012345678901234567890123456789";
        std::fs::create_dir_all(dir.path().join("repos/o/n").join(commit)).expect("made");
        let catalog = Catalog::new(dir.path().join("repos"));
        assert_eq!(catalog.commit("o/n", commit).as_deref(), Ok(commit));
        assert_eq!(catalog.commit("o/n", "main"), Err(Absent::Revision));
        assert_eq!(catalog.commit("../repos/o", "main"), Err(Absent::Repo));
        assert_eq!(catalog.commit("o/n", "../n"), Err(Absent::Revision));
    }
}
