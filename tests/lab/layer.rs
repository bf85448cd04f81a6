//! Making a layer over others: a mount in which programs of the tree can run, and what they changed.

use std::path::{Path, PathBuf};

use crate::error::{Context as _, LabError};
use crate::host::{ask, cache, run, text};

/// A layer in the making.
pub(crate) struct Making {
    half: PathBuf,
    work: PathBuf,
    /// The whole tree, as it will be with the layer.
    pub(crate) root: PathBuf,
}

impl Making {
    /// Begins a layer over these, the uppermost first.
    pub(crate) async fn over(lower: &[&Path]) -> Result<Self, LabError> {
        let making = Self {
            half: cache().join("layer.part"),
            work: cache().join("layer.work"),
            root: cache().join("layer.root"),
        };
        // A killed earlier try may have left its mount.
        let _ = ask(&["umount", text(&making.root)], b"").await;
        for folder in [&making.half, &making.work, &making.root] {
            run(&["rm", "-rf", "--one-file-system", text(folder)]).await?;
            std::fs::create_dir_all(folder)
                .context(|| format!("`{}` could not be made", folder.display()))?;
        }
        let lower: Vec<&str> = lower.iter().map(|l| text(l)).collect();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.join(":"),
            text(&making.half),
            text(&making.work)
        );
        let root = text(&making.root);
        run(&["mount", "-t", "overlay", "overlay", "-o", &options, root]).await?;
        Ok(making)
    }

    /// Writes files into it: path, mode, content.
    pub(crate) async fn write(&self, files: &[(&str, &str, &str)]) -> Result<(), LabError> {
        for (path, mode, content) in files {
            let file = self.root.join(path);
            let what = || format!("`{}` could not be written", file.display());
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent).context(what)?;
            }
            // Debian's own file may be a link; ours shall not write through it.
            let _ = std::fs::remove_file(&file);
            std::fs::write(&file, content).context(what)?;
            run(&["chmod", mode, text(&file)]).await?;
        }
        Ok(())
    }

    /// Runs a script inside the tree.
    pub(crate) async fn inside(&self, script: &str) -> Result<(), LabError> {
        let argv = ["chroot", text(&self.root), "sh", "-s"];
        let done = ask(&argv, script.as_bytes()).await?;
        if done.ok() {
            return Ok(());
        }
        Err(LabError::new(
            "the layer could not be finished",
            done.stderr,
        ))
    }

    /// Ends the work and, if it was done, puts the layer in its place.
    pub(crate) async fn end(
        self,
        done: Result<(), LabError>,
        layer: &Path,
    ) -> Result<(), LabError> {
        run(&["umount", text(&self.root)]).await?;
        done?;
        for folder in [&self.work, &self.root, &layer.to_path_buf()] {
            run(&["rm", "-rf", "--one-file-system", text(folder)]).await?;
        }
        std::fs::rename(&self.half, layer)
            .context(|| "the layer could not be put in its place".to_owned())
    }
}
