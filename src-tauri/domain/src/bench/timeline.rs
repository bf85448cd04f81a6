//! What the moments of one answer allow to be said of the server's speed.
//!
//! An answer is believed only where its own signs agree: the server's counts with what came, and the moments with a
//! server that hands over tokens as it makes them. Everything else is a [`Doubt`], and no figure comes of it.

use crate::bench::BenchSample;
use crate::bench::doubt::Doubt;
use crate::bench::peak::{Moment, most_in_a_second, token_times};
use crate::chat::{ChatDelta, ChatFinish};

/// Chunks this near to each other came at one moment: they were let go together.
const ONE_MOMENT_S: f64 = 0.001;

/// The share of the time after the first chunk in which more than [`BURST_TOKENS`] of an answer is a burst.
const BURST_TIME: f64 = 0.05;

/// See [`BURST_TIME`].
const BURST_TOKENS: f64 = 0.5;

/// Of a shorter answer one step of a drafting server may be half.
const SHORT_ANSWER: u32 = 16;

/// Tokens per second of one request that no machine makes; what is faster was held back and let go at once.
const FASTEST: f64 = 2_000.0;

/// Prompt tokens per second that no machine reads.
const FASTEST_PROMPT: f64 = 1_000_000.0;

/// A pause of so many usual ones is a stall.
const STALL_TIMES: f64 = 10.0;

/// A shorter pause is what networks and schedulers do.
const STALL_LEAST_S: f64 = 0.25;

/// A pause of a smaller share of the answer's time changes its rate by less than repeats differ.
const STALL_SHARE: f64 = 0.05;

/// Counts may differ by this share: a token is not always a chunk, nor its words tokenized alike.
const COUNTS: f64 = 0.1;

/// A chunk of so many times the usual one's bytes carries the words of several.
const MANY_WORDS: f64 = 6.0;

/// A first chunk so long before the first words tells nothing of the prompt.
const EARLY_S: f64 = 0.02;

/// Tokens by which counts may differ whatever their size.
const COUNTS_LEAST: f64 = 2.0;

/// One chunk with choices.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Chunk {
    at: f64,
    /// Bytes of words, of content and reasoning.
    bytes: usize,
    tokens: Option<u32>,
}

/// What one answer was asked to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Asked {
    /// Tokens to generate, no more and no fewer.
    pub(crate) tokens: u32,
    /// Tokens of the prompt with template and mark, where the served model's tokenizer told.
    pub(crate) prompt: Option<u32>,
    /// Those of template and mark among them.
    pub(crate) extra: Option<u32>,
    /// Words of the prompt.
    pub(crate) prompt_words: u32,
    /// Whether it was the only request. A server that has several makes one wait while it reads another's prompt.
    pub(crate) alone: bool,
}

/// The chunks of one answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Timeline {
    chunks: Vec<Chunk>,
}

/// The figures of one answer, and what is to be said of them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// The figures.
    pub(crate) sample: BenchSample,
    /// Whether the first chunk tells when the prompt was read.
    pub(crate) prompt_told: bool,
    /// Tokens after the first moment.
    pub(crate) after_first: f64,
    /// When each token came.
    pub(crate) times: Vec<f64>,
}

impl Timeline {
    /// Takes a chunk in.
    pub(crate) fn push(&mut self, delta: &ChatDelta) {
        self.chunks.push(Chunk {
            at: delta.at.as_secs_f64(),
            bytes: delta.content.len() + delta.reasoning.len(),
            tokens: delta.tokens,
        });
    }

    /// The figures, or why there are none that can be believed. `latency_s` is the way to the server and back.
    pub(crate) fn read(
        &self,
        finish: &ChatFinish,
        asked: Asked,
        latency_s: f64,
    ) -> Result<Told, Doubt> {
        let (Some(prompt_tokens), Some(tokens)) = (finish.prompt_tokens, finish.completion_tokens)
        else {
            return Err(Doubt::NotCounted);
        };
        self.check_counts(tokens, asked)?;
        check_prompt(prompt_tokens, asked)?;
        let moments = self.moments(tokens)?;
        let (Some(first), Some(last)) = (moments.first(), moments.last()) else {
            return Err(Doubt::AtOnce { tokens });
        };
        let ttfr_s = self.chunks.first().map_or(first.at, |c| c.at);
        check_burst(&moments, tokens, ttfr_s)?;
        let span = last.end - first.at;
        let after: f64 = moments.iter().skip(1).map(|m| m.tokens).sum();
        if after < 0.5 || span <= 0.0 {
            return Err(Doubt::AtOnce { tokens });
        }
        let tg_tps = after / span;
        if tg_tps > FASTEST {
            return Err(Doubt::TooFast { tokens, span });
        }
        if asked.alone {
            check_stall(&moments, span)?;
        }
        let est_ppt_s = (ttfr_s - latency_s).max(0.0);
        let pp_tps = f64::from(prompt_tokens) / est_ppt_s;
        let prompt_told = pp_tps.is_finite()
            && pp_tps <= FASTEST_PROMPT
            && !early_first(&moments, ttfr_s, est_ppt_s);
        let times = token_times(&moments);
        Ok(Told {
            sample: BenchSample {
                prompt: None,
                prompt_tokens: prompt_tokens.saturating_sub(asked.extra.unwrap_or_default()),
                extra_tokens: asked.extra,
                completion_tokens: tokens,
                ttfr_s,
                est_ppt_s: Some(est_ppt_s),
                ttft_s: first.at,
                end_s: last.end,
                pp_tps: if prompt_told { pp_tps } else { 0.0 },
                tg_tps,
                peak_tps: Some(most_in_a_second(&times)),
                requests: Vec::new(),
            },
            prompt_told,
            after_first: after,
            times,
        })
    }

    /// The server's count of the answer against what was asked and what came.
    fn check_counts(&self, tokens: u32, asked: Asked) -> Result<(), Doubt> {
        if tokens > asked.tokens {
            return Err(Doubt::TooMany {
                tokens,
                wanted: asked.tokens,
            });
        }
        if tokens < asked.tokens {
            return Err(Doubt::TooFew {
                tokens,
                wanted: asked.tokens,
            });
        }
        let with_words = self.chunks.iter().filter(|c| c.bytes > 0).count() as f64;
        let near = |limit: f64| limit * (1.0 + COUNTS) + COUNTS_LEAST;
        if with_words > near(f64::from(tokens)) {
            return Err(Doubt::Counts {
                counted: tokens,
                seen: with_words as u32,
            });
        }
        if self.along(tokens)?.is_some() {
            return Ok(());
        }
        // A token with words has a byte at least, and one without came in a chunk of its own.
        let bytes: usize = self.chunks.iter().map(|c| c.bytes).sum();
        let silent = self.chunks.iter().filter(|c| c.bytes == 0).count();
        let most = (bytes + silent) as f64;
        if f64::from(tokens) > near(most) {
            return Err(Doubt::Counts {
                counted: tokens,
                seen: most as u32,
            });
        }
        Ok(())
    }

    /// When the tokens came: by the server's count along, or else spread over the chunks with words.
    fn moments(&self, tokens: u32) -> Result<Vec<Moment>, Doubt> {
        let weights = match self.along(tokens)? {
            Some(counts) => counts,
            None => self.spread(tokens),
        };
        let mut moments: Vec<Moment> = Vec::new();
        for (chunk, tokens) in self.chunks.iter().zip(weights) {
            // Words whose tokens are told with a later chunk begin the answer all the same.
            if tokens == 0.0 && (chunk.bytes == 0 || !moments.is_empty()) {
                continue;
            }
            match moments.last_mut() {
                Some(last) if chunk.at - last.at < ONE_MOMENT_S => {
                    last.tokens += tokens;
                    last.end = chunk.at;
                }
                _ => moments.push(Moment {
                    at: chunk.at,
                    end: chunk.at,
                    tokens,
                }),
            }
        }
        Ok(moments)
    }

    /// The tokens of an answer that is counted at its end alone: as many to each chunk with words, or by its bytes
    /// where one chunk carries the words of many.
    fn spread(&self, tokens: u32) -> Vec<f64> {
        let sizes: Vec<f64> = self.chunks.iter().map(|c| c.bytes as f64).collect();
        let with_words: Vec<f64> = sizes.iter().copied().filter(|b| *b > 0.0).collect();
        let usual = median(&with_words);
        let uneven = with_words.iter().any(|b| *b > MANY_WORDS * usual);
        let weight = |bytes: f64| if uneven { bytes } else { bytes.min(1.0) };
        let all: f64 = sizes.iter().map(|b| weight(*b)).sum();
        let share = |bytes: &f64| f64::from(tokens) * weight(*bytes) / all.max(1.0);
        sizes.iter().map(share).collect()
    }

    /// The tokens of each chunk, where the server counts along in earnest.
    fn along(&self, tokens: u32) -> Result<Option<Vec<f64>>, Doubt> {
        let counts: Vec<u32> = self.chunks.iter().filter_map(|c| c.tokens).collect();
        let (Some(first), Some(last)) = (counts.first(), counts.last()) else {
            return Ok(None);
        };
        // Some servers put nothing, or the end's count, into every chunk. That says nothing of moments.
        if first == last {
            return Ok(None);
        }
        let falls = counts.windows(2).any(|pair| pair[1] < pair[0]);
        let off = (f64::from(*last) - f64::from(tokens)).abs();
        if falls || off > f64::from(tokens) * COUNTS + COUNTS_LEAST {
            return Err(Doubt::CountsAlong {
                along: *last,
                counted: tokens,
            });
        }
        let mut before = 0;
        let grown = self.chunks.iter().map(|chunk| {
            let now = chunk.tokens.unwrap_or(before);
            f64::from(now.saturating_sub(std::mem::replace(&mut before, now)))
        });
        Ok(Some(grown.collect()))
    }
}

/// The server's count of the prompt against the tokenizer's, or against what its words can be.
fn check_prompt(counted: u32, asked: Asked) -> Result<(), Doubt> {
    let tokens = f64::from(counted);
    match asked.prompt {
        Some(expected) => {
            let off = (tokens - f64::from(expected)).abs();
            if off > f64::from(expected) * COUNTS + COUNTS_LEAST {
                return Err(Doubt::PromptCounts { counted, expected });
            }
        }
        None => {
            let words = f64::from(asked.prompt_words);
            let most = words * MOST_TOKENS_PER_WORD + LONGEST_TEMPLATE;
            if tokens > most || tokens < words * LEAST_TOKENS_PER_WORD {
                return Err(Doubt::PromptWords {
                    counted,
                    words: asked.prompt_words,
                });
            }
        }
    }
    Ok(())
}

/// A tokenizer of single bytes makes about so many of a word of English with its space.
const MOST_TOKENS_PER_WORD: f64 = 6.5;

/// A tokenizer of whole words makes one of each.
const LEAST_TOKENS_PER_WORD: f64 = 0.8;

/// Tokens that a template may bring by itself.
pub(crate) const LONGEST_TEMPLATE: f64 = 512.0;

/// Whether the answer came in one piece after it had been held back.
fn check_burst(moments: &[Moment], tokens: u32, ttfr_s: f64) -> Result<(), Doubt> {
    let Some(last) = moments.last() else {
        return Ok(());
    };
    let total: f64 = moments.iter().map(|m| m.tokens).sum();
    let share = if tokens < SHORT_ANSWER {
        0.8
    } else {
        BURST_TOKENS
    };
    let wide = (last.end - ttfr_s).max(0.0) * BURST_TIME;
    let (mut from, mut within) = (0, 0.0);
    for to in 0..moments.len() {
        within += moments[to].tokens;
        while moments[to].end - moments[from].at > wide && from < to {
            within -= moments[from].tokens;
            from += 1;
        }
        if within > total * share {
            return Err(Doubt::Burst {
                tokens: within.round() as u32,
                of: tokens,
                within_s: moments[to].end - moments[from].at,
                silence_s: moments[from].at
                    - if from == 0 {
                        ttfr_s
                    } else {
                        moments[from - 1].end
                    },
            });
        }
    }
    Ok(())
}

/// Whether the server paused in the middle for so long that the rate is the pause's.
fn check_stall(moments: &[Moment], span: f64) -> Result<(), Doubt> {
    let gaps: Vec<f64> = moments.windows(2).map(|m| m[1].at - m[0].end).collect();
    let Some((at, longest)) = gaps
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))
    else {
        return Ok(());
    };
    let is_stall = longest > STALL_TIMES * median(&gaps)
        && longest > STALL_LEAST_S
        && longest > STALL_SHARE * span;
    if !is_stall {
        return Ok(());
    }
    let before: f64 = moments[..=at].iter().map(|m| m.tokens).sum();
    Err(Doubt::Stall {
        seconds: longest,
        after: before.round() as u32,
    })
}

/// Whether the first chunk came long before the prompt was read, as of servers and proxies that answer at once with
/// an empty one.
fn early_first(moments: &[Moment], ttfr_s: f64, est_ppt_s: f64) -> bool {
    let Some(first) = moments.first() else {
        return false;
    };
    let gaps: Vec<f64> = moments.windows(2).map(|m| m[1].at - m[0].at).collect();
    let wait = first.at - ttfr_s;
    // A parser that holds words back makes a long wait too, and lets go as many tokens as fit into it.
    wait > EARLY_S && wait > 1.5 * first.tokens.max(1.0) * median(&gaps) && wait > est_ppt_s
}

/// The middle one; 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
#[path = "timeline_tests.rs"]
mod tests;
