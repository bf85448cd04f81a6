//! The registry on the box, Debian's docker-registry, which both engines use as the mirror of Docker's own.
//!
//! There is no engine on the box to push with, so an image is laid into the registry's storage in the
//! form it keeps: blobs by their hash, and links that name them. Pulling is then the real thing.

use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::daemon;
use crate::error::{Context as _, LabError};
use crate::host::{cache, state, text};
use crate::image::ImageSpec;
use crate::spark::Spark;

/// Where it listens. Not on 5000, which is where Debian's package starts its own.
pub const REGISTRY: &str = "10.77.0.1:5077";

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const PLAIN_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

fn storage() -> PathBuf {
    cache().join("registry")
}

/// Makes an image pullable as `reference`, e.g. `vllm/vllm-openai:stepfun37`, and gives back its id, which
/// the engines will show. An image of that name is replaced.
pub async fn push(reference: &str, spec: &ImageSpec) -> Result<String, LabError> {
    let (name, tag) = reference
        .rsplit_once(':')
        .ok_or_else(|| LabError::new(format!("`{reference}` was not pushed"), "it has no tag"))?;
    let (mut layers, mut plain) = (Vec::new(), Vec::new());
    for layer in &spec.layers {
        let packed = crate::image::pack(layer).await?;
        let digest = put_blob(&packed.file).await?;
        link(name, &format!("_layers/sha256/{digest}"), &digest)?;
        let kind = if layer.gzip { LAYER } else { PLAIN_LAYER };
        layers.push(
            json!({ "mediaType": kind, "size": packed.size, "digest": format!("sha256:{digest}") }),
        );
        plain.push(format!("sha256:{}", packed.plain));
    }
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-06-01T00:00:00Z",
        "config": {
            "Entrypoint": spec.entrypoint,
            "Env": spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": plain },
        "history": spec.layers.iter().map(|l| json!({ "created_by": l.name })).collect::<Vec<_>>(),
    });
    let config = config.to_string().into_bytes();
    let id = put_bytes(&config)?;
    link(name, &format!("_layers/sha256/{id}"), &id)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "size": config.len(), "digest": format!("sha256:{id}") },
        "layers": layers,
    });
    let digest = put_bytes(manifest.to_string().as_bytes())?;
    link(
        name,
        &format!("_manifests/revisions/sha256/{digest}"),
        &digest,
    )?;
    link(
        name,
        &format!("_manifests/tags/{tag}/index/sha256/{digest}"),
        &digest,
    )?;
    link(name, &format!("_manifests/tags/{tag}/current"), &digest)?;
    Ok(format!("sha256:{id}"))
}

/// Whether an image of this name was pushed before.
pub fn holds(reference: &str) -> bool {
    current(reference).is_some()
}

/// The hash of the image that has this name now.
pub(crate) fn current(reference: &str) -> Option<String> {
    let (name, tag) = reference.rsplit_once(':')?;
    let repository = storage().join("docker/registry/v2/repositories").join(name);
    std::fs::read_to_string(repository.join(format!("_manifests/tags/{tag}/current/link"))).ok()
}

fn blob(digest: &str) -> PathBuf {
    storage()
        .join("docker/registry/v2/blobs/sha256")
        .join(&digest[..2])
        .join(digest)
        .join("data")
}

fn put_bytes(bytes: &[u8]) -> Result<String, LabError> {
    let digest = hex::encode(Sha256::digest(bytes));
    write(&blob(&digest), bytes)?;
    Ok(digest)
}

/// Moves a file in; its name is its hash already.
async fn put_blob(file: &Path) -> Result<String, LabError> {
    let digest = file
        .file_name()
        .and_then(|n| n.to_str())
        .ok_or_else(|| LabError::new("a layer was not stored", "it has no name"))?
        .to_owned();
    let target = blob(&digest);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)
            .context(|| format!("`{}` could not be made", parent.display()))?;
    }
    std::fs::rename(file, &target)
        .context(|| format!("`{}` could not be stored", target.display()))?;
    Ok(digest)
}

fn link(name: &str, place: &str, digest: &str) -> Result<(), LabError> {
    let folder = storage()
        .join("docker/registry/v2/repositories")
        .join(name)
        .join(place);
    write(&folder.join("link"), format!("sha256:{digest}").as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LabError> {
    let what = || format!("`{}` could not be written", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).context(what)?;
    }
    std::fs::write(path, bytes).context(what)
}

/// How many blobs of an image a machine was given since the lab's machines were made: none where the image
/// came to it by another road.
pub fn given(spark: Spark, name: &str) -> usize {
    let log = std::fs::read_to_string(state().join("registry.log")).unwrap_or_default();
    given_in(&log, spark.address(), name)
}

/// The same in a log as web servers write it.
fn given_in(log: &str, to: &str, name: &str) -> usize {
    let asked = format!("\"GET /v2/{name}/blobs/");
    let good = |line: &&str| {
        let rest = line.split_once(&asked).map(|(_, rest)| rest);
        let status = rest.and_then(|r| r.split_once("\" ")).map(|(_, s)| s);
        line.split(' ').next() == Some(to) && status.is_some_and(|s| s.starts_with('2'))
    };
    log.lines().filter(good).count()
}

/// Starts it. It has to be started after the network, whose address it listens on.
pub(crate) async fn start() -> Result<(), LabError> {
    let config = json!({
        "version": "0.1",
        "log": { "level": "warn" },
        "storage": { "filesystem": { "rootdirectory": storage() } },
        "http": { "addr": REGISTRY },
    });
    let file = state().join("registry.json");
    write(&file, config.to_string().as_bytes())?;
    daemon::start(
        "registry",
        &["docker-registry", "serve", text(&file)],
        REGISTRY,
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::given_in;

    #[test]
    fn blobs_that_were_given_are_counted_by_machine() {
        let line = |from: &str, what: &str, status: u16| {
            format!(
                "{from} - - [21/Nov/2026:20:00:00 +0000] \"GET /v2/{what} HTTP/1.1\" {status} 1 \"\" \"docker/20.10\"\n"
            )
        };
        let log = [
            line("10.77.0.11", "vllm/vllm-openai/manifests/stepfun37", 200),
            line("10.77.0.11", "vllm/vllm-openai/blobs/sha256:00", 200),
            line("10.77.0.11", "vllm/vllm-openai/blobs/sha256:01", 206),
            line("10.77.0.11", "vllm/vllm-openai/blobs/sha256:02", 404),
            line("10.77.0.12", "library/other/blobs/sha256:03", 200),
        ]
        .concat();
        assert_eq!(given_in(&log, "10.77.0.11", "vllm/vllm-openai"), 2);
        assert_eq!(given_in(&log, "10.77.0.12", "vllm/vllm-openai"), 0);
    }
}
