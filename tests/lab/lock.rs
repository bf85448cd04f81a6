//! One user at a time, over all processes of the box: of a pair of machines, and of what all pairs start from.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Context as _, LabError};

/// Held until it is dropped, or its process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else uses this pair of machines. Each pair has a `/run` of its own.
    pub(crate) async fn of_pair() -> Result<Self, LabError> {
        Self::wait(PathBuf::from("/run/tandem-lab.lock")).await
    }

    /// Waits until nobody else makes parts that all pairs start from.
    pub(crate) async fn of_making(cache: &Path) -> Result<Self, LabError> {
        Self::wait(cache.join("making.lock")).await
    }

    async fn wait(path: PathBuf) -> Result<Self, LabError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .context(|| format!("`{}` could not be made", folder.display()))?;
        }
        let file =
            File::create(path).context(|| "the lab's lock could not be opened".to_owned())?;
        tokio::task::spawn_blocking(move || {
            rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
                .context(|| "the lab's lock could not be taken".to_owned())?;
            Ok(Self { _file: file })
        })
        .await
        .context(|| "waiting for the lab was cut short".to_owned())?
    }
}
