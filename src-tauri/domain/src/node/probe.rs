//! What a machine's own way to the Hub carries, seen from the machine: read for a few seconds and thrown
//! away. Nothing on the machine changes.

use serde::{Deserialize, Serialize};

use super::{FetchLimits, RepoFiles};

/// See [`super::NodeWork::Probe`]. While it reads it says [`super::NodeEvent::Progress`] several times a
/// second, with the bytes so far; the first one when the first bytes come. Two machines that read at the
/// same time can be compared by these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// For example `https://huggingface.co`.
    pub endpoint: String,
    /// One of the files that are to be fetched is read.
    #[serde(flatten)]
    pub what: RepoFiles,
    /// Ranges read at once; as many as a fetch uses.
    pub connections: u16,
    /// How long it reads, from its first byte on.
    pub milliseconds: u32,
    /// It ends earlier at this many bytes.
    pub most: u64,
    /// The limits of a fetch: outside of its hours nothing is read.
    #[serde(default)]
    pub limits: FetchLimits,
}

/// What a [`ProbeRequest`] read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Bytes that crossed the line.
    pub bytes: u64,
}
