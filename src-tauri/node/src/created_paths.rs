//! What a job made on the disk, noted before it is made, so that undo removes exactly that.
//!
//! Notes are lines of JSON, one [`CreatedPath`] each: whatever a file is called, its name stays a name. Only
//! what lies where the job's own repositories lie is noted or believed.

mod old;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Component, Path};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tandem_domain::node::NodeWork;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::repository::{is_commit, is_path};

use crate::cache::Cache;
use crate::{disk, own_file};

/// One thing that a job made. Paths are as [`Cache::relative`] has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CreatedPath {
    /// A folder.
    Folder(String),
    /// A file that is of use to this program alone: a lock, an unfinished file, a list of what was selected.
    File(String),
    /// A blob, or a link to a file of the shared store in a blob's place.
    Blob(String),
    /// A link of a snapshot to a blob.
    Link(String),
    /// The reference of a branch or tag.
    Reference {
        /// Where it is.
        path: String,
        /// What it held before; `None` where there was none.
        was: Option<String>,
    },
    /// A checkpoint made beside a snapshot: a folder with all that is in it.
    Checkpoint(String),
}

impl CreatedPath {
    /// Where it is.
    pub fn path(&self) -> &str {
        match self {
            Self::Folder(path)
            | Self::File(path)
            | Self::Blob(path)
            | Self::Link(path)
            | Self::Reference { path, .. }
            | Self::Checkpoint(path) => path,
        }
    }

    /// Whether a job that works on these repositories can have made it.
    fn is_of(&self, repos: &[String]) -> bool {
        let above = |path: &str| {
            let up = path.strip_prefix("hub/").unwrap_or(path);
            let mut parts = Path::new(up).components();
            path == "." || parts.all(|c| c == Component::ParentDir)
        };
        match self {
            Self::Folder(path) if above(path) => return true,
            Self::Folder(path) if matches!(path.as_str(), "hub" | "hub/.locks" | "tandem") => {
                return true;
            }
            _ => {}
        }
        let path = self.path();
        is_path(path)
            && repos
                .iter()
                .any(|repo| self.is_of_repo(path, &repo.replace('/', "--")))
    }

    fn is_of_repo(&self, path: &str, name: &str) -> bool {
        let one = |rest: &str| !rest.contains('/');
        let hub = |kind: &str| {
            let rest = path.strip_prefix("hub/models--")?.strip_prefix(name)?;
            rest.strip_prefix(kind)?.strip_prefix('/')
        };
        let lock = || path.strip_prefix("hub/.locks/models--")?.strip_prefix(name);
        let beside = || path.strip_prefix("tandem/")?.strip_prefix(name);
        match self {
            Self::Folder(_) => {
                let own = path
                    .strip_prefix("hub/models--")
                    .and_then(|p| p.strip_prefix(name));
                own.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    || lock().is_some_and(str::is_empty)
                    || beside().is_some_and(str::is_empty)
            }
            Self::File(_) => {
                lock() == Some("/tandem.lock")
                    || hub("/blobs").is_some_and(one)
                    || hub("/tandem-selections").is_some_and(one)
            }
            Self::Blob(_) => hub("/blobs").is_some_and(one),
            Self::Link(_) => hub("/snapshots").is_some_and(|rest| rest.contains('/')),
            Self::Reference { .. } => hub("/refs").is_some(),
            Self::Checkpoint(_) => beside()
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| {
                    let ending = ["-mtp", "-draft"].iter().find_map(|e| rest.strip_suffix(e));
                    ending.is_some_and(is_commit)
                }),
        }
    }
}

/// The repositories whose part of the cache a work writes to.
pub fn repositories(work: &NodeWork) -> Vec<String> {
    let mut repos: Vec<String> = match work {
        NodeWork::Graft(request) => vec![request.repo.clone()],
        NodeWork::Check(request) => vec![request.repo.clone()],
        work => work
            .fetches()
            .into_iter()
            .flat_map(|f| f.repositories.iter())
            .map(|r| r.repo.clone())
            .collect(),
    };
    repos.dedup();
    repos
}

/// The notes of one job.
pub struct CreatedPaths(Mutex<CreatedEntries>);

struct CreatedEntries {
    entries: BTreeSet<CreatedPath>,
    out: Option<File>,
}

impl CreatedPaths {
    /// Notes kept in memory only.
    pub fn in_memory() -> Self {
        Self(Mutex::new(CreatedEntries {
            entries: BTreeSet::new(),
            out: None,
        }))
    }

    /// Notes kept in a file, going on from what it says. Notes of an older version are written anew.
    pub fn in_file(path: &Path, repos: &[String]) -> Result<Self, Problem> {
        let entries = read(path, repos)?;
        let failed = |e: io::Error| disk::problem("noting what is made", path, &e);
        write(path, &entries).map_err(failed)?;
        let out = own_file::append(path).map_err(failed)?;
        Ok(Self(Mutex::new(CreatedEntries {
            entries,
            out: Some(out),
        })))
    }

    /// Notes an entry. The act comes after.
    pub fn note(&self, entry: CreatedPath) -> io::Result<()> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.entries.contains(&entry) {
            return Ok(());
        }
        if let Some(out) = &mut inner.out {
            out.write_all(&line(&entry)?)?;
            out.sync_data()?;
        }
        inner.entries.insert(entry);
        Ok(())
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<CreatedPath> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.iter().cloned().collect()
    }

    /// Makes a folder and those above it up to the Hugging Face home and beyond, noting each that was
    /// not there. Refuses one below a repository's folder that is a link.
    pub fn folder(&self, cache: &Cache, folder: &Path) -> io::Result<()> {
        cache.refuse_links(&folder.join("file"))?;
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|p| !p.is_dir()).collect();
        missing.reverse();
        for path in missing {
            self.note(CreatedPath::Folder(cache.relative(path)))?;
            match std::fs::create_dir(path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                other => other?,
            }
        }
        Ok(())
    }
}

fn line(entry: &CreatedPath) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(entry).map_err(io::Error::other)?;
    text.push(b'\n');
    Ok(text)
}

/// Reads the entries of a notes file; there are none where there is no file. A last line that a death cut off
/// does not count: what it would have said was not made yet. Refuses notes with anything that a job on these
/// repositories cannot have made.
pub fn read(path: &Path, repos: &[String]) -> Result<BTreeSet<CreatedPath>, Problem> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(e) => return Err(disk::problem("reading what the job made", path, &e)),
    };
    let whole = text
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    let lines: Vec<&[u8]> = text[..whole]
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .collect();
    let typed: Option<BTreeSet<CreatedPath>> = lines
        .iter()
        .map(|l| serde_json::from_slice(l).ok())
        .collect();
    let entries = typed.or_else(|| old::entries(&lines));
    entries
        .filter(|entries| entries.iter().all(|e| e.is_of(repos)))
        .ok_or_else(|| {
            Problem::new(Code::Broken, "What the job made is not known.")
                .cause(format!(
                    "{} has lines that such a job does not write.",
                    path.display()
                ))
                .fix(
                    "Look into that file, remove by hand what the job made, then the job's folder.",
                )
        })
}

/// Writes all entries anew, whole or not at all.
pub fn write(path: &Path, entries: &BTreeSet<CreatedPath>) -> io::Result<()> {
    let mut text = Vec::new();
    for entry in entries {
        text.extend(line(entry)?);
    }
    own_file::replace(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repos() -> Vec<String> {
        vec!["o/n".to_owned()]
    }

    #[test]
    fn every_new_folder_is_noted_and_no_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join(".cache/huggingface");
        let notes = dir.path().join("made");
        let made = CreatedPaths::in_file(&notes, &repos()).unwrap();
        let folder = home.join("hub/models--o--n");
        let cache = Cache::find(home.to_str()).unwrap();
        made.folder(&cache, &folder).unwrap();
        made.folder(&cache, &folder).unwrap();
        let entries: Vec<_> = read(&notes, &repos()).unwrap().into_iter().collect();
        let paths: Vec<&str> = entries.iter().map(CreatedPath::path).collect();
        assert_eq!(paths, [".", "..", "hub", "hub/models--o--n"]);
    }

    #[test]
    fn a_name_stays_a_name_whatever_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let notes = dir.path().join("made");
        let made = CreatedPaths::in_file(&notes, &repos()).unwrap();
        let name = "hub/models--o--n/snapshots/c/x\"}\\ {\"folder\":\"y";
        made.note(CreatedPath::Link(name.to_owned())).unwrap();
        let entries = read(&notes, &repos()).unwrap();
        assert_eq!(
            entries,
            BTreeSet::from([CreatedPath::Link(name.to_owned())])
        );
        let other = read(&notes, &["o/other".to_owned()]).unwrap_err();
        assert_eq!(other.code, Code::Broken, "another repository's notes");
        // A death in the middle of a line.
        let mut text = std::fs::read(&notes).unwrap();
        text.extend_from_slice(b"{\"blob\":\"hub/mod");
        std::fs::write(&notes, text).unwrap();
        assert_eq!(read(&notes, &repos()).unwrap(), entries);
        let made = CreatedPaths::in_file(&notes, &repos()).unwrap();
        made.note(CreatedPath::Folder("hub".into())).unwrap();
        assert_eq!(
            read(&notes, &repos()).unwrap().len(),
            2,
            "the next line stands by itself"
        );
    }

    #[test]
    fn only_what_lies_where_the_job_works_is_believed() {
        let commit = "c".repeat(40);
        let text = |path: &str| path.replace("COMMIT", &commit);
        let good = [
            CreatedPath::Folder("../..".into()),
            CreatedPath::Folder("hub/../..".into()),
            CreatedPath::Folder("hub/.locks/models--o--n".into()),
            CreatedPath::File("hub/.locks/models--o--n/tandem.lock".into()),
            CreatedPath::File("hub/models--o--n/blobs/e.tandem-partial".into()),
            CreatedPath::Blob("hub/models--o--n/blobs/e".into()),
            CreatedPath::Link(text("hub/models--o--n/snapshots/COMMIT/sub/x")),
            CreatedPath::Checkpoint(text("tandem/o--n/COMMIT-mtp")),
        ];
        for entry in good {
            assert!(entry.is_of(&repos()), "{entry:?}");
        }
        let bad = [
            CreatedPath::Folder("../../x".into()),
            CreatedPath::Folder("hub/../../x".into()),
            CreatedPath::Folder("hub/models--o--nn".into()),
            CreatedPath::File("token".into()),
            CreatedPath::Blob("hub/models--me--private/blobs/e".into()),
            CreatedPath::Blob("hub/models--o--n/blobs/../../../token".into()),
            CreatedPath::Link("hub/models--o--n/blobs/e".into()),
            CreatedPath::Reference {
                path: "hub/models--me--private/refs/main".into(),
                was: Some(commit.clone()),
            },
            CreatedPath::Checkpoint("tandem/o--n".into()),
            CreatedPath::Checkpoint(text("tandem/me--mine/COMMIT-mtp")),
        ];
        for entry in bad {
            assert!(!entry.is_of(&repos()), "{entry:?}");
        }
    }
}
