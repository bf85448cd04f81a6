//! bollard's requests over a channel of the SSH connection, one channel a request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bollard::errors::Error;
use bollard::{BollardRequest, Docker};
use http::{HeaderValue, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tandem_domain::ports::MachineError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ssh::SshMachine;

/// Where the engine listens.
pub(super) const SOCKET: &str = "/var/run/docker.sock";
/// Removing twenty gigabytes of image takes its time.
const ANSWER_SECONDS: u64 = 600;

/// Why a request did not get to the engine. It travels inside of bollard's error.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum TransportError {
    /// The machine itself.
    #[error(transparent)]
    Machine(MachineError),
    /// The SSH server did not open the socket.
    #[error("the SSH server did not open the socket")]
    Closed {
        /// Because it does not allow tunnels at all.
        forbidden: bool,
    },
    /// The socket opened, and then nobody spoke HTTP.
    #[error("{0}")]
    Silent(String),
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        Self::IOError {
            err: std::io::Error::other(error),
        }
    }
}

/// The bytes that an answer may have which the client reads whole.
const LONGEST_ANSWER: usize = 32 << 20;

/// How many bytes may come for a request; none where the answer is read bit by bit as it comes.
fn room(uri: &Uri) -> Option<usize> {
    let path = uri.path();
    let streamed = path.ends_with("/logs") || path.ends_with("/images/create");
    (!streamed).then_some(LONGEST_ANSWER)
}

/// A stream that fails after so many bytes.
struct Bounded<S> {
    stream: S,
    left: Option<usize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        let came = out.filled().len() - before;
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(came) else {
                out.set_filled(before);
                let words = "Docker's answer is longer than Tandem reads";
                return Poll::Ready(Err(std::io::Error::other(words)));
            };
            *left = rest;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A client whose requests go to the machine's engine.
pub(super) fn client(machine: Arc<SshMachine>) -> Result<Docker, Error> {
    Docker::connect_with_custom_transport(
        move |request| send(Arc::clone(&machine), request),
        Some("http://docker"),
        ANSWER_SECONDS,
        bollard::API_DEFAULT_VERSION,
    )
}

async fn send(
    machine: Arc<SshMachine>,
    mut request: BollardRequest,
) -> Result<Response<Incoming>, Error> {
    let stream = match machine.socket(SOCKET).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(reason)) => {
            let forbidden = reason == russh::ChannelOpenFailure::AdministrativelyProhibited;
            return Err(TransportError::Closed { forbidden }.into());
        }
        Err(e) => return Err(TransportError::Machine(e).into()),
    };
    let stream = Bounded {
        stream,
        left: room(request.uri()),
    };
    let silent = |e: hyper::Error| Error::from(TransportError::Silent(e.to_string()));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(silent)?;
    // Ends with the answer: the channel is closed when its last byte was read or it was dropped.
    tokio::spawn(connection.with_upgrades());
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |p| p.as_str())
        .to_owned();
    *request.uri_mut() = path
        .parse::<Uri>()
        .map_err(|e| Error::from(http::Error::from(e)))?;
    request
        .headers_mut()
        .insert(header::HOST, HeaderValue::from_static("docker"));
    sender.send_request(request).await.map_err(silent)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::{Bounded, room};

    #[tokio::test]
    async fn an_answer_that_is_read_whole_has_an_end() {
        let mut read = Vec::new();
        let mut bounded = Bounded {
            stream: tokio::io::repeat(b'x'),
            left: Some(100_000),
        };
        let error = bounded.read_to_end(&mut read).await.expect_err("no end");
        assert!(error.to_string().contains("longer"), "{error}");
        assert!(read.len() <= 100_000, "{}", read.len());
        for (path, bounded) in [
            ("/v1.44/containers/tandem-server/json", true),
            ("/v1.44/containers/tandem-server/logs?follow=true", false),
            ("/v1.44/images/create?fromImage=x", false),
        ] {
            let uri = path.parse().expect("a path");
            assert_eq!(room(&uri).is_some(), bounded, "{path}");
        }
    }
}
