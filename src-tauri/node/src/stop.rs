//! Why a work ended early.

use tandem_domain::problem::Problem;

/// Why a work ended early.
#[derive(Debug)]
pub enum Stop {
    /// It cannot be done.
    Problem(Box<Problem>),
    /// Somebody cancelled it.
    Cancelled,
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}
