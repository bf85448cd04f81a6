//! Why the lab could not do something: what did not happen, and what the program that was asked said.

use std::fmt;

/// A sentence, and where there is one the reason below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabError {
    what: String,
    why: String,
}

impl LabError {
    /// `what` did not happen because of `why`.
    pub fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self {
            what: what.into(),
            why: why.to_string().trim().to_owned(),
        }
    }
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

impl std::error::Error for LabError {}

/// Gives an error of the system its sentence.
pub(crate) trait Context<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|e| LabError::new(what(), e))
    }
}
