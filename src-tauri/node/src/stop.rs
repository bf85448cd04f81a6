//! Why a work ended early.

use tandem_domain::problem::Problem;

use crate::hub_error::HubError;

/// Why a work ended early.
#[derive(Debug)]
pub enum Stop {
    /// It cannot be done.
    Problem(Box<Problem>),
    /// The Hub did not give what it was asked for.
    Hub(Box<HubError>),
    /// Somebody cancelled it.
    Cancelled,
}

impl Stop {
    /// What people are told; `None` where somebody cancelled it.
    pub fn problem(self) -> Option<Problem> {
        match self {
            Self::Problem(problem) => Some(*problem),
            Self::Hub(error) => Some(error.problem()),
            Self::Cancelled => None,
        }
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<HubError> for Stop {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Other(problem) => Self::Problem(problem),
            error => Self::Hub(Box::new(error)),
        }
    }
}
