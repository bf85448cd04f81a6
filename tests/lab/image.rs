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

/// What the stand-in's image is made of, on the box.
struct Parts {
    programs: Vec<PathBuf>,
    standin: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Parts {
    async fn find() -> Result<Self, LabError> {
        let programs: Vec<_> = ["sh", "cat", "env", "ls", "sleep", "id"]
            .map(find_program)
            .into_iter()
            .flatten()
            .collect();
        let standin = standin_program().await?;
        let mut needed = Vec::new();
        for program in programs.iter().chain([&standin]) {
            needed.extend(libraries(program).await?);
        }
        Ok(Self {
            programs,
            standin,
            libraries: needed,
        })
    }

    /// A name that changes with any of the files.
    fn name(&self) -> Result<String, LabError> {
        use std::os::unix::fs::MetadataExt as _;
        let mut words = Vec::new();
        let files = self.programs.iter().chain([&self.standin]);
        for file in files.chain(&self.libraries) {
            let about = std::fs::metadata(file)
                .context(|| format!("`{}` could not be looked at", file.display()))?;
            words.push(format!(
                "{} {} {}.{}",
                file.display(),
                about.len(),
                about.mtime(),
                about.mtime_nsec()
            ));
        }
        Ok(crate::base::name_of(words.iter().map(String::as_str)))
    }
}

/// Puts the stand-in's image into the registry, unless the one there was made of the same files.
pub(crate) async fn push_standin() -> Result<(), LabError> {
    let parts = Parts::find().await?;
    let name = parts.name()?;
    // With the hash of the image that was pushed, for another one may have taken its name since.
    let note = |image: Option<String>| format!("{name} {}", image.unwrap_or_default());
    let stamp = cache().join("registry").join("standin");
    let last = std::fs::read_to_string(&stamp).unwrap_or_default();
    let now = crate::registry::current(crate::IMAGE);
    if now.is_some() && last == note(now) {
        return Ok(());
    }
    crate::registry::push(crate::IMAGE, &standin(&parts).await?).await?;
    std::fs::write(&stamp, note(crate::registry::current(crate::IMAGE)))
        .context(|| "the image could not be noted".to_owned())
}

/// The image a Spark would pull for Step-3.7, with the stand-in for vLLM in it: a few programs of the box
/// and, in a layer of its own, `vllm`.
async fn standin(parts: &Parts) -> Result<ImageSpec, LabError> {
    let folder = cache().join("image");
    run(&["rm", "-rf", "--one-file-system", text(&folder)]).await?;
    let (system, vllm) = (folder.join("system"), folder.join("vllm"));
    for program in &parts.programs {
        copy(program, &system.join("usr/bin"), None).await?;
    }
    for library in &parts.libraries {
        let parent = library.parent().unwrap_or(Path::new("/"));
        let place = system.join(parent.strip_prefix("/").unwrap_or(parent));
        copy(library, &place, None).await?;
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
    copy(&parts.standin, &vllm.join("usr/local/bin"), Some("vllm")).await?;
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
