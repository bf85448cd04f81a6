//! Today's exceptions from the rules, counted.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ROOT;

/// `exceptions.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exceptions {
    /// Files that stand in a circle of modules, each list one circle.
    #[serde(default)]
    pub(crate) circles: Vec<Circle>,
    /// By package: type names that stand more than once there, with the reason.
    pub(crate) names: BTreeMap<String, BTreeMap<String, String>>,
    /// Lines that name a model, by file.
    pub(crate) models: BTreeMap<String, usize>,
    /// Lines that hold an engine's own words, by file.
    pub(crate) engine: BTreeMap<String, usize>,
    /// Places that branch on a sentence or read a receipt by a string, by file.
    pub(crate) prose: BTreeMap<String, usize>,
}

/// One circle.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Circle {
    pub(crate) files: Vec<String>,
    pub(crate) reason: String,
}

pub(crate) fn exceptions() -> Exceptions {
    let path = format!("{ROOT}/tests/architecture/exceptions.toml");
    let text = std::fs::read_to_string(path).expect("exceptions.toml is there");
    toml::from_str(&text).expect("exceptions.toml is understood")
}

/// Holds what was found in each file against what is excepted. `found` has each place, by file.
pub(crate) fn hold(
    rule: &str,
    found: &BTreeMap<String, Vec<String>>,
    allowed: &BTreeMap<String, usize>,
) {
    let mut faults = Vec::new();
    for (file, places) in found {
        let limit = allowed.get(file).copied().unwrap_or(0);
        if places.len() > limit {
            faults.push(format!(
                "{file}: {} places, {limit} excepted:\n  {}",
                places.len(),
                places.join("\n  ")
            ));
        }
    }
    for file in allowed.keys().filter(|f| !found.contains_key(*f)) {
        faults.push(format!(
            "{file} keeps the rule now: delete its entry from exceptions.toml, [{rule}]"
        ));
    }
    assert!(faults.is_empty(), "{rule}:\n{}", faults.join("\n"));
}
