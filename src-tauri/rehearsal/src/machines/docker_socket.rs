//! The socket of a simulated machine's Docker, as far as the node program uses it: an image is handed out as
//! an archive and taken in again. It ends when it is dropped, and the images stay in the folder.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use futures::TryStreamExt;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, BodyStream};
use hyper::body::Incoming;
use serde_json::json;
use tandem_domain::ports::Containers;
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio_util::io::ReaderStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::containers::SimulatedContainers;
use crate::wire::{Answer, attend, empty, json as answer_json, pieces, query, unescape};

/// See the module.
pub(super) struct SimulatedDockerSocket {
    socket: TempPath,
    _stop: DropGuard,
}

impl SimulatedDockerSocket {
    /// Listens for a machine. The socket lies where paths are short: the kernel takes about a hundred
    /// characters, and the machine's folder may have more.
    pub(super) fn open(containers: Arc<SimulatedContainers>) -> std::io::Result<Self> {
        // A random name: rehearsals in several PID namespaces may share `/tmp` and have the same number.
        let (listener, socket) = tempfile::Builder::new()
            .prefix("tandem-")
            .suffix(".sock")
            .make(|path| UnixListener::bind(path))?
            .into_parts();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stopped.cancelled() => return,
                };
                let Ok((stream, _)) = accepted else { return };
                let containers = containers.clone();
                let answered = move |request| engine(containers.clone(), request);
                tokio::spawn(attend(stream, stopped.clone(), answered));
            }
        });
        Ok(Self {
            socket,
            _stop: stop.drop_guard(),
        })
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

fn refused(status: StatusCode, message: impl ToString) -> Answer {
    answer_json(status, &json!({ "message": message.to_string() }))
}

async fn engine(containers: Arc<SimulatedContainers>, request: Request<Incoming>) -> Answer {
    let path = unescape(request.uri().path(), false);
    let named = path
        .strip_prefix("/images/")
        .map(|name| name.strip_suffix("/json").unwrap_or(name).to_owned());
    let method = request.method().clone();
    let broken = |e: &dyn ToString| refused(StatusCode::INTERNAL_SERVER_ERROR, e.to_string());
    match (&method, path.as_str(), named) {
        (&Method::GET, "/info", _) => {
            let root = containers.folder.join("images");
            answer_json(StatusCode::OK, &json!({ "DockerRootDir": root }))
        }
        (&Method::GET, "/images/get", _) => {
            let name = query(&request, "names").unwrap_or_default();
            match containers.image(&name).await {
                Ok(Some(_)) => give(&containers.image_folder(&name)).unwrap_or_else(|e| broken(&e)),
                Ok(None) => refused(StatusCode::NOT_FOUND, format!("No such image: {name}")),
                Err(e) => broken(&e),
            }
        }
        (&Method::POST, "/images/load", _) => {
            match take(&containers.folder.join("images"), request).await {
                Ok(()) => answer_json(StatusCode::OK, &json!({ "stream": "Loaded image" })),
                // As the engine does it: the status was said before.
                Err(e) => answer_json(StatusCode::OK, &json!({ "error": e.to_string() })),
            }
        }
        (&Method::GET, _, Some(name)) => match containers.image(&name).await {
            Ok(Some(image)) => answer_json(
                StatusCode::OK,
                &json!({ "Id": image.id, "Size": image.size }),
            ),
            Ok(None) => refused(StatusCode::NOT_FOUND, format!("No such image: {name}")),
            Err(e) => broken(&e),
        },
        (&Method::DELETE, _, Some(name)) => match containers.remove_image(&name).await {
            Ok(true) => empty(StatusCode::OK),
            Ok(false) => refused(StatusCode::NOT_FOUND, format!("No such image: {name}")),
            Err(e) => broken(&e),
        },
        _ => refused(StatusCode::NOT_FOUND, "page not found"),
    }
}

fn tar() -> tokio::process::Command {
    let mut tar = tokio::process::Command::new("tar");
    tar.kill_on_drop(true).stderr(Stdio::null());
    tar
}

/// An image's folder as an archive.
fn give(folder: &Path) -> std::io::Result<Answer> {
    let parent = folder.parent().unwrap_or(folder);
    let name = folder.file_name().unwrap_or_default();
    let mut child = tar()
        .arg("-C")
        .arg(parent)
        .arg("-cf")
        .arg("-")
        .arg(name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let Some(out) = child.stdout.take() else {
        return Err(std::io::Error::other("the archive has no stream"));
    };
    tokio::spawn(async move { child.wait().await });
    Ok(Answer::new(pieces(ReaderStream::with_capacity(
        out,
        256 << 10,
    ))))
}

/// Takes an archive in: unpacked beside, then moved to its place.
async fn take(images: &Path, request: Request<Incoming>) -> std::io::Result<()> {
    let beside = images.with_file_name("images-loading");
    let _ = tokio::fs::remove_dir_all(&beside).await;
    tokio::fs::create_dir_all(&beside).await?;
    let mut child = tar()
        .arg("-C")
        .arg(&beside)
        .arg("-xf")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    if let Some(mut into) = child.stdin.take() {
        let mut body = BodyStream::new(request.into_body().map_err(std::io::Error::other));
        while let Some(frame) = body.try_next().await? {
            if let Ok(part) = frame.into_data() {
                into.write_all(&part).await?;
            }
        }
    }
    if !child.wait().await?.success() {
        return Err(std::io::Error::other("the archive could not be unpacked"));
    }
    let mut list = tokio::fs::read_dir(&beside).await?;
    while let Some(entry) = list.next_entry().await? {
        let place = images.join(entry.file_name());
        let _ = tokio::fs::remove_dir_all(&place).await;
        tokio::fs::rename(entry.path(), place).await?;
    }
    tokio::fs::remove_dir_all(&beside).await
}
