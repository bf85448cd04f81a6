//! How a model is asked to answer, as a person sets it for a conversation.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::problem::{Code, Problem};

/// Temperature: 0 always takes the likeliest token.
pub const TEMPERATURE: RangeInclusive<f64> = 0.0..=2.0;
/// Share of the likelihood that top-p keeps; 1 keeps all.
pub const TOP_P: RangeInclusive<f64> = 0.01..=1.0;
/// Likeliest tokens that top-k keeps; 0 keeps all.
pub const TOP_K: RangeInclusive<u32> = 0..=100_000;
/// Share of the likeliest token's likelihood that min-p demands; 0 demands none.
pub const MIN_P: RangeInclusive<f64> = 0.0..=1.0;
/// Presence and frequency penalty, as the OpenAI API has them.
pub const PENALTY: RangeInclusive<f64> = -2.0..=2.0;
/// Repetition penalty; 1 is none.
pub const REPETITION: RangeInclusive<f64> = 0.1..=2.0;
/// Tokens of an answer. The window of the model bounds it further.
pub const ANSWER_TOKENS: RangeInclusive<u32> = 1..=1_048_576;
/// Words that end an answer: how many, and how many characters each.
pub const STOPS: (usize, usize) = (4, 100);
/// Characters of a system prompt.
pub const SYSTEM: usize = 100_000;
/// Characters of a JSON schema.
pub const SCHEMA: usize = 100_000;
/// Characters of a preset's name.
pub const PRESET_NAME: usize = 60;

/// The level that asks the model not to reason.
pub const LEVEL_OFF: &str = "off";

/// What a person set. Members that are `None` leave it to the model's own settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Controls {
    /// Rules for the model; empty text is none.
    pub system: String,
    /// How much it reasons: [`LEVEL_OFF`] or one of the recipe's levels.
    pub level: Option<String>,
    /// The most tokens of the answer with its reasoning; `None` leaves it to Tandem.
    pub max_tokens: Option<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What form the answer has.
    pub format: AnswerFormat,
}

/// How tokens are chosen. Members that are `None` leave it to the model's own settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Sampling {
    /// See [`TEMPERATURE`].
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub temperature: Option<f64>,
    /// See [`TOP_P`].
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub top_p: Option<f64>,
    /// See [`TOP_K`].
    pub top_k: Option<u32>,
    /// See [`MIN_P`].
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub min_p: Option<f64>,
    /// Against what was said at all; see [`PENALTY`].
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub presence_penalty: Option<f64>,
    /// Against what was said often; see [`PENALTY`].
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub frequency_penalty: Option<f64>,
    /// Against what stands in prompt and answer; see [`REPETITION`].
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub repetition_penalty: Option<f64>,
    /// The same seed and the same question give the same answer, as far as the server keeps that.
    pub seed: Option<u32>,
    /// Words that end the answer.
    pub stop: Vec<String>,
}

/// What form an answer has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AnswerFormat {
    /// Whatever the model writes.
    #[default]
    Text,
    /// One JSON value.
    Json,
    /// JSON by a schema.
    Schema {
        /// The JSON schema, as text.
        schema: String,
    },
}

/// How a model is told how much to reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct LevelsOfReasoning {
    /// The argument of the chat template that switches it; `None` where none does.
    pub switch: Option<String>,
    /// Its levels, from little to much.
    pub levels: Vec<String>,
}

/// Controls under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Preset {
    /// Its name.
    pub name: String,
    /// What it sets.
    pub controls: Controls,
}

impl Controls {
    /// What stands against them, the first thing of it.
    pub fn check(&self) -> Result<(), Problem> {
        let Sampling {
            temperature,
            top_p,
            top_k,
            min_p,
            presence_penalty,
            frequency_penalty,
            repetition_penalty,
            seed: _,
            stop,
        } = &self.sampling;
        within("temperature", *temperature, &TEMPERATURE)?;
        within("top-p", *top_p, &TOP_P)?;
        within("top-k", *top_k, &TOP_K)?;
        within("min-p", *min_p, &MIN_P)?;
        within("presence penalty", *presence_penalty, &PENALTY)?;
        within("frequency penalty", *frequency_penalty, &PENALTY)?;
        within("repetition penalty", *repetition_penalty, &REPETITION)?;
        within("number of tokens", self.max_tokens, &ANSWER_TOKENS)?;
        let (most, longest) = STOPS;
        if stop.len() > most || stop.iter().any(|word| word.chars().count() > longest) {
            return Err(refused(format!(
                "An answer may have {most} stop words of {longest} characters each."
            )));
        }
        if stop.iter().any(String::is_empty) {
            return Err(refused("A stop word is empty.".into()));
        }
        shorter("The system prompt", &self.system, SYSTEM)?;
        if let AnswerFormat::Schema { schema } = &self.format {
            shorter("The schema", schema, SCHEMA)?;
            let read: Result<serde_json::Map<String, serde_json::Value>, _> =
                serde_json::from_str(schema);
            if let Err(error) = read {
                return Err(refused(format!("The schema is no JSON object: {error}.")));
            }
        }
        Ok(())
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    what: &str,
    value: Option<T>,
    limits: &RangeInclusive<T>,
) -> Result<(), Problem> {
    match value {
        Some(value) if !limits.contains(&value) => Err(refused(format!(
            "The {what} is {value}; it may be from {} to {}.",
            limits.start(),
            limits.end()
        ))),
        _ => Ok(()),
    }
}

fn shorter(what: &str, text: &str, most: usize) -> Result<(), Problem> {
    if text.chars().count() <= most {
        return Ok(());
    }
    Err(refused(format!("{what} is longer than {most} characters.")))
}

fn refused(cause: String) -> Problem {
    Problem::new(Code::BadInput, "The answer’s settings cannot be used.")
        .cause(cause)
        .fix("Change it in the settings of the answer.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(controls: &Controls) -> Option<String> {
        controls.check().err().and_then(|problem| problem.cause)
    }

    #[test]
    fn what_nobody_set_is_sound() {
        assert_eq!(cause(&Controls::default()), None);
    }

    #[test]
    fn each_limit_is_told_with_what_was_set() {
        let sampling = |change: fn(&mut Sampling)| {
            let mut controls = Controls::default();
            change(&mut controls.sampling);
            cause(&controls).unwrap_or_default()
        };
        for (said, expected) in [
            (
                sampling(|s| s.temperature = Some(2.5)),
                "temperature is 2.5; it may be from 0 to 2",
            ),
            (
                sampling(|s| s.temperature = Some(f64::NAN)),
                "temperature is NaN",
            ),
            (sampling(|s| s.top_p = Some(0.0)), "top-p is 0"),
            (sampling(|s| s.top_k = Some(100_001)), "top-k is 100001"),
            (sampling(|s| s.min_p = Some(-0.1)), "min-p is -0.1"),
            (
                sampling(|s| s.presence_penalty = Some(3.0)),
                "presence penalty is 3",
            ),
            (
                sampling(|s| s.frequency_penalty = Some(-3.0)),
                "frequency penalty is -3",
            ),
            (
                sampling(|s| s.repetition_penalty = Some(0.0)),
                "repetition penalty is 0",
            ),
            (sampling(|s| s.stop = vec!["a".into(); 5]), "4 stop words"),
            (
                sampling(|s| s.stop = vec![String::new()]),
                "stop word is empty",
            ),
        ] {
            assert!(said.contains(expected), "{said}");
        }
        let none = Controls {
            max_tokens: Some(0),
            ..Controls::default()
        };
        assert!(cause(&none).is_some_and(|c| c.contains("number of tokens is 0")));
        let schema = |text: &str| {
            cause(&Controls {
                format: AnswerFormat::Schema {
                    schema: text.into(),
                },
                ..Controls::default()
            })
        };
        assert_eq!(schema(r#"{"type":"object"}"#), None);
        assert!(schema("[]").is_some() && schema("{").is_some());
    }
}
