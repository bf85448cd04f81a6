//! The numbers that the window's fields take. They are the engine's own, and go into the TypeScript from here, so
//! that a limit has one place.

use std::ops::RangeInclusive;

use serde::Serialize;
use tandem_adapters::image_resize::MAX_BYTES;
use tandem_domain::bench::{BenchCase, CONCURRENCY, DEPTH, GENERATE_TOKENS, PROMPT_TOKENS, RUNS};
use tandem_domain::chat::prompt::MAX_TOKENS;
use tandem_domain::network::plan::{MTU, PREFIXES};
use tandem_domain::node::LEAST_RATE;

/// From a least to a most; no most is as much as there is.
#[derive(Debug, Serialize)]
struct Range {
    least: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<u64>,
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
        quick: BenchCase::quick(),
    }
}

fn range<T: Copy + Into<u64>>(of: &RangeInclusive<T>) -> Range {
    Range {
        least: (*of.start()).into(),
        most: Some((*of.end()).into()),
    }
}
