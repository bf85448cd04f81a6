//! The arguments of `vllm serve` by release, as data, and what stands against words that somebody wrote for it.
//!
//! The engine refuses what its parser does not know, after gigabytes were fetched, and an unknown variable it only logs.
//! So recipes are held against the table first.

mod read;
mod table;
#[cfg(test)]
mod tests;

pub use read::{Given, Oddity, read};
pub use table::{Flag, Life, Releases, Takes};

use table::{Fate, TABLE};

/// What stands against an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagFinding {
    /// The argument as it is written.
    pub words: Vec<String>,
    /// What it is.
    pub fault: FlagFault,
    /// Why, as a sentence.
    pub why: String,
}

/// What can stand against an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagFault {
    /// No release that may be meant knows it: the engine ends with a complaint of its parser.
    Unknown,
    /// It does nothing and may be left out.
    Idle,
    /// Other words do it now.
    Replaced,
    /// No release knows it; an image with changes of its own may.
    Foreign,
    /// Its name is cut short.
    Cut,
    /// It cannot be read: a value is missing or too much, or its name is that of several.
    Unreadable,
    /// No release that may be meant knows this value.
    Value,
    /// Its value has to be JSON and is none.
    NoJson,
}

/// Everything that stands against the words after `vllm serve`, for a server of one of these releases.
pub fn check(releases: &Releases, words: &[String]) -> Vec<FlagFinding> {
    let (_, all) = read(words);
    all.iter()
        .filter_map(|given| against(releases, given))
        .collect()
}

/// What stands against one argument.
pub fn against(releases: &Releases, given: &Given) -> Option<FlagFinding> {
    let finding = |fault, why: String| {
        let words = given.words.clone();
        Some(FlagFinding { words, fault, why })
    };
    match given.oddity {
        Some(Oddity::Stray) => {
            return finding(
                FlagFault::Unreadable,
                "It belongs to no argument; the engine takes one model and no other word.".into(),
            );
        }
        Some(Oddity::NoValue) => {
            return finding(FlagFault::Unreadable, "Its value is missing.".into());
        }
        Some(Oddity::Value) => {
            return finding(FlagFault::Unreadable, "It takes no value.".into());
        }
        Some(Oddity::Ambiguous) => {
            return finding(
                FlagFault::Unreadable,
                "Several arguments begin with this name.".into(),
            );
        }
        Some(Oddity::Cut) | None => {}
    }
    if let Some((fate, why)) = TABLE.notes.get(given.name.as_str()) {
        let known = given.flag().is_some_and(|flag| releases.meets(&flag.life));
        match fate {
            Fate::Idle(from) if releases.are_from(*from) => {
                return finding(
                    FlagFault::Idle,
                    format!("From 0.{from} on it does nothing. {why}"),
                );
            }
            Fate::Gone => {
                return finding(
                    FlagFault::Idle,
                    format!("No release from 0.19 on has it. {why}"),
                );
            }
            Fate::Replaced if !known => {
                return finding(
                    FlagFault::Replaced,
                    format!("No release from 0.19 on has it. {why}"),
                );
            }
            Fate::Foreign => {
                return finding(
                    FlagFault::Foreign,
                    format!("No release from 0.19 to 0.33 has it. {why}"),
                );
            }
            Fate::Idle(_) | Fate::Replaced => {}
        }
    }
    let Some(flag) = given.flag() else {
        return finding(
            FlagFault::Foreign,
            "No release from 0.19 to 0.33 has it.".into(),
        );
    };
    if !releases.meets(&flag.life) {
        return finding(
            FlagFault::Unknown,
            format!("{} {}", since(&flag.life), meant(releases)),
        );
    }
    if let Some(names) = TABLE.values.get(flag.name)
        && let Some(value) = given.value()
    {
        // Names of backends are read in capitals or not.
        let found = names
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(value));
        match found {
            // A plug-in brings parsers of its own, and a path may stand where a name does.
            None if !names.is_empty() && !is_free(flag.name, value) => {
                return finding(
                    FlagFault::Value,
                    format!("No release from 0.19 to 0.33 has the name `{value}` for it."),
                );
            }
            Some((_, life)) if !releases.meets(life) => {
                let why = format!(
                    "As to the name `{value}`: {} {}",
                    since(life),
                    meant(releases)
                );
                return finding(FlagFault::Value, why);
            }
            _ => {}
        }
    }
    if is_json(flag.name)
        && given.path.is_none()
        && let Some(value) = given.value()
        && serde_json::from_str::<serde_json::Value>(value).is_err()
    {
        return finding(
            FlagFault::NoJson,
            "Its value has to be JSON and is none.".into(),
        );
    }
    if given.oddity == Some(Oddity::Cut) {
        return finding(FlagFault::Cut, format!("Its name is `--{}`.", flag.name));
    }
    None
}

/// What stands against a variable of the environment; `None` where nothing does or it is not the engine's.
pub fn against_variable(releases: &Releases, name: &str) -> Option<String> {
    if !name.starts_with("VLLM_") {
        return None;
    }
    let logged = "The engine only logs that it does not know it.";
    match TABLE.environment.get(name) {
        None => Some(format!("No release from 0.19 to 0.33 reads it. {logged}")),
        Some(life) if !releases.meets(life) => {
            Some(format!("{} {} {logged}", since(life), meant(releases)))
        }
        // Where nothing is known of the release, a variable of older ones is told.
        Some(life) if releases.is_any() && life.until.is_some() => Some(since(life)),
        Some(_) => None,
    }
}

fn is_free(flag: &str, value: &str) -> bool {
    // An attention backend may be given by its class, and `auto` is everywhere.
    flag == "attention-backend" && value.contains('.') || value.eq_ignore_ascii_case("auto")
}

/// Arguments whose value is a JSON object.
fn is_json(name: &str) -> bool {
    (name.ends_with("-config") && !["generation-config", "config"].contains(&name))
        || [
            "hf-overrides",
            "override-generation-config",
            "limit-mm-per-prompt",
            "default-chat-template-kwargs",
            "mm-processor-kwargs",
            "media-io-kwargs",
            "allowed-origins",
        ]
        .contains(&name)
}

fn since(life: &Life) -> String {
    match (life.since, life.until) {
        (Some(since), Some(until)) => format!("Releases 0.{since} to 0.{until} have it."),
        (Some(since), None) => format!("Releases from 0.{since} on have it."),
        (None, Some(until)) => format!("Releases after 0.{until} do not have it."),
        (None, None) => String::new(),
    }
}

fn meant(releases: &Releases) -> String {
    format!("The image has {}.", releases.told())
}
