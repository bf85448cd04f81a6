//! Files of one repository or of several, brought into the Hugging Face cache by one job.

use serde::{Deserialize, Serialize};

use super::FetchLimits;
use crate::artifact::{Artifact, Selection};
use crate::problem::Problem;
use crate::repository::{check_repository, check_revision};

/// Files of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoFiles {
    /// `owner/name`.
    pub repo: String,
    /// A branch, tag or commit.
    pub revision: String,
    /// Which of its files.
    #[serde(default, skip_serializing_if = "Selection::is_all")]
    pub files: Selection,
}

impl RepoFiles {
    /// All files of a revision.
    pub fn all(repo: impl Into<String>, revision: impl Into<String>) -> Self {
        Self {
            repo: repo.into(),
            revision: revision.into(),
            files: Selection::default(),
        }
    }

    /// Refuses names that would lead out of the cache.
    pub fn check_names(&self) -> Result<(), Problem> {
        check_repository(&self.repo)?;
        check_revision(&self.revision)
    }
}

impl From<&Artifact> for RepoFiles {
    fn from(artifact: &Artifact) -> Self {
        Self {
            repo: artifact.repo.clone(),
            revision: artifact.revision.clone(),
            files: artifact.files.clone(),
        }
    }
}

/// Files of at least one repository, in order. A request of an older version names one, with all its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repositories {
    /// The first; the one that is served, where one is.
    #[serde(flatten)]
    pub first: RepoFiles,
    /// The others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<RepoFiles>,
}

impl Repositories {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &RepoFiles> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl From<RepoFiles> for Repositories {
    fn from(first: RepoFiles) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

/// See [`super::NodeWork::Fetch`].
///
/// Repeated, it goes on from what is there; cancelled, what is there stays. Before a byte is fetched it is
/// refused where a selection fits nothing or leaves out what the selected files need
/// ([`crate::artifact::complete`]), or where the disk has not the room for all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// For example `https://huggingface.co`.
    pub endpoint: String,
    /// What is to be there in the end. Progress, limits and the disk's room are of all of it together.
    #[serde(flatten)]
    pub repositories: Repositories,
    /// The Hugging Face home; `None` means `$HF_HOME` or `~/.cache/huggingface`.
    #[serde(default)]
    pub hf_home: Option<String>,
    /// Ranges fetched at once over all files.
    #[serde(default = "default_connections")]
    pub connections: u16,
    /// Its limits; they can be changed while it runs.
    #[serde(default)]
    pub limits: FetchLimits,
    /// The proxy, for example `socks5h://10.0.0.1:1080`; `None` means what the machine's environment
    /// says. It holds no password: a request is kept on the machine's disk.
    #[serde(default)]
    pub proxy: Option<String>,
}

impl FetchRequest {
    /// One that says nothing but what is to be there.
    pub fn of(endpoint: impl Into<String>, repositories: Repositories) -> Self {
        Self {
            endpoint: endpoint.into(),
            repositories,
            hf_home: None,
            connections: default_connections(),
            limits: FetchLimits::default(),
            proxy: None,
        }
    }
}

fn default_connections() -> u16 {
    8
}

/// What a fetch brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchReceipt {
    /// What there is of the first repository.
    #[serde(flatten)]
    pub first: FetchedSnapshot,
    /// The same of the others, in the request's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<FetchedSnapshot>,
    /// Bytes that crossed the line in this job, over all of its starts.
    pub fetched: u64,
    /// What this job made, relative to the Hugging Face home, to be read by people; a folder ends in `/`.
    pub made: Vec<String>,
}

impl FetchReceipt {
    /// Every snapshot, in the request's order.
    pub fn snapshots(&self) -> impl Iterator<Item = &FetchedSnapshot> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Files in all snapshots.
    pub fn files(&self) -> u32 {
        self.snapshots().map(|s| s.files).sum()
    }

    /// Bytes in all snapshots.
    pub fn bytes(&self) -> u64 {
        self.snapshots().map(|s| s.bytes).sum()
    }
}

/// What there is of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedSnapshot {
    /// The commit.
    pub commit: String,
    /// The snapshot's folder, absolute.
    pub snapshot: String,
    /// Selected files in it.
    pub files: u32,
    /// Bytes in these.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_request_and_a_receipt_of_an_older_version_are_read_and_written_the_same() {
        let asked = json!({
            "endpoint": "http://hub", "repo": "o/n", "revision": "main", "hf_home": null,
            "connections": 8, "limits": FetchLimits::default(), "proxy": null,
        });
        let request: FetchRequest = serde_json::from_value(asked.clone()).unwrap();
        let whole = RepoFiles::all("o/n", "main");
        assert_eq!(request.repositories, Repositories::from(whole));
        assert_eq!(serde_json::to_value(&request).unwrap(), asked);
        let came = json!({
            "commit": "c", "snapshot": "/s", "files": 2, "bytes": 9, "fetched": 9,
            "made": ["hub/models--o--n/blobs/e"],
        });
        let receipt: FetchReceipt = serde_json::from_value(came.clone()).unwrap();
        assert_eq!((receipt.files(), receipt.bytes()), (2, 9));
        assert_eq!(serde_json::to_value(&receipt).unwrap(), came);
    }

    #[test]
    fn a_request_of_several_survives_the_way() {
        let mut some = RepoFiles::all("o/draft", "v1");
        some.files.include = vec!["*.json".into()];
        let two = Repositories {
            first: RepoFiles::all("o/n", "main"),
            others: vec![some],
        };
        let request = FetchRequest::of("http://hub", two);
        let text = serde_json::to_string(&request).unwrap();
        let again: FetchRequest = serde_json::from_str(&text).unwrap();
        assert_eq!(again, request);
        assert_eq!(again.repositories.iter().count(), 2);
    }
}
