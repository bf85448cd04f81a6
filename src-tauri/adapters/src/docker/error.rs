//! What bollard reports, in the words of the domain. The only place that decides.

use bollard::errors::Error;
use tandem_domain::ports::{ContainerError, MachineError};

use super::transport::TransportError;

/// A failed request: the engine's answer, or the road to it.
pub(super) enum DockerFailure {
    /// The engine refused.
    Answer {
        /// The HTTP status; 0 where the refusal came in the middle of a stream.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The request did not arrive.
    Transport(TransportError),
}

/// Sorts an error of bollard's.
pub(super) fn sort(error: &Error) -> DockerFailure {
    match error {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => DockerFailure::Answer {
            status: *status_code,
            message: tidy(message),
        },
        Error::DockerStreamError { error } => DockerFailure::Answer {
            status: 0,
            message: tidy(error),
        },
        Error::IOError { err } => {
            let inner = err
                .get_ref()
                .and_then(|e| e.downcast_ref::<TransportError>());
            DockerFailure::Transport(
                inner
                    .cloned()
                    .unwrap_or_else(|| TransportError::Silent(err.to_string())),
            )
        }
        Error::HyperResponseError { err } => {
            DockerFailure::Transport(TransportError::Machine(MachineError::Lost {
                during: format!("reading Docker's answer ({err})"),
            }))
        }
        Error::RequestTimeoutError => DockerFailure::Transport(TransportError::Silent(
            "it did not answer in ten minutes".into(),
        )),
        other => DockerFailure::Answer {
            status: 0,
            message: tidy(&other.to_string()),
        },
    }
}

/// The engine ends some of its sentences and not others.
fn tidy(message: &str) -> String {
    message.trim().trim_end_matches('.').to_owned()
}

/// What a look at the socket on the machine says about a road that is closed.
pub(super) fn closed(look: &str) -> ContainerError {
    match look {
        "missing" => ContainerError::Missing,
        "stopped" => ContainerError::NotRunning {
            detail: "Docker is installed, but there is no `/var/run/docker.sock`".into(),
        },
        "rootless" => ContainerError::Rootless,
        "denied" => ContainerError::Denied,
        _ => ContainerError::NotRunning {
            detail: "`/var/run/docker.sock` is there, but nobody answers on it".into(),
        },
    }
}
