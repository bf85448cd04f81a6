//! Why a step's job did not end well.

use crate::node::Refusal;
use crate::ports::{MachineError, MachineServices};
use crate::problem::Problem;
use crate::run::StepError;

/// Why a job did not end well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum JobError {
    /// Somebody cancelled. What is on disk stays.
    Cancelled,
    /// The machine did not answer as it should.
    Machine {
        /// Its name.
        machine: String,
        /// Why.
        error: MachineError,
    },
    /// It disappeared each time that it was started.
    Lost(Box<Problem>),
    /// The node program did not do it.
    Refused {
        /// What that means.
        refusal: Refusal,
        /// What it said.
        problem: Box<Problem>,
    },
}

impl JobError {
    /// What the node program said on this machine.
    pub(crate) fn refused(problem: Problem, on: &MachineServices) -> Self {
        Self::Refused {
            refusal: Refusal::of(&problem),
            problem: Box::new(problem.on(on.name.clone())),
        }
    }

    /// What was not done on this machine.
    pub(crate) fn machine(error: MachineError, on: &MachineServices) -> Self {
        Self::Machine {
            machine: on.name.clone(),
            error,
        }
    }

    /// Whether the node program refused for this reason.
    pub(crate) fn is(&self, why: Refusal) -> bool {
        matches!(self, Self::Refused { refusal, .. } if *refusal == why)
    }

    /// Why, in a sentence.
    pub(crate) fn why(&self) -> String {
        let problem = StepError::from(self.clone()).into_problem();
        problem.map_or_else(String::new, |p| p.cause.unwrap_or(p.message))
    }
}

impl From<JobError> for StepError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Cancelled => Self::Cancelled,
            JobError::Machine { machine, error } => Self::Machine { machine, error },
            JobError::Lost(problem) | JobError::Refused { problem, .. } => Self::Problem(problem),
        }
    }
}

impl From<StepError> for JobError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Cancelled => Self::Cancelled,
            StepError::Machine { machine, error } => Self::Machine { machine, error },
            StepError::Problem(problem) => Self::Refused {
                refusal: Refusal::of(&problem),
                problem,
            },
        }
    }
}
