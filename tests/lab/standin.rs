//! The image with the stand-in for vLLM, made of programs of the box.

use std::path::{Path, PathBuf};

use crate::built::built;
use crate::error::{Context as _, LabError};
use crate::host::{ask, cache, run, text};
use crate::image::{ImageSpec, LayerSpec};
use crate::registry;

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
    let now = registry::current(crate::IMAGE);
    if now.is_some() && last == note(now) {
        return Ok(());
    }
    registry::push(crate::IMAGE, &standin(&parts).await?).await?;
    std::fs::write(&stamp, note(registry::current(crate::IMAGE)))
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
    let said = ask(&["ldd", text(program)], b"").await?;
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
        None => built("tandem-standin").await,
    }
}
