//! Images for the lab's registry: folders packed into layers, the same bytes each time.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, LabError};
use crate::host::{cache, run, text};

/// What an image is made of.
#[derive(Debug, Clone, Default)]
pub struct ImageSpec {
    /// Lowest first.
    pub layers: Vec<LayerSpec>,
    /// For example `["vllm", "serve"]`.
    pub entrypoint: Vec<String>,
    /// Environment of its processes.
    pub env: Vec<(String, String)>,
}

/// One layer: a folder whose content appears at `/`.
#[derive(Debug, Clone)]
pub struct LayerSpec {
    /// What made it, for the image's history.
    pub name: String,
    /// On the box.
    pub folder: PathBuf,
    /// Whether it travels compressed. For gigabytes between machines on one box that only costs time.
    pub gzip: bool,
}

/// A layer as a registry keeps it.
pub(crate) struct Packed {
    /// Named by the hash of its bytes.
    pub(crate) file: PathBuf,
    /// Its bytes.
    pub(crate) size: u64,
    /// The hash of the tar inside.
    pub(crate) plain: String,
}

/// Packs a folder without anything that differs from one time to the next.
pub(crate) async fn pack(layer: &LayerSpec) -> Result<Packed, LabError> {
    let folder = cache().join("packing");
    std::fs::create_dir_all(&folder)
        .context(|| format!("`{}` could not be made", folder.display()))?;
    let tar = folder.join("layer.tar");
    run(&[
        "tar",
        "--create",
        "--file",
        text(&tar),
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--format=posix",
        "--pax-option=delete=atime,delete=ctime",
        "--directory",
        text(&layer.folder),
        ".",
    ])
    .await?;
    let (plain, plain_size) = hash(tar.clone()).await?;
    if !layer.gzip {
        let file = folder.join(&plain);
        std::fs::rename(&tar, &file)
            .context(|| "a packed layer could not be renamed".to_owned())?;
        return Ok(Packed {
            file,
            size: plain_size,
            plain,
        });
    }
    run(&["gzip", "--force", "--no-name", "-1", text(&tar)]).await?;
    let packed = folder.join("layer.tar.gz");
    let (digest, size) = hash(packed.clone()).await?;
    let file = folder.join(digest);
    std::fs::rename(&packed, &file).context(|| "a packed layer could not be renamed".to_owned())?;
    Ok(Packed { file, size, plain })
}

async fn hash(file: PathBuf) -> Result<(String, u64), LabError> {
    let what = format!("`{}` could not be hashed", file.display());
    tokio::task::spawn_blocking(move || {
        let mut hash = Sha256::new();
        let size = std::io::copy(&mut std::fs::File::open(file)?, &mut hash)?;
        Ok::<_, std::io::Error>((hex::encode(hash.finalize()), size))
    })
    .await
    .context(|| what.clone())?
    .context(|| what.clone())
}
