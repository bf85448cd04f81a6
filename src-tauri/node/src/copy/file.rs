//! One file by itself over the private link, named by the BLAKE3 of its bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_domain::node::Spooled;
use tandem_domain::problem::{Code, Problem, Retry};

use super::{MissingBlob, Origin, carry};
use crate::context::Context;
use crate::disk;
use crate::fetch::{NOTES, PARTIAL, with_ending};
use crate::stop::Stop;
use crate::transfer::{Meter, Target};

/// A file on its way into a folder.
pub(crate) struct Coming<'a> {
    file: &'a Spooled,
    /// Where it will be.
    pub(crate) path: PathBuf,
    notes: PathBuf,
    target: Target,
}

impl<'a> Coming<'a> {
    /// Opens what is there of it, or begins it.
    pub(crate) fn open(file: &'a Spooled, folder: &Path) -> Result<Self, Problem> {
        let path = folder.join(&file.name);
        let (partial, notes) = (with_ending(&path, PARTIAL), with_ending(&path, NOTES));
        let target = Target::open(&partial, &notes, file.bytes, false)
            .map_err(|e| disk::problem("opening an unfinished file", &partial, &e))?;
        Ok(Self {
            file,
            path,
            notes,
            target,
        })
    }

    /// Bytes that are still to come.
    pub(crate) fn missing(&self) -> u64 {
        self.file.bytes - self.target.within(0, self.file.bytes)
    }

    /// Copies it, checks it and puts it in its place. Gives back how many bytes came. Whatever arrived
    /// before it broke off or was cancelled counts the next time.
    pub(crate) async fn bring(
        self,
        origin: &Origin<'_>,
        meter: &Arc<Meter>,
        context: &Context,
    ) -> Result<u64, Stop> {
        meter.set(self.file.bytes - self.missing(), self.file.bytes);
        let wanted = MissingBlob {
            etag: self.file.name.clone(),
            size: self.file.bytes,
            blob: self.path,
            notes: self.notes,
            target: self.target,
            named_by_hub: false,
        };
        let from = origin.from;
        let carried = carry(vec![wanted], origin, meter, &context.cancel, context).await?;
        if carried.left.is_empty() {
            return Ok(carried.copied);
        }
        Err(Problem::new(
            Code::LinkFails,
            "The file did not come over the private link.",
        )
        .cause(format!("{from} does not have it any more."))
        .fix("Resume; it is made there anew.")
        .retry(Retry::Now)
        .into())
    }
}
