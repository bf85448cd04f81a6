//! Why there is no measurement.

use crate::bench::Doubt;
use crate::ports::ApiError;
use crate::problem::{Code, Problem, Retry, Severity};

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BenchError {
    /// Somebody cancelled.
    #[error("the measurement was cancelled")]
    Cancelled,
    /// The server did not do it.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: String,
        /// What went wrong.
        source: ApiError,
    },
    /// The server answered, and no figure can be believed of it.
    #[error("{doing}: {doubt}")]
    Doubt {
        /// What was being done.
        doing: String,
        /// Why not.
        doubt: Doubt,
    },
    /// Others use the server now.
    #[error("the server is in use: {running} requests run and {waiting} wait")]
    InUse {
        /// Requests that it works on.
        running: u32,
        /// Requests that wait.
        waiting: u32,
    },
    /// The case asks for nothing.
    #[error("nothing was asked for")]
    EmptyCase,
}

impl BenchError {
    /// The error in words.
    pub fn problem(&self) -> Problem {
        let message = "The server's speed was not measured.";
        match self {
            Self::Cancelled => Problem::new(Code::Broken, message)
                .cause("Somebody cancelled.")
                .severity(Severity::Notice),
            Self::Api { doing, source } => refused(doing, source),
            Self::Doubt { doing, doubt } => doubt.problem(doing),
            Self::InUse { running, waiting } => Problem::new(Code::Locked, message)
                .cause(format!(
                    "Others use the server: requests that run: {running}, requests that wait: {waiting}. Both their figures and these would be wrong."
                ))
                .fix("Measure when nobody else uses the server, or choose to measure beside them; the result says so then.")
                .retry(Retry::Now),
            Self::EmptyCase => Problem::new(Code::BadInput, message)
                .cause("A measurement needs at least 1 prompt token, 2 generated tokens and 1 repeat.")
                .fix("Choose larger numbers."),
        }
    }

    /// Whether the next repeat may be without it.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Doubt { doubt, .. } if doubt.passes())
    }
}

/// What the server did not do, in words.
fn refused(doing: &str, source: &ApiError) -> Problem {
    let message = "The server's speed was not measured.";
    let code = match source {
        ApiError::TimedOut { .. } => Code::TimedOut,
        ApiError::Lost { .. } => Code::ConnectionLost,
        ApiError::NotListening { .. } => Code::NothingServed,
        ApiError::Status { .. } | ApiError::Garbled { .. } => Code::ServerAnswer,
    };
    if matches!(source, ApiError::Status { status: 429, .. }) {
        return Problem::new(Code::ServerAnswer, message)
            .cause(format!("{doing}: {source}."))
            .fix("The server or a proxy before it limits its requests. Measure the server itself, or wait until it takes requests again.")
            .retry(Retry::Now);
    }
    Problem::new(code, message)
        .cause(format!("{doing}: {source}."))
        .fix("Look at the server's log; when it answers in the chat again, measure again.")
        .retry(Retry::Now)
}
