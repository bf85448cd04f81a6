//! One user of the lab at a time, over all processes of the box.

use std::fs::File;

use crate::error::{Context as _, LabError};

/// Held until it is dropped, or its process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else uses the lab.
    pub(crate) async fn wait() -> Result<Self, LabError> {
        let file = File::create("/run/tandem-lab.lock")
            .context(|| "the lab's lock could not be opened".to_owned())?;
        tokio::task::spawn_blocking(move || {
            rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
                .context(|| "the lab's lock could not be taken".to_owned())?;
            Ok(Self { _file: file })
        })
        .await
        .context(|| "waiting for the lab was cut short".to_owned())?
    }
}
