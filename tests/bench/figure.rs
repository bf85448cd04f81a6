//! A figure: printed on a line, kept as JSON with both sides and how it came about.

use serde::Serialize;
use serde_json::Value;

/// One side of a ratio.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    /// What it is, in words.
    what: String,
    /// How much.
    value: f64,
    /// Of what.
    unit: &'static str,
}

/// See the module.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    /// Its name, which stays the same over time.
    name: &'static str,
    /// The value.
    value: f64,
    /// Its unit; a ratio's is `ratio`.
    unit: &'static str,
    /// The most it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    /// The least it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    /// A ratio's upper and lower side.
    #[serde(skip_serializing_if = "Option::is_none")]
    sides: Option<[Side; 2]>,
    /// What it was made of.
    #[serde(skip_serializing_if = "Value::is_null")]
    details: Value,
}

impl Figure {
    /// A measured quantity.
    pub(crate) fn of(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            value,
            unit,
            at_most: None,
            at_least: None,
            sides: None,
            details: Value::Null,
        }
    }

    /// A ratio of two quantities of one unit.
    pub(crate) fn ratio(
        name: &'static str,
        unit: &'static str,
        upper: (impl Into<String>, f64),
        lower: (impl Into<String>, f64),
    ) -> Self {
        let side = |what, value| Side { what, value, unit };
        let value = upper.1 / lower.1;
        Self {
            sides: Some([side(upper.0.into(), upper.1), side(lower.0.into(), lower.1)]),
            ..Self::of(name, value, "ratio")
        }
    }

    /// Sets the most it may be.
    pub(crate) fn at_most(self, limit: f64) -> Self {
        Self {
            at_most: Some(limit),
            ..self
        }
    }

    /// Sets the least it may be.
    pub(crate) fn at_least(self, limit: f64) -> Self {
        Self {
            at_least: Some(limit),
            ..self
        }
    }

    /// Adds what it was made of.
    pub(crate) fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }

    /// The line for a person and for `grep`.
    pub(crate) fn line(&self) -> String {
        let digits = if self.unit == "ratio" { 6 } else { 1 };
        format!("bench {} {:.digits$} {}", self.name, self.value, self.unit)
    }

    /// The sentence of a target that was missed. What is no number has missed every target.
    pub(crate) fn missed(&self) -> Option<String> {
        let most = self.at_most.map(|l| (l, self.value <= l, "most"));
        let least = self.at_least.map(|l| (l, self.value >= l, "least"));
        let mut limits = most.into_iter().chain(least);
        let (limit, _, end) = limits.find(|(_, met, _)| !met)?;
        let (name, value) = (self.name, self.value);
        Some(format!("{name} is {value} and may be {limit} at {end}"))
    }
}

/// What most turns came near to: it does not hear the extremes.
pub(crate) fn middle(turns: &[f64]) -> f64 {
    let mut sorted = turns.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// The least of what turns took. What else goes on on the box makes a turn slower and none faster.
pub(crate) fn fastest(turns: &[f64]) -> f64 {
    turns.iter().copied().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::{Figure, fastest, middle};

    #[test]
    fn the_middle_does_not_hear_the_extremes() {
        assert_eq!(middle(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(fastest(&[9.0, 1.0, 2.0]), 1.0);
    }

    #[test]
    fn a_line_names_value_and_unit_and_a_ratio_both_sides() {
        let figure = Figure::ratio("x", "bytes", ("served", 1001.0), ("needed", 1000.0));
        assert_eq!(figure.line(), "bench x 1.001000 ratio");
        let json = serde_json::to_value(&figure).unwrap();
        assert_eq!(json["sides"][0]["what"], "served");
        assert_eq!(json["sides"][1]["value"], 1000.0);
        assert_eq!(Figure::of("y", 64.04, "MiB").line(), "bench y 64.0 MiB");
    }

    #[test]
    fn a_target_is_missed_above_it_and_by_what_is_no_number() {
        let figure = |value| Figure::of("x", value, "MiB").at_most(64.0);
        assert_eq!(figure(64.0).missed(), None);
        assert!(figure(64.1).missed().is_some());
        assert!(figure(f64::NAN).missed().is_some());
        let figure = |value| Figure::of("y", value, "ratio").at_least(0.97);
        assert_eq!(figure(0.97).missed(), None);
        assert!(figure(0.969).missed().is_some());
        assert!(figure(f64::NAN).missed().is_some());
    }
}
