//! Measuring a served model, in llama-benchy's definitions, and comparing saved runs.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::engine::metrics::Acceptance;
use crate::ids::{BenchId, RunId};
use crate::problem::{Code, Problem};

pub use compare::compare;
pub use measure::{BenchError, BenchProgress, Measurement, measure};
pub use store::{BenchStore, BenchStoreError};

mod compare;
mod measure;
mod store;
mod summary;
mod text;

/// Free-form facts of a measurement: image digest, driver, revision.
pub type Circumstances = std::collections::BTreeMap<String, String>;

/// Tokens that a prompt may be measured with.
pub const PROMPT_TOKENS: RangeInclusive<u32> = 16..=131_072;
/// Tokens that an answer may be measured with.
pub const GENERATE_TOKENS: RangeInclusive<u32> = 8..=4096;
/// Repeats of a measurement.
pub const RUNS: RangeInclusive<u32> = 1..=20;

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct BenchCase {
    /// Prompt tokens wanted (pp).
    pub prompt_tokens: u32,
    /// Tokens to generate (tg).
    pub generate_tokens: u32,
    /// Repeats that count; one more runs before them and is thrown away.
    pub runs: u32,
}

impl BenchCase {
    /// The short one that validation runs: pp512, tg64, 3 runs.
    pub fn quick() -> Self {
        Self {
            prompt_tokens: 512,
            generate_tokens: 64,
            runs: 3,
        }
    }

    /// Refuses a case that would measure nothing, or take an evening.
    pub fn check(&self) -> Result<(), Problem> {
        let parts = [
            ("The prompt", self.prompt_tokens, &PROMPT_TOKENS),
            ("The answer", self.generate_tokens, &GENERATE_TOKENS),
            ("The number of repeats", self.runs, &RUNS),
        ];
        for (what, value, range) in parts {
            if !range.contains(&value) {
                return Err(Problem::new(Code::BadInput, "Nothing was measured.")
                    .cause(format!("{what} is {value}."))
                    .fix(format!("Use {} to {}.", range.start(), range.end())));
            }
        }
        Ok(())
    }
}

/// One repeat, as measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct BenchSample {
    /// Prompt tokens by the server's count.
    pub prompt_tokens: u32,
    /// Generated tokens by the server's count.
    pub completion_tokens: u32,
    /// Seconds to the first chunk with choices (ttfr).
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub ttfr_s: f64,
    /// Seconds to the first token of content or reasoning (e2e TTFT).
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub ttft_s: f64,
    /// Seconds to the last token.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub end_s: f64,
    /// Prompt tokens per second: prompt / max(0, ttfr − latency).
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub pp_tps: f64,
    /// Generated tokens per second after the first token.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub tg_tps: f64,
}

/// Mean, spread and the values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Spread {
    /// Arithmetic mean.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub mean: f64,
    /// The population's standard deviation, as llama-benchy gives it.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub std: f64,
    /// The values, in order.
    #[cfg_attr(feature = "bindings", specta(type = Vec<specta_typescript::Number>))]
    pub values: Vec<f64>,
}

/// A saved measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct BenchResult {
    /// Its identity.
    pub id: BenchId,
    /// When it began, ms since 1970.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub at: i64,
    /// A name people may change: "Plain", "MTP, 3 tokens".
    pub label: String,
    /// The served model's name.
    pub model: String,
    /// What was measured.
    pub case: BenchCase,
    /// Round trip of GET /v1/models, mean of 3, seconds.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub latency_s: f64,
    /// The repeats.
    pub samples: Vec<BenchSample>,
    /// Prompt tokens per second.
    pub pp_tps: Spread,
    /// Generated tokens per second.
    pub tg_tps: Spread,
    /// Seconds to the first token.
    pub ttft_s: Spread,
    /// With speculative decoding: how the drafts fared.
    pub acceptance: Option<Acceptance>,
    /// What it was measured on: image digest, revision, driver, arguments. Sorted by name.
    pub circumstances: std::collections::BTreeMap<String, String>,
    /// The run that made it, if a run did.
    pub run: Option<RunId>,
    /// Whether it was measured on rehearsed machines.
    pub simulated: bool,
}

/// Two measurements side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Comparison {
    /// The first.
    pub a: BenchResult,
    /// The second.
    pub b: BenchResult,
    /// One line a figure.
    pub figures: Vec<FigureDifference>,
    /// Circumstances that differ: name, in a, in b.
    pub differences: Vec<CircumstanceDifference>,
    /// The finding in a sentence.
    pub verdict: String,
}

/// See [`Comparison::figures`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct FigureDifference {
    /// `pp_tps`, `tg_tps` or `ttft_s`.
    pub figure: String,
    /// Its plain name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Mean of a.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub a: f64,
    /// Mean of b.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub b: f64,
    /// b / a.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub ratio: f64,
    /// Whether the difference stands out of the spread of both (Welch, two standard errors).
    pub clear: bool,
    /// Whether more is better.
    pub more_is_better: bool,
}

/// See [`Comparison::differences`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct CircumstanceDifference {
    /// What differs.
    pub name: String,
    /// In a; `None` if a does not say.
    pub a: Option<String>,
    /// In b.
    pub b: Option<String>,
}
