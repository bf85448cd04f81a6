//! Measuring a served model, in llama-benchy's definitions, and comparing saved runs.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::engine::metrics::Acceptance;
use crate::ids::{BenchId, RunId};
use crate::problem::{Code, Problem};

pub use compare::compare;
pub use doubt::Doubt;
pub use error::BenchError;
pub use measure::measure;
pub use session::{BenchProgress, Measurement};
pub use store::{BenchStore, BenchStoreError};

mod batch;
mod chance;
mod compare;
mod doubt;
mod error;
mod guard;
mod measure;
mod peak;
mod prompts;
mod prose;
mod random;
#[cfg(test)]
mod scripted;
mod session;
mod size;
mod store;
mod summary;
mod text;
mod timeline;

/// Free-form facts of a measurement: image digest, driver, revision.
pub type Circumstances = std::collections::BTreeMap<String, String>;

/// Tokens that a prompt may be measured with.
pub const PROMPT_TOKENS: RangeInclusive<u32> = 16..=131_072;
/// Tokens that an answer may be measured with.
pub const GENERATE_TOKENS: RangeInclusive<u32> = 8..=4096;
/// Tokens of context that may stand before the prompt.
pub const DEPTH: RangeInclusive<u32> = 0..=262_144;
/// Requests at once.
pub const CONCURRENCY: RangeInclusive<u32> = 1..=64;
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
    /// Measure although others use the server. The result says so.
    #[serde(default)]
    pub beside_others: bool,
    /// Tokens of context before the prompt (the d of `pp2048 @ d4096`).
    #[serde(default)]
    pub depth: u32,
    /// Requests at once (the c of `tg128 (c4)`).
    #[serde(default = "one")]
    pub concurrency: u32,
    /// Whose request it is.
    #[serde(default)]
    pub method: BenchMethod,
}

/// The concurrency of what older versions measured.
fn one() -> u32 {
    1
}

/// How the request of a measurement is made. Both have the same definitions of the figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum BenchMethod {
    /// Tandem's: the sizes are those of the text, and template and mark come on top; the model is asked not to think.
    #[default]
    Tandem,
    /// llama-benchy's with `--exact-tg`: the sizes have the template in them, and thinking is left to the model.
    LlamaBenchy,
}

impl BenchCase {
    /// The short one that validation runs: pp512, tg64, and as many repeats as tell half as fast again from chance.
    pub fn quick() -> Self {
        Self {
            prompt_tokens: 512,
            generate_tokens: 64,
            runs: 5,
            beside_others: false,
            depth: 0,
            concurrency: 1,
            method: BenchMethod::Tandem,
        }
    }

    /// The field's short name: `pp512 tg64`, `pp2048 tg128 @ d4096 (c4)`.
    pub fn name(&self) -> String {
        let mut name = format!("pp{} tg{}", self.prompt_tokens, self.generate_tokens);
        if self.depth > 0 {
            name.push_str(&format!(" @ d{}", self.depth));
        }
        if self.concurrency > 1 {
            name.push_str(&format!(" (c{})", self.concurrency));
        }
        if self.method == BenchMethod::LlamaBenchy {
            name.push_str(" as llama-benchy");
        }
        name
    }

    /// All tokens that one request has before its answer, template and mark aside.
    pub(crate) fn size(&self) -> u32 {
        self.prompt_tokens + self.depth
    }

    /// Refuses a case that would measure nothing, or take an evening.
    pub fn check(&self) -> Result<(), Problem> {
        let parts = [
            ("The prompt", self.prompt_tokens, &PROMPT_TOKENS),
            ("The answer", self.generate_tokens, &GENERATE_TOKENS),
            ("The context", self.depth, &DEPTH),
            (
                "The number of requests at once",
                self.concurrency,
                &CONCURRENCY,
            ),
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

/// One repeat, as measured; of several requests at once, all of them together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct BenchSample {
    /// Which of the numbered prompts it was. Equal numbers of equal cases are equal words, so that the repeats of two
    /// measurements pair. `None` in measurements of older versions.
    #[serde(default)]
    pub prompt: Option<u32>,
    /// Prompt tokens by the server's count, context among them, without `extra_tokens`.
    pub prompt_tokens: u32,
    /// Tokens of template and mark, which the server reads as well and `pp_tps` counts. `None` where its tokenizer could
    /// not be asked: they are among `prompt_tokens` then.
    #[serde(default)]
    pub extra_tokens: Option<u32>,
    /// Generated tokens by the server's count.
    pub completion_tokens: u32,
    /// Seconds to the first chunk with choices (ttfr).
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub ttfr_s: f64,
    /// Seconds of reading the prompt, max(0, ttfr − latency) (est_ppt). `None` in measurements of older versions.
    #[serde(default)]
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub est_ppt_s: Option<f64>,
    /// Seconds to the first token of content or reasoning (e2e TTFT).
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub ttft_s: f64,
    /// Seconds to the last token.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub end_s: f64,
    /// Prompt tokens per second: all that the server read / est_ppt. 0 where the first chunk does not tell when the prompt was read.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub pp_tps: f64,
    /// Generated tokens per second after the first token.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub tg_tps: f64,
    /// The most tokens in a second (peak). `None` in measurements of older versions.
    #[serde(default)]
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub peak_tps: Option<f64>,
    /// The requests of this repeat, where there were several at once. The fields above are all of them together then:
    /// sums of tokens, rates over the time of all, and the mean of `ttfr_s` and `ttft_s`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<BenchRequest>,
}

/// One request of several at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct BenchRequest {
    /// As in [`BenchSample`].
    pub prompt_tokens: u32,
    /// As in [`BenchSample`].
    pub completion_tokens: u32,
    /// As in [`BenchSample`].
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub ttfr_s: f64,
    /// As in [`BenchSample`].
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub ttft_s: f64,
    /// As in [`BenchSample`].
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub end_s: f64,
    /// As in [`BenchSample`].
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub pp_tps: f64,
    /// As in [`BenchSample`].
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub tg_tps: f64,
    /// As in [`BenchSample`].
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub peak_tps: f64,
}

/// What is to be known of a measurement, for as long as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct BenchNote {
    /// What it is about.
    pub kind: NoteKind,
    /// In a sentence.
    pub says: String,
}

/// See [`BenchNote::kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum NoteKind {
    /// Others used the server before or meanwhile.
    Others,
    /// A repeat is not counted.
    NotCounted,
    /// The sizes are not those that were asked for.
    Size,
    /// Fewer repeats were made than asked for, since the time was over.
    Fewer,
    /// A figure cannot be told.
    NoFigure,
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
    /// With speculative decoding: how the drafts fared. `None` as well where others used the server meanwhile, since
    /// the counters have their drafts too.
    pub acceptance: Option<Acceptance>,
    /// What it was measured on: image digest, revision, driver, arguments. Sorted by name.
    pub circumstances: std::collections::BTreeMap<String, String>,
    /// What is to be known of it: others on the server, repeats that do not count, sizes.
    pub notes: Vec<BenchNote>,
    /// Why it ended before all repeats were made; `None` if it did not.
    pub ended: Option<Problem>,
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
    /// b / a, by the geometric means of the repeats; 0 where it cannot be told.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub ratio: f64,
    /// The 95 % interval of the ratio; `None` where a side has fewer than two repeats.
    #[cfg_attr(feature = "bindings", specta(type = Option<(specta_typescript::Number, specta_typescript::Number)>))]
    pub interval: Option<(f64, f64)>,
    /// Whether the repeats were compared prompt by prompt.
    pub paired: bool,
    /// Repeats a side with which a difference of 5 % would be found in nine of ten cases.
    pub needed: Option<u32>,
    /// Whether there is a difference: beyond chance, over all figures of the comparison together, and of 0.5 % at least.
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
