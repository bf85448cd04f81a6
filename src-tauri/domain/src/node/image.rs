//! A container image from one machine to the other over the private link.
//!
//! ```text
//! tandem-node start save-image --job NAME    the machine that has it: a SaveImage -> Spooled
//! tandem-node copy serve --listen ADDRESS… --spool NAME
//!                                            -> one line Serving: that job's file, to one other machine
//! tandem-node start load-image --job NAME    the other machine: a LoadImage, with a CopyTicket as its secret -> Loaded
//! ```
//!
//! On its way the image is a file in the job's own folder on either end, so that `undo` of the job, which
//! forgets the folder, leaves nothing of it. A job that was cancelled or died keeps what it has for the
//! next start.

use serde::{Deserialize, Serialize};

/// See [`super::NodeWork::SaveImage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveImage {
    /// By its name with a tag.
    pub image: String,
    /// The image that is meant by it, `sha256:…`. Another under that name is refused.
    pub id: String,
}

/// An image as a file that can be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spooled {
    /// The BLAKE3 of its bytes in hex, which is also its name.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// See [`super::NodeWork::LoadImage`]. Addresses and key are in the [`super::CopyTicket`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadImage {
    /// As [`SaveImage::image`].
    pub image: String,
    /// As [`SaveImage::id`]: what has to be here in the end.
    pub id: String,
    /// The file to copy.
    pub spooled: Spooled,
    /// The machine that serves it, for the words.
    pub from: String,
    /// Streams on each rail.
    pub streams: u16,
}

/// What a load brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// The image that Docker has now.
    pub id: String,
    /// Bytes that crossed the private link in the last start of the job.
    pub copied: u64,
}
