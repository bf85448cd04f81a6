//! The numbers that the window's fields take. They are the engine's own, and go into the TypeScript from here, so
//! that a limit has one place.

use std::ops::RangeInclusive;

use serde::Serialize;
use tandem_adapters::image_resize::MAX_BYTES;
use tandem_domain::bench::{BenchCase, CONCURRENCY, DEPTH, GENERATE_TOKENS, PROMPT_TOKENS, RUNS};
use tandem_domain::chat::budget::MAX_TOKENS;
use tandem_domain::chat::controls;
use tandem_domain::network::plan::{MTU, PREFIXES};
use tandem_domain::node::LEAST_RATE;

/// From a least to a most; no most is as much as there is.
#[derive(Debug, Serialize)]
struct Range {
    least: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<u64>,
}

/// The same of numbers with a fraction.
#[derive(Debug, Serialize)]
struct Span {
    least: f64,
    most: f64,
}

/// Of the settings of an answer.
#[derive(Debug, Serialize)]
struct OfAnswers {
    temperature: Span,
    top_p: Span,
    top_k: Range,
    min_p: Span,
    presence_penalty: Span,
    frequency_penalty: Span,
    repetition_penalty: Span,
    max_tokens: Range,
    stops: usize,
    stop_characters: usize,
    system_characters: usize,
}

/// All of them, by field.
#[derive(Debug, Serialize)]
pub(crate) struct Limits {
    /// Bytes a second of a download.
    bytes_per_second: Range,
    /// Bytes of a frame on the private link.
    mtu: Range,
    /// Bits in common of a rail's addresses.
    prefix: Range,
    /// Tokens of a measured prompt.
    prompt_tokens: Range,
    /// Tokens of a measured answer.
    generate_tokens: Range,
    /// Tokens of context before a measured prompt.
    depth: Range,
    /// Measured requests at once.
    concurrency: Range,
    /// Repeats of a measurement.
    runs: Range,
    /// Bytes of a picture's file.
    picture_bytes: Range,
    /// Tokens that an answer may have where nobody wishes others.
    answer_tokens: u32,
    /// The settings of an answer.
    controls: OfAnswers,
    /// The measurement that the set-up makes as well.
    quick: BenchCase,
}

/// The limits of every field.
pub(crate) fn limits() -> Limits {
    Limits {
        bytes_per_second: Range {
            least: LEAST_RATE,
            most: None,
        },
        mtu: range(&MTU),
        prefix: range(&PREFIXES),
        prompt_tokens: range(&PROMPT_TOKENS),
        generate_tokens: range(&GENERATE_TOKENS),
        depth: range(&DEPTH),
        concurrency: range(&CONCURRENCY),
        runs: range(&RUNS),
        picture_bytes: Range {
            least: 1,
            most: Some(MAX_BYTES),
        },
        answer_tokens: MAX_TOKENS,
        controls: OfAnswers {
            temperature: span(&controls::TEMPERATURE),
            top_p: span(&controls::TOP_P),
            top_k: range(&controls::TOP_K),
            min_p: span(&controls::MIN_P),
            presence_penalty: span(&controls::PENALTY),
            frequency_penalty: span(&controls::PENALTY),
            repetition_penalty: span(&controls::REPETITION),
            max_tokens: range(&controls::ANSWER_TOKENS),
            stops: controls::STOPS.0,
            stop_characters: controls::STOPS.1,
            system_characters: controls::SYSTEM,
        },
        quick: BenchCase::quick(),
    }
}

fn span(of: &RangeInclusive<f64>) -> Span {
    Span {
        least: *of.start(),
        most: *of.end(),
    }
}

fn range<T: Copy + Into<u64>>(of: &RangeInclusive<T>) -> Range {
    Range {
        least: (*of.start()).into(),
        most: Some((*of.end()).into()),
    }
}
