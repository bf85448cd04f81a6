//! Images for the lab's registry: folders packed into layers, the same bytes each time.

use std::path::{Path, PathBuf};

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

/// The image a Spark would pull for Step-3.7, with the stand-in for vLLM in it: a few programs of the box
/// and, in a layer of its own, `vllm`.
pub(crate) async fn standin() -> Result<ImageSpec, LabError> {
    let folder = cache().join("image");
    run(&["rm", "-rf", "--one-file-system", text(&folder)]).await?;
    let (system, vllm) = (folder.join("system"), folder.join("vllm"));
    let programs: Vec<_> = ["sh", "cat", "env", "ls", "sleep", "id"]
        .map(find_program)
        .into_iter()
        .flatten()
        .collect();
    for program in &programs {
        copy(program, &system.join("usr/bin"), None).await?;
    }
    let standin = standin_program().await?;
    for program in programs.iter().chain([&standin]) {
        for library in libraries(program).await? {
            let parent = library.parent().unwrap_or(Path::new("/"));
            copy(
                &library,
                &system.join(parent.strip_prefix("/").unwrap_or(parent)),
                None,
            )
            .await?;
        }
    }
    // As Debian and Ubuntu have it, /bin is /usr/bin.
    std::os::unix::fs::symlink("usr/bin", system.join("bin"))
        .context(|| "the image could not be made".to_owned())?;
    for place in ["tmp", "root", "etc"] {
        std::fs::create_dir_all(system.join(place))
            .context(|| "the image could not be made".to_owned())?;
    }
    let users = system.join("etc/passwd");
    std::fs::write(&users, "root:x:0:0:root:/root:/bin/sh\n")
        .context(|| "the image could not be made".to_owned())?;
    copy(&standin, &vllm.join("usr/local/bin"), Some("vllm")).await?;
    // It also stands in for a Python with PyTorch, which one program of Tandem's asks for.
    let python = vllm.join("usr/local/bin/python3");
    std::os::unix::fs::symlink("vllm", python)
        .context(|| "the image could not be made".to_owned())?;
    let layer = |name: &str, folder: &Path| LayerSpec {
        name: name.to_owned(),
        folder: folder.to_owned(),
        gzip: true,
    };
    Ok(ImageSpec {
        layers: vec![layer("system", &system), layer("vllm", &vllm)],
        entrypoint: vec!["vllm".to_owned(), "serve".to_owned()],
        env: vec![("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())],
    })
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = Path::new("/usr/bin").join(name);
    path.exists().then_some(path)
}

/// Copies what a path leads to, so that a link's target comes under the link's name.
async fn copy(from: &Path, folder: &Path, name: Option<&str>) -> Result<(), LabError> {
    let what = || format!("`{}` could not be put into the image", from.display());
    std::fs::create_dir_all(folder).context(what)?;
    let own = from
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    std::fs::copy(from, folder.join(name.unwrap_or(own))).context(what)?;
    Ok(())
}

/// The libraries and the loader a program needs, by the names it asks for.
async fn libraries(program: &Path) -> Result<Vec<PathBuf>, LabError> {
    let said = crate::host::ask(&["ldd", text(program)], b"").await?;
    // A static program has none, and ldd says so with a status of 1.
    Ok(said
        .stdout
        .split_whitespace()
        .filter(|w| w.starts_with('/'))
        .map(PathBuf::from)
        .collect())
}

/// Builds the stand-in and finds it; `TANDEM_STANDIN` names one that is built already.
async fn standin_program() -> Result<PathBuf, LabError> {
    match std::env::var_os("TANDEM_STANDIN") {
        Some(path) => Ok(path.into()),
        None => crate::running::built("tandem-standin").await,
    }
}
