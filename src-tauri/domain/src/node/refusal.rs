//! What a refusal of the node program means for whoever asked. The program says it in a [`Problem`], for it
//! may be of another version; this is the one place that reads its code.

use crate::problem::{Code, Problem};

/// What a refusal of the node program means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It did not understand what it was asked.
    NotUnderstood,
    /// There is no job of that name.
    NoJob,
    /// The private link did not carry the copy.
    Link,
    /// The bytes that came are not those that were expected.
    Hash,
    /// The Hub is not to be had from there now.
    Hub,
    /// Docker is not to be had there.
    Docker,
    /// Anything else.
    Other,
}

impl Refusal {
    /// Reads it.
    pub fn of(problem: &Problem) -> Self {
        match problem.code {
            Code::BadInput => Self::NotUnderstood,
            Code::JobLost => Self::NoJob,
            Code::LinkFails => Self::Link,
            Code::HashMismatch => Self::Hash,
            Code::HubUnreachable | Code::HubBusy => Self::Hub,
            Code::DockerDenied | Code::DockerMissing | Code::DockerNotRunning => Self::Docker,
            _ => Self::Other,
        }
    }
}
