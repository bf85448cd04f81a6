//! What the app and `tandem-node`, the program on a Spark, say to each other.
//!
//! ```text
//! tandem-node version                        -> one line, NodeVersion
//! tandem-node facts                          -> one line, machine::Facts
//! tandem-node start  KIND --job NAME         reads a NodeRequest from stdin, detaches the work, one line JobState
//! tandem-node follow --job NAME [--after N]  -> NodeLine per line from N on, until a last one
//! tandem-node cancel --job NAME              -> one line JobState; what is on disk stays for a resume
//! tandem-node limit  --job NAME              reads a FetchLimits from stdin, holds the job to it from now on, one line JobState
//! tandem-node asked  --job NAME              -> one line JobAsked; what the job was asked to do, and how it stands
//! tandem-node undo   --job NAME              ends the job, removes exactly what it made, and its folder once nothing is left, one line Undone
//! tandem-node grafted                        reads a graft's NodeRequest, looks only: GraftReceipt, or null if there is work
//! tandem-node run    KIND                    the work itself, in the foreground, lines on stdout
//! tandem-node copy serve …                   -> one line Serving; see CopyRequest and SaveImage
//! tandem-node bandwidth serve --listen ADDRESS --seconds N --streams K
//!                                            -> one line Listening, then one line Carried
//! tandem-node bandwidth send  --to ADDRESS:PORT --seconds N --streams K
//!                                            reads the token from stdin -> one line Carried
//! ```
//!
//! [`disk`] adds what concerns the disk. Where an answer of one line cannot be given, the line is `{"event":"failed","problem":…}` and the exit
//! status is 1; [`Refused`] reads it.
//!
//! A job is named after its run and step, so a repeated `start` finds the one that is under way
//! instead of making a second. Its folder is `~/.local/share/tandem/jobs/NAME`. Lines are kept there
//! with sequence numbers; a follower that lost its connection asks again from where it was.
//! The token of a request never touches a disk: see [`NodeRequest::token`].

use serde::{Deserialize, Serialize};

use crate::graft::mtp_method::MtpMethod;
use crate::graft::patch::PatchFile;
use crate::problem::Problem;
use crate::repository::{check_commit, check_repository, check_revision};
pub use crate::run::PauseReason;

pub mod disk;
pub mod hub_address;
pub mod told;

mod copy;
mod fetch;

pub use copy::{CopyRequest, CopyTicket, Serving};
pub use fetch::{FetchReceipt, FetchRequest, FetchedSnapshot, RepoFiles, Repositories};

mod image;

pub use image::{LoadImage, Loaded, SaveImage, Spooled};

mod limits;

pub use limits::{FetchHours, FetchLimits, Flow, LEAST_RATE, minute_of};

mod probe;
mod refusal;

pub use probe::{ProbeRequest, Probed};
pub use refusal::Refusal;

mod share;

pub use share::Share;

mod survey;

pub use survey::{Survey, SurveyRequest};

pub mod xet;

/// Version of this conversation. A node program that speaks another is replaced.
pub const PROTOCOL: u32 = 2;

/// Where the node program lives on a machine, below the user's home.
pub const PROGRAM: &str = "~/.local/share/tandem/tandem-node";

/// Answer of `version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeVersion {
    /// The package version.
    pub version: String,
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// As `uname -m` names it.
    pub arch: String,
}

/// The answer of a subcommand that could not do its part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why and what to do, as the machine tells it.
    #[serde(deserialize_with = "told::problem")]
    pub problem: Problem,
}

/// A piece of long work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRequest {
    /// The Hub's token, moved from stdin to the worker through memory or a tmpfs file that is removed
    /// on reading; never part of the kept request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What to do.
    #[serde(flatten)]
    pub work: NodeWork,
}

/// The kinds of long work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum NodeWork {
    /// Bring files of repositories into the Hugging Face cache.
    Fetch(FetchRequest),
    /// Bring it from another machine of ours, over the private link.
    Copy(CopyRequest),
    /// Give a snapshot its MTP layers.
    Graft(GraftRequest),
    /// Compare a revision with what it should be, and fetch again what is wrong where that is asked for.
    Check(disk::CheckRequest),
    /// Look what a fetch would find, and how fast the Hub gives.
    Survey(SurveyRequest),
    /// Have Docker write an image into a file, to be served to another machine of ours.
    SaveImage(SaveImage),
    /// Copy such a file from another machine of ours, and have Docker load it.
    LoadImage(LoadImage),
    /// Read from the Hub for a few seconds, to compare machines.
    Probe(ProbeRequest),
}

impl NodeWork {
    /// What it is called on the command line.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Copy(_) => "copy",
            Self::Fetch(_) => "fetch",
            Self::Graft(_) => "graft",
            Self::Survey(_) => "survey",
            Self::Check(_) => "check",
            Self::SaveImage(_) => "save-image",
            Self::LoadImage(_) => "load-image",
            Self::Probe(_) => "probe",
        }
    }
}

impl NodeWork {
    /// Refuses names of repositories, revisions and commits that would lead out of the cache. Whoever carries
    /// a work out asks this first, wherever the request comes from.
    pub fn check_names(&self) -> Result<(), Problem> {
        let all = |repositories: &Repositories| -> Result<(), Problem> {
            repositories.iter().try_for_each(RepoFiles::check_names)
        };
        match self {
            Self::Fetch(request) => all(&request.repositories),
            Self::Copy(request) => all(&request.fetch.repositories),
            Self::Survey(request) => all(&request.repositories),
            Self::Probe(request) => request.what.check_names(),
            Self::Graft(request) => request.check_names(),
            Self::Check(request) => request.check_names(),
            Self::SaveImage(_) | Self::LoadImage(_) => Ok(()),
        }
    }

    /// The limits of what it fetches from the Hub, where that can have any.
    pub fn fetches(&self) -> Option<&FetchRequest> {
        match self {
            Self::Fetch(request) => Some(request),
            Self::Copy(request) => Some(&request.fetch),
            _ => None,
        }
    }

    /// The same work with other limits.
    pub fn fetches_mut(&mut self) -> Option<&mut FetchRequest> {
        match self {
            Self::Fetch(request) => Some(request),
            Self::Copy(request) => Some(&mut request.fetch),
            _ => None,
        }
    }
}

/// See [`NodeWork::Graft`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraftRequest {
    /// For example `https://huggingface.co`.
    pub endpoint: String,
    /// The repository of the snapshot to be served.
    pub repo: String,
    /// Its commit, fetched before.
    pub commit: String,
    /// The repository that has the MTP layers in BF16.
    pub source_repo: String,
    /// Its branch, tag or commit.
    pub source_revision: String,
    /// As in [`FetchRequest::hf_home`].
    #[serde(default)]
    pub hf_home: Option<String>,
    /// How they are to be had.
    #[serde(default)]
    pub way: MtpMethod,
    /// A repository that has them as a draft of its own; it is used for a draft where the Hub has it and
    /// it holds exactly the tensors that `source_repo` names.
    #[serde(default)]
    pub draft_repo: Option<String>,
}

impl GraftRequest {
    /// Refuses names that would lead out of the cache.
    pub fn check_names(&self) -> Result<(), Problem> {
        check_repository(&self.repo)?;
        check_commit(&self.commit)?;
        check_repository(&self.source_repo)?;
        check_revision(&self.source_revision)?;
        self.draft_repo.as_deref().map_or(Ok(()), check_repository)
    }
}

/// Where the MTP layers to serve with are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraftReceipt {
    /// How it came about.
    pub kind: GraftKind,
    /// The folder, absolute: the snapshot itself, the checkpoint made beside it, or the draft directory
    /// with which the snapshot is served.
    pub path: String,
    /// MTP tensors in it.
    pub tensors: u32,
    /// Bytes of those tensors.
    pub tensor_bytes: u64,
    /// Bytes that crossed the line in this job, headers included, over all of its starts.
    pub fetched: u64,
    /// What the graft wrote, with sha256 in hex; the same on every machine. Empty when built in.
    pub written: Vec<WrittenFile>,
    /// A file of the image's vLLM that is changed for them. The step that starts the server adds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchFile>,
}

/// See [`GraftReceipt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GraftKind {
    /// The revision already has them.
    BuiltIn,
    /// A checkpoint beside the snapshot.
    Overlay,
    /// A checkpoint of the layers alone.
    Draft,
}

/// A file with its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFile {
    /// Relative to [`GraftReceipt::path`].
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Hex.
    pub sha256: String,
}

/// One file that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct FileFault {
    /// Name in the repository.
    pub name: String,
    /// What is wrong, as a sentence.
    #[serde(deserialize_with = "told::sentence")]
    #[cfg_attr(feature = "bindings", specta(type = String))]
    pub fault: String,
}

/// One line of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeLine {
    /// From 1, without gaps, over all starts of the job.
    pub seq: u64,
    /// Milliseconds since 1970 on that machine.
    pub at: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: NodeEvent,
}

/// What a job says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum NodeEvent {
    /// How far it is. Only the latest counts.
    Progress {
        /// Bytes here and good.
        done: u64,
        /// Bytes in all; `None` while unknown.
        total: Option<u64>,
        /// Bytes per second over the last seconds.
        rate: Option<f64>,
        /// What is being done, e.g. a file name.
        #[serde(deserialize_with = "told::sentence")]
        doing: String,
        /// What it waits for by order; `None` where it goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<PauseReason>,
    },
    /// Something worth a line in the log.
    Note {
        /// A sentence.
        #[serde(deserialize_with = "told::sentence")]
        text: String,
    },
    /// The end: it is done. `result` is the kind's receipt.
    Done {
        /// [`FetchReceipt`], [`GraftReceipt`], [`Survey`], [`Probed`], [`Spooled`] or [`Loaded`].
        result: serde_json::Value,
    },
    /// The end: it did not happen.
    Failed {
        /// Why and what to do, as the machine tells it.
        #[serde(deserialize_with = "told::problem")]
        problem: Problem,
    },
    /// The end: somebody cancelled it. What is on disk stays.
    Cancelled,
    /// The end as a follower sees it: the worker is gone without a word (killed, or the machine restarted).
    /// Not kept in the job; a new `start` goes on from what is on disk.
    Lost,
}

impl NodeEvent {
    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Progress { .. } | Self::Note { .. })
    }
}

/// Answer of `undo`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// Files and links removed.
    pub removed: u32,
    /// Bytes freed.
    pub bytes: u64,
    /// What could not be removed, as sentences. The job keeps its notes of it, so that another undo tries
    /// again; with nothing left the job is forgotten.
    #[serde(deserialize_with = "told::sentences")]
    pub left: Vec<String>,
    /// What the job made and others use by now, as sentences. It stays, and the job forgets it.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "told::sentences"
    )]
    pub kept: Vec<String>,
}

/// Answer of `start` and `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    /// The name.
    pub job: String,
    /// Where it stands.
    pub state: JobStanding,
    /// The last sequence number written so far.
    pub last_seq: u64,
}

/// Answer of `asked`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobAsked {
    /// How it stands.
    pub state: JobState,
    /// What it was asked to do, without the token.
    pub work: NodeWork,
}

/// See [`JobState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobStanding {
    /// It was started just now.
    Started,
    /// It was under way already.
    Running,
    /// It had ended as done; `follow` gives its result.
    Done,
    /// It has ended otherwise, or there is none of that name.
    Ended,
}

/// First answer of `bandwidth serve`: it waits for one sender, on this port of the address it was given.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// The port.
    pub port: u16,
    /// What the sender must say first. Made for this one measurement, so that it needs no keeping.
    pub token: String,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Answer of `bandwidth`: what crossed the link, as the receiver counted it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// Bytes that arrived.
    pub bytes: u64,
    /// From the first to the last of them.
    pub seconds: f64,
    /// Gb/s, 10^9 bits.
    pub gbps: f64,
}
