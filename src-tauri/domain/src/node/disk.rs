//! What the app and `tandem-node` say to each other about a machine's disk.
//!
//! ```text
//! tandem-node disk        reads a DiskRequest from stdin, looks only -> one line DiskReport
//! tandem-node check-time  reads a CheckRequest from stdin, reads for a moment -> one line CheckTime
//! tandem-node start check … reads a CheckRequest from stdin -> lines, the last with a CheckReceipt
//! tandem-node remove      reads a RemoveRequest from stdin, removes exactly that -> one line Undone
//! tandem-node uncache     reads an UncacheRequest from stdin -> one line Uncached
//! ```

use serde::{Deserialize, Serialize};

use crate::artifact::Selection;
use crate::problem::Problem;
use crate::repository::{check_repository, check_revision};

/// What `disk` is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRequest {
    /// The Hugging Face home; `None` means `$HF_HOME` or `~/.cache/huggingface`.
    #[serde(default)]
    pub hf_home: Option<String>,
}

/// Answer of `disk`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskReport {
    /// The Hugging Face home, absolute.
    pub home: String,
    /// Free bytes of its disk.
    pub free: u64,
    /// All bytes of its disk.
    pub total: u64,
    /// Bytes of memory that hold files which were read or written, and are given back on demand.
    pub cached: u64,
    /// Bytes that all of the items take, each byte counted once.
    pub taken: u64,
    /// Everything that is known about, the largest first.
    pub items: Vec<DiskItem>,
}

/// Something on the disk that can be looked at and removed by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct DiskItem {
    /// What it is.
    pub kind: DiskKind,
    /// Where it is, absolute; of an image its id.
    pub path: String,
    /// `owner/name`, an image's tag, or what the folder is called.
    pub name: String,
    /// The commit of a revision, or the one a checkpoint was made for.
    pub commit: Option<String>,
    /// Branches and tags that name the revision; other tags of an image.
    pub refs: Vec<String>,
    /// Files in it.
    pub files: u32,
    /// Bytes it takes, with those it shares.
    pub size: u64,
    /// Bytes that are free once it alone is removed.
    pub frees: u64,
    /// When it was last read or written, in milliseconds since 1970.
    pub used_at: Option<i64>,
    /// Links of a revision that lead to nothing.
    pub missing: u32,
    /// The user it belongs to, where that is another than ours.
    pub foreign: Option<String>,
    /// Who has it open on the machine, in words.
    pub busy: Option<String>,
}

/// See [`DiskItem::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum DiskKind {
    /// A revision of a repository in the Hugging Face cache.
    Revision,
    /// A checkpoint that Tandem made beside a revision.
    Overlay,
    /// A checkpoint of the drafter alone.
    Draft,
    /// A container image.
    Image,
    /// What a server compiled, to start faster.
    CompileCache,
    /// What a downloader keeps to fetch less.
    DownloadCache,
    /// A download that has not come to its end.
    Unfinished,
    /// Files of the cache that no revision uses any more.
    Leftover,
}

/// A piece of work of kind `check`: compares a revision on the disk with what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRequest {
    /// For example `https://huggingface.co`.
    pub endpoint: String,
    /// `owner/name`.
    pub repo: String,
    /// A commit, or a branch or tag.
    pub commit: String,
    /// Which of its files should be there. `None` means those that Tandem selected when it fetched the
    /// revision, and all of them where it selected none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Selection>,
    /// As in [`DiskRequest::hf_home`].
    #[serde(default)]
    pub hf_home: Option<String>,
    /// Whether every byte is hashed, or only sizes, headers, links and the index looked at.
    #[serde(default)]
    pub deep: bool,
    /// Whether a deep check hashes those files alone that came from the other machine and were not hashed here yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_copied: bool,
    /// Whether what is wrong is fetched again. Nothing that is right is.
    #[serde(default)]
    pub repair: bool,
    /// Whether the Hub has to answer. A set-up does not take the cache's own word.
    #[serde(default)]
    pub online: bool,
}

impl CheckRequest {
    /// Refuses names that would lead out of the cache.
    pub fn check_names(&self) -> Result<(), Problem> {
        check_repository(&self.repo)?;
        check_revision(&self.commit)
    }
}

/// What a check found, and what a repair did about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct CheckReceipt {
    /// The commit looked at.
    pub commit: String,
    /// Its snapshot's folder, absolute, whether or not it exists.
    #[serde(default)]
    pub snapshot: String,
    /// Files looked at.
    pub files: u32,
    /// Bytes of those that are right.
    pub bytes: u64,
    /// Whether every byte was hashed.
    pub deep: bool,
    /// How many sound files came from the other machine and were not hashed here yet: their hashes are its word.
    #[serde(default)]
    pub copied: u32,
    /// What is wrong still. Empty: as far as it was looked at, all is well.
    pub faults: Vec<CheckFault>,
    /// What could not be looked at, as sentences. Not empty when the Hub did not answer.
    pub unchecked: Vec<String>,
    /// Names of the files that a repair put right.
    pub repaired: Vec<String>,
    /// Bytes that crossed the line for that.
    pub fetched: u64,
    /// How long it took.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub seconds: f64,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct CheckFault {
    /// The file's name in the repository.
    pub name: String,
    /// Which kind of wrong.
    pub kind: FaultKind,
    /// What is wrong, as a sentence.
    #[serde(deserialize_with = "super::told::sentence")]
    #[cfg_attr(feature = "bindings", specta(type = String))]
    pub fault: String,
    /// A command that cures it, where Tandem may not do it itself.
    #[serde(default, deserialize_with = "super::told::command")]
    #[cfg_attr(feature = "bindings", specta(type = Option<String>))]
    pub cure: Option<String>,
}

/// See [`CheckFault::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The file or the blob behind its link is not there.
    Missing,
    /// The blob may be right, but the link to it is not.
    Link,
    /// It has another size than it should.
    Size,
    /// Its safetensors header does not fit it.
    Header,
    /// Its hash is another.
    Content,
    /// It cannot be read, mostly because it belongs to another user.
    Closed,
    /// The index of the checkpoint and its files do not agree.
    Index,
    /// A branch's reference leads to nothing.
    Reference,
    /// A checkpoint made beside the revision is not as it was made.
    Overlay,
    /// Its safetensors header does not fit it, and it is the file that the Hub has: it was uploaded so. Another
    /// revision is the cure, and fetching it again is none.
    Source,
}

impl FaultKind {
    /// Whether fetching the file again is the cure.
    pub fn is_of_content(self) -> bool {
        matches!(
            self,
            Self::Missing | Self::Size | Self::Header | Self::Content
        )
    }
}

/// Answer of `check-time`: how long a deep check will take, as far as a moment's reading tells.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct CheckTime {
    /// Files to be hashed, each once.
    pub files: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds that it will take.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub seconds: f64,
    /// Bytes per second that one processor core hashes.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub hash_rate: f64,
    /// Bytes per second that the disk gave, with as many readers as there will be.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub disk_rate: f64,
    /// Cores that hash at a time.
    pub cores: u32,
}

/// What `remove` is to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveRequest {
    /// As in [`DiskRequest::hf_home`].
    #[serde(default)]
    pub hf_home: Option<String>,
    /// Items as `disk` named them. What it does not name is refused, and then nothing is removed.
    pub items: Vec<Doomed>,
    /// Paths that a container uses; the machine's user cannot see that by itself.
    #[serde(default)]
    pub in_use: Vec<String>,
}

/// One item of a [`RemoveRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Doomed {
    /// See [`DiskItem::kind`].
    pub kind: DiskKind,
    /// See [`DiskItem::path`].
    pub path: String,
}

/// What `uncache` drops from memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncacheRequest {
    /// Files and folders, absolute. Links are followed.
    pub paths: Vec<String>,
}

/// Answer of `uncache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncached {
    /// Files that were let go of.
    pub files: u32,
    /// Files that this user may not open.
    pub closed: u32,
    /// Bytes of memory that held files before.
    pub before: u64,
    /// The same after.
    pub after: u64,
}
