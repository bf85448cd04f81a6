//! What a grafted checkpoint says of itself: nothing of time or place, so that it is the same on
//! every machine.

use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tandem_domain::graft::mtp_method::MtpMethod;
use tandem_domain::node::{GraftKind, GraftReceipt, GraftRequest, WrittenFile};
use tandem_domain::repository::is_file;

use crate::digest::{Hasher, read_through, sha256};

/// The manifest's name in the checkpoint.
pub(crate) const FILE: &str = "tandem-graft.json";
/// Files up to this size are hashed even by a quick look.
const SMALL: u64 = 16 << 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file.
    pub tandem_graft: u32,
    /// What the checkpoint is.
    #[serde(default)]
    pub way: MtpMethod,
    /// The repository served.
    pub repo: String,
    /// Its commit.
    pub commit: String,
    /// The repository that gave the layers.
    pub source_repo: String,
    /// Its commit.
    pub source_commit: String,
    /// The published draft that the tensors came from, with its commit, where it was not the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft_source: Option<String>,
    /// MTP tensors in the checkpoint.
    pub tensors: u32,
    /// Bytes of those tensors.
    pub tensor_bytes: u64,
    /// sha256 of each tensor that was brought, by name.
    pub tensor_sha256: std::collections::BTreeMap<String, String>,
    /// Files made for this checkpoint.
    pub written: Vec<WrittenFile>,
    /// Files that are the snapshot's.
    pub linked: Vec<LinkedFile>,
}

/// A file that is a hard link to the cache's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedFile {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

impl Manifest {
    /// Reads the manifest in a folder.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read(folder.join(FILE)).ok()?;
        let manifest: Self = serde_json::from_slice(&text).ok()?;
        let names_are_good = manifest
            .written
            .iter()
            .map(|w| &w.name)
            .chain(manifest.linked.iter().map(|l| &l.name))
            .all(|name| is_file(name));
        (manifest.tandem_graft == 1 && names_are_good).then_some(manifest)
    }

    /// The manifest as it is written.
    pub fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The manifest of what was made before for a request in `folder`, if it is whole.
    pub(crate) fn existing(folder: &Path, request: &GraftRequest) -> Option<Self> {
        let manifest = Self::read(folder)?;
        let asks_for_commit = request.source_revision.len() == 40
            && request
                .source_revision
                .bytes()
                .all(|b| b.is_ascii_hexdigit());
        let same = manifest.repo == request.repo
            && manifest.commit == request.commit
            && manifest.way == request.way
            && manifest.source_repo == request.source_repo
            && (!asks_for_commit || manifest.source_commit == request.source_revision);
        (same && manifest.faults(folder, false).is_empty()).then_some(manifest)
    }

    /// What is wrong with the checkpoint: file and sentence.
    pub fn faults(&self, folder: &Path, deep: bool) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut say = |name: &str, fault: String| faults.push((name.to_owned(), fault));
        for file in &self.linked {
            match std::fs::metadata(folder.join(&file.name)) {
                Ok(meta) if meta.len() == file.size => {}
                Ok(meta) => say(
                    &file.name,
                    format!("It has {} bytes and should have {}.", meta.len(), file.size),
                ),
                Err(e) => say(&file.name, format!("It cannot be read: {e}.")),
            }
        }
        for file in &self.written {
            let path = folder.join(&file.name);
            match std::fs::metadata(&path) {
                Ok(meta) if meta.len() == file.size => {
                    if deep || file.size <= SMALL {
                        match hash(&path) {
                            Ok(found) if found == file.sha256 => {}
                            Ok(_) => say(&file.name, "Its content changed since the graft.".into()),
                            Err(e) => say(&file.name, format!("It cannot be read: {e}.")),
                        }
                    }
                }
                Ok(meta) => say(
                    &file.name,
                    format!("It has {} bytes and should have {}.", meta.len(), file.size),
                ),
                Err(e) => say(&file.name, format!("It cannot be read: {e}.")),
            }
        }
        faults
    }

    /// The receipt of a checkpoint in `folder`.
    pub(crate) fn receipt(&self, folder: &Path, fetched: u64) -> GraftReceipt {
        let text = self.text();
        let mut written = self.written.clone();
        written.push(WrittenFile {
            name: FILE.to_owned(),
            size: text.len() as u64,
            sha256: sha256(text.as_bytes()),
        });
        GraftReceipt {
            kind: match self.way {
                MtpMethod::Draft => GraftKind::Draft,
                _ => GraftKind::Overlay,
            },
            path: folder.to_string_lossy().into_owned(),
            tensors: self.tensors,
            tensor_bytes: self.tensor_bytes,
            fetched,
            written,
            patch: None,
        }
    }
}

/// The sha256 of a file.
pub(crate) fn hash(path: &Path) -> std::io::Result<String> {
    let mut hasher = Hasher::sha256();
    read_through(&File::open(path)?, |_, bytes| {
        hasher.update(bytes);
        true
    })?;
    Ok(hasher.hex())
}
