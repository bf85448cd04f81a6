//! bollard's requests over a channel of the SSH connection, one channel a request.

use std::sync::Arc;

use bollard::errors::Error;
use bollard::{BollardRequest, Docker};
use http::{HeaderValue, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tandem_domain::ports::MachineError;

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
