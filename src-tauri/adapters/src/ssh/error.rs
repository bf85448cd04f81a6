//! What the SSH and SFTP libraries report, in the words of the domain. The only place that decides.

use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::StatusCode;
use tandem_domain::foreign_text::visible;
use tandem_domain::ports::MachineError;

/// How many bytes of a machine's own words are told.
pub(super) const TOLD: usize = 300;

/// A handshake that did not come to its end.
pub(super) fn handshake(address: &str, error: &russh::Error) -> MachineError {
    match error {
        russh::Error::IO(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => {
            MachineError::Unreachable {
                address: address.to_owned(),
                detail: e.to_string(),
            }
        }
        russh::Error::HUP | russh::Error::Disconnect | russh::Error::IO(_) => {
            MachineError::NotSsh {
                address: address.to_owned(),
                detail: "it closed the connection before the greeting was complete".to_owned(),
            }
        }
        russh::Error::NoCommonAlgo { kind, theirs, .. } => MachineError::NotSsh {
            address: address.to_owned(),
            detail: format!(
                "its {} algorithms are none that Tandem speaks: {}",
                format!("{kind:?}").to_lowercase(),
                theirs.join(", ")
            ),
        },
        other => MachineError::NotSsh {
            address: address.to_owned(),
            detail: other.to_string(),
        },
    }
}

/// An established connection that failed.
pub(super) fn lost(during: impl Into<String>) -> MachineError {
    MachineError::Lost {
        during: during.into(),
    }
}

/// A login shell that did not come to the command, with the first line that it printed.
pub(super) fn shell(user: &str, printed: &str) -> MachineError {
    let line = printed.lines().map(str::trim).find(|l| !l.is_empty());
    MachineError::Shell {
        user: user.to_owned(),
        printed: visible(line.unwrap_or_default(), TOLD),
    }
}

/// Whether the file or one of its folders does not exist.
pub(super) fn is_missing(error: &SftpError) -> bool {
    matches!(error, SftpError::Status(s) if s.status_code == StatusCode::NoSuchFile)
}

/// Whether it is the end of the file.
pub(super) fn is_eof(error: &SftpError) -> bool {
    matches!(error, SftpError::Status(s) if s.status_code == StatusCode::Eof)
}

/// Whether the server refused without saying why, which a full disk also looks like.
pub(super) fn is_plain_failure(error: &SftpError) -> bool {
    matches!(error, SftpError::Status(s) if s.status_code == StatusCode::Failure)
}

/// An act on a file that did not succeed.
pub(super) fn file(error: &SftpError, act: &'static str, path: &str) -> MachineError {
    match error {
        SftpError::Status(status) => MachineError::File {
            act,
            path: path.to_owned(),
            detail: match status.status_code {
                StatusCode::NoSuchFile => "there is no such file or folder".to_owned(),
                StatusCode::PermissionDenied => "permission denied".to_owned(),
                StatusCode::Failure => "the machine gave no reason".to_owned(),
                other => other.to_string(),
            },
        },
        SftpError::Limited(detail) => MachineError::File {
            act,
            path: path.to_owned(),
            detail: detail.clone(),
        },
        // Every other error is the stream's end or an answer that did not come.
        _ => lost(format!("trying to {act} `{path}`")),
    }
}
