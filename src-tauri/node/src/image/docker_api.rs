//! The few things that are asked of this machine's Docker engine, through its socket.

use std::error::Error as _;
use std::io::ErrorKind;
use std::path::PathBuf;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tandem_domain::node::told::{JOIN_DOCKER, START_DOCKER};
use tandem_domain::problem::{Code, Problem, Retry};
use tokio_util::bytes::Bytes;

/// Where the engine listens.
const SOCKET: &str = "/var/run/docker.sock";
/// Names another socket: for a rehearsal, whose engines are this computer's own.
const OTHER_SOCKET: &str = "TANDEM_DOCKER_SOCKET";
/// More of an answer than this is not read; the longest that is asked for has some kilobytes.
const LONGEST: usize = 1 << 20;

/// See the module.
pub(super) struct DockerApi(Client);

/// An image of the engine's.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeptImage {
    /// `sha256:…`
    pub(super) id: String,
    /// Bytes on its disk.
    #[serde(default)]
    pub(super) size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    docker_root_dir: PathBuf,
}

/// A line of what the engine says while it loads, where it is an error.
#[derive(Deserialize)]
struct Complaint {
    error: String,
}

/// An answer that is a refusal.
#[derive(Deserialize)]
struct EngineRefusal {
    message: String,
}

fn refused(act: &str, why: &str) -> Problem {
    Problem::new(Code::ImagePull, format!("Docker could not {act}."))
        .cause(format!("{}.", why.trim().trim_end_matches('.')))
        .retry(Retry::Now)
}

/// Why no answer came, in words.
fn silent(error: &reqwest::Error) -> Problem {
    let causes = std::iter::successors(error.source(), |&e| e.source());
    let denied = causes
        .filter_map(|e| e.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == ErrorKind::PermissionDenied);
    if denied {
        return Problem::new(
            Code::DockerDenied,
            "The node program may not use Docker on this machine.",
        )
        .cause("The user is not in the group `docker`.")
        .fix_with(
            "Add the user to the group; connections made from then on may use Docker.",
            JOIN_DOCKER,
        );
    }
    Problem::new(
        Code::DockerNotRunning,
        "Docker does not answer on this machine.",
    )
    .cause(format!("{}.", said(error)))
    .fix_with("Start it.", START_DOCKER)
    .retry(Retry::Now)
}

/// A name as it can stand in an address: what Docker allows needs no escaping.
fn plain(image: &str) -> Result<&str, Problem> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    if !image.is_empty() && image.bytes().all(good) && !image.contains("..") {
        return Ok(image);
    }
    Err(
        Problem::new(Code::BadInput, "The image's name cannot be used.")
            .cause(format!("“{image}” is not the name of an image.")),
    )
}

impl DockerApi {
    /// This machine's.
    pub(super) fn here() -> Result<Self, Problem> {
        let socket = std::env::var_os(OTHER_SOCKET).map_or_else(|| SOCKET.into(), PathBuf::from);
        // No limit of time: saving twenty gigabytes takes minutes before the first byte comes.
        let client = Client::builder()
            .unix_socket(socket)
            .http1_only()
            .build()
            .map_err(|e| silent(&e))?;
        Ok(Self(client))
    }

    /// What it has under a name.
    pub(super) async fn image(&self, image: &str) -> Result<Option<KeptImage>, Problem> {
        let address = format!("http://docker/images/{}/json", plain(image)?);
        let mut answer = self.0.get(address).send().await.map_err(|e| silent(&e))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let act = "look for the image";
        good(&mut answer, act).await?;
        let text = whole(&mut answer).await?;
        let kept = serde_json::from_slice(&text);
        kept.map(Some).map_err(|e| refused(act, &e.to_string()))
    }

    /// Where it keeps its things; `None` where it does not say.
    pub(super) async fn root(&self) -> Option<PathBuf> {
        let mut answer = self.0.get("http://docker/info").send().await.ok()?;
        let info: Info = serde_json::from_slice(&whole(&mut answer).await.ok()?).ok()?;
        Some(info.docker_root_dir)
    }

    /// The archive of an image, as `docker save` writes it. It may break off and look whole: see
    /// [`super::save`].
    pub(super) async fn save(&self, image: &str) -> Result<Response, Problem> {
        let address = format!("http://docker/images/get?names={}", plain(image)?);
        let mut answer = self.0.get(address).send().await.map_err(|e| silent(&e))?;
        good(&mut answer, "save the image").await?;
        Ok(answer)
    }

    /// The next bytes of an archive.
    pub(super) async fn more(answer: &mut Response) -> Result<Option<Bytes>, Problem> {
        answer
            .chunk()
            .await
            .map_err(|e| refused("save the image", &said(&e)))
    }

    /// Loads an archive, as `docker load` does.
    pub(super) async fn load(&self, archive: reqwest::Body) -> Result<(), Problem> {
        let act = "load the image";
        let ask = self
            .0
            .post("http://docker/images/load?quiet=1")
            .header("Content-Type", "application/x-tar")
            .body(archive);
        let mut answer = ask.send().await.map_err(|e| {
            if e.is_connect() {
                silent(&e)
            } else {
                refused(act, &said(&e))
            }
        })?;
        good(&mut answer, act).await?;
        // The status is sent before the work is done; what went wrong afterwards is among the lines.
        let text = whole(&mut answer).await?;
        let complaint = text
            .split(|b| *b == b'\n')
            .find_map(|line| serde_json::from_slice::<Complaint>(line).ok());
        match complaint {
            Some(complaint) => Err(refused(act, &complaint.error)),
            None => Ok(()),
        }
    }

    /// Takes a name away, and the image with it where it has no other.
    pub(super) async fn forget(&self, image: &str) -> Result<(), Problem> {
        let address = format!("http://docker/images/{}", plain(image)?);
        let mut answer = self
            .0
            .delete(address)
            .send()
            .await
            .map_err(|e| silent(&e))?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        good(&mut answer, "remove the image").await
    }
}

/// The innermost of what went wrong.
fn said(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |&e| e.source());
    causes
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

async fn good(answer: &mut Response, act: &str) -> Result<(), Problem> {
    if answer.status().is_success() {
        return Ok(());
    }
    let status = answer.status();
    let text = whole(answer).await.unwrap_or_default();
    let refusal = serde_json::from_slice::<EngineRefusal>(&text);
    Err(refused(
        act,
        &refusal.map_or_else(|_| format!("it answered {status}"), |r| r.message),
    ))
}

async fn whole(answer: &mut Response) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|e| silent(&e))? {
        text.extend_from_slice(&part);
        if text.len() > LONGEST {
            break;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for good in [
            "vllm/vllm-openai:stepfun37",
            "10.0.0.1:5000/a@sha256:0123",
            "a",
        ] {
            assert!(plain(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a?force=1", "a#b", "../containers/x", "a%2e"] {
            assert_eq!(plain(bad).unwrap_err().code, Code::BadInput, "{bad}");
        }
    }
}
