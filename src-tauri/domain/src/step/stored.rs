//! What a step writes down and reads again.

use crate::problem::{Code, Problem};
use crate::run::StepError;

/// Reads a step's own stored value.
pub(crate) fn stored<T: serde::de::DeserializeOwned>(
    value: &serde_json::Value,
) -> Result<T, StepError> {
    serde_json::from_value(value.clone()).map_err(|e| {
        Problem::new(
            Code::PlanStale,
            "This run was made by another version of Tandem.",
        )
        .cause(format!("What the step wrote down cannot be read: {e}."))
        .into()
    })
}

/// Writes a step's own value.
pub(crate) fn value<T: serde::Serialize>(of: &T) -> serde_json::Value {
    serde_json::to_value(of).expect("what steps write down is plain data")
}
