//! Measuring a served model, one request at a time, in llama-benchy's definitions.
//!
//! - latency: mean of three GET /v1/models;
//! - ttfr: to the first chunk with choices; est_ppt = max(0, ttfr − latency); pp = prompt tokens / est_ppt;
//! - e2e TTFT: to the first chunk with words, be they content or reasoning;
//! - tg: tokens after the first moment / (last − first).
//!
//! Tokens are the server's own count. Chunks are never counted: with MTP one carries several.

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::bench::text::{TOKENS_PER_WORD, prompt};
use crate::bench::{BenchCase, BenchResult, BenchSample, Circumstances, Spread};
use crate::chat::token_rate::TokenRate;
use crate::chat::{ChatFinish, ChatRequest};
use crate::engine;
use crate::engine::metrics::Metrics;
use crate::ids::{BenchId, RunId};
use crate::ports::{ApiError, Clock, ModelApi};
use crate::problem::{Code, Problem, Retry};
use crate::recipe::EngineKind;

/// Round trips of which the latency is the mean.
const LATENCY_TRIPS: u32 = 3;

/// What to measure, and what to write beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Identity of the result. Also makes the prompts differ from every other measurement's.
    pub id: BenchId,
    /// A name for the result: "Plain", "MTP, 3 tokens".
    pub label: String,
    /// The program that serves.
    pub engine: EngineKind,
    /// The served model's name.
    pub model: String,
    /// What is measured.
    pub case: BenchCase,
    /// What it is measured on.
    pub circumstances: Circumstances,
    /// The run that measures, if a run does.
    pub run: Option<RunId>,
    /// Whether the machines are rehearsed ones.
    pub simulated: bool,
    /// Seconds without a byte after which the server is given up.
    pub patience_s: u64,
}

/// How far a measurement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchProgress {
    /// Requests answered.
    pub done: u32,
    /// Requests in all.
    pub total: u32,
    /// For example "Repeat 2 of 3".
    pub doing: String,
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// Somebody cancelled.
    #[error("the measurement was cancelled")]
    Cancelled,
    /// The server did not do it.
    #[error("{doing}: {source}")]
    Api {
        /// What was being done.
        doing: String,
        /// What went wrong.
        source: ApiError,
    },
    /// The server answered without a token.
    #[error("{doing}: the server generated {tokens} of {wanted} tokens")]
    TooFewTokens {
        /// What was being done.
        doing: String,
        /// Tokens that came.
        tokens: u32,
        /// Tokens asked for.
        wanted: u32,
    },
    /// The server does not say how many tokens there were.
    #[error("{doing}: the server did not count its tokens")]
    NotCounted {
        /// What was being done.
        doing: String,
    },
    /// The case asks for nothing.
    #[error("nothing was asked for")]
    EmptyCase,
}

impl BenchError {
    /// The error in words.
    pub fn problem(&self) -> Problem {
        let message = "The server's speed was not measured.";
        match self {
            Self::Cancelled => Problem::new(Code::Broken, message)
                .cause("Somebody cancelled.")
                .severity(crate::problem::Severity::Notice),
            Self::Api { doing, source } => {
                let code = match source {
                    ApiError::TimedOut { .. } => Code::TimedOut,
                    ApiError::Lost { .. } => Code::ConnectionLost,
                    ApiError::NotListening { .. } => Code::NothingServed,
                    ApiError::Status { .. } | ApiError::Garbled { .. } => Code::ServerAnswer,
                };
                Problem::new(code, message)
                    .cause(format!("{doing}: {source}."))
                    .fix("Look at the server's log; when it answers in the chat again, measure again.")
                    .retry(Retry::Now)
            }
            Self::TooFewTokens { doing, tokens, wanted } => Problem::new(Code::ServerAnswer, message)
                .cause(format!(
                    "{doing}: {wanted} tokens were asked for and {tokens} came, so there is no time to divide by."
                ))
                .retry(Retry::Now),
            Self::NotCounted { doing } => Problem::new(Code::ServerAnswer, message)
                .cause(format!(
                    "{doing}: the server does not say how many tokens there were, and chunks are no tokens."
                ))
                .fix("Measure a server that counts its tokens (`usage`), such as vLLM."),
            Self::EmptyCase => Problem::new(Code::BadInput, message)
                .cause("A measurement needs at least 1 prompt token, 2 generated tokens and 1 repeat.")
                .fix("Choose larger numbers."),
        }
    }
}

/// Measures. Ends early when cancelled; the request under way is dropped then.
pub async fn measure(
    api: &dyn ModelApi,
    clock: &dyn Clock,
    wanted: &Measurement,
    cancel: &CancellationToken,
    on_progress: &mut (dyn FnMut(BenchProgress) + Send),
) -> Result<BenchResult, BenchError> {
    let case = &wanted.case;
    if case.prompt_tokens == 0 || case.generate_tokens < 2 || case.runs == 0 {
        return Err(BenchError::EmptyCase);
    }
    let mut session = Session {
        api,
        clock,
        wanted,
        cancel,
        done: 0,
    };
    let at = clock.now_ms();

    on_progress(session.progress("Round trip"));
    let latency_s = session.latency().await?;

    // The warm-up is thrown away but for what it tells of the tokenizer.
    on_progress(session.progress("Warm-up"));
    let words = (f64::from(case.prompt_tokens) / TOKENS_PER_WORD).ceil() as usize;
    let (_, finish) = session.repeat("Warm-up", 0, words).await?;
    let words = scaled(words, case.prompt_tokens, finish.prompt_tokens);

    // Speculation is a bonus: a server without metrics is measured all the same.
    let before = session.scrape().await?;
    let mut samples = Vec::new();
    for n in 1..=case.runs {
        let doing = format!("Repeat {n} of {}", case.runs);
        on_progress(session.progress(&doing));
        let (rate, finish) = session.repeat(&doing, n, words).await?;
        samples.push(sample(&rate, &finish, latency_s, &doing, case)?);
    }
    let after = session.scrape().await?;
    on_progress(session.progress("Done"));

    let spread = |figure: fn(&BenchSample) -> f64| {
        // 0 stands for a repeat that had no such figure; it is no speed.
        Spread::of(samples.iter().map(figure).filter(|v| *v > 0.0).collect())
    };
    Ok(BenchResult {
        id: wanted.id.clone(),
        at,
        label: wanted.label.clone(),
        model: wanted.model.clone(),
        case: case.clone(),
        latency_s,
        pp_tps: spread(|s| s.pp_tps),
        tg_tps: spread(|s| s.tg_tps),
        ttft_s: spread(|s| s.ttft_s),
        samples,
        acceptance: before
            .zip(after)
            .and_then(|(b, a)| engine::of(wanted.engine).acceptance(&b, &a)),
        circumstances: wanted.circumstances.clone(),
        run: wanted.run.clone(),
        simulated: wanted.simulated,
    })
}

/// The words that would have made the wanted number of tokens.
fn scaled(words: usize, wanted: u32, counted: Option<u32>) -> usize {
    let Some(counted) = counted.filter(|n| *n > 0) else {
        return words;
    };
    (words as f64 * f64::from(wanted) / f64::from(counted))
        .round()
        .max(1.0) as usize
}

/// The figures of one repeat.
fn sample(
    rate: &TokenRate,
    finish: &ChatFinish,
    latency_s: f64,
    doing: &str,
    case: &BenchCase,
) -> Result<BenchSample, BenchError> {
    let (Some(prompt_tokens), Some(completion_tokens)) =
        (finish.prompt_tokens, finish.completion_tokens)
    else {
        return Err(BenchError::NotCounted {
            doing: doing.to_owned(),
        });
    };
    let tg_tps =
        rate.tokens_per_s(Some(completion_tokens))
            .ok_or_else(|| BenchError::TooFewTokens {
                doing: doing.to_owned(),
                tokens: completion_tokens,
                wanted: case.generate_tokens,
            })?;
    let ttfr_s = rate.first_chunk.unwrap_or(finish.at).as_secs_f64();
    let reading_s = (ttfr_s - latency_s).max(0.0);
    Ok(BenchSample {
        prompt_tokens,
        completion_tokens,
        ttfr_s,
        ttft_s: rate.ttft_s(finish),
        end_s: rate.last_token.unwrap_or(finish.at).as_secs_f64(),
        // A prompt read faster than the road to the server is long has no speed that could be told.
        pp_tps: if reading_s > 0.0 {
            f64::from(prompt_tokens) / reading_s
        } else {
            0.0
        },
        tg_tps,
    })
}

struct Session<'a> {
    api: &'a dyn ModelApi,
    clock: &'a dyn Clock,
    wanted: &'a Measurement,
    cancel: &'a CancellationToken,
    done: u32,
}

impl Session<'_> {
    fn progress(&self, doing: &str) -> BenchProgress {
        BenchProgress {
            done: self.done,
            total: LATENCY_TRIPS + 1 + self.wanted.case.runs,
            doing: doing.to_owned(),
        }
    }

    async fn latency(&mut self) -> Result<f64, BenchError> {
        let mut sum = 0.0;
        for _ in 0..LATENCY_TRIPS {
            let start = self.clock.monotonic();
            self.ask("Round trip", self.api.models()).await?;
            sum += self.clock.monotonic().saturating_sub(start).as_secs_f64();
            self.done += 1;
        }
        Ok(sum / f64::from(LATENCY_TRIPS))
    }

    async fn repeat(
        &mut self,
        doing: &str,
        repeat: u32,
        words: usize,
    ) -> Result<(TokenRate, ChatFinish), BenchError> {
        let wanted = self.wanted;
        let request = ChatRequest {
            max_tokens: wanted.case.generate_tokens,
            // The temperature is the model's own; thinking would only rename the tokens, and its
            // end would depend on the prompt.
            thinking: Some(false),
            ignore_eos: true,
            patience_s: wanted.patience_s,
            ..ChatRequest::ask(wanted.model.clone(), prompt(&wanted.id.0, repeat, words))
        };
        let mut rate = TokenRate::default();
        let mut on_delta = |delta| rate.push(&delta);
        let finish = self
            .ask(doing, self.api.chat(&request, &mut on_delta))
            .await?;
        self.done += 1;
        Ok((rate, finish))
    }

    async fn scrape(&self) -> Result<Option<Metrics>, BenchError> {
        match self.ask("Metrics", self.api.metrics()).await {
            Ok(text) => Ok(Some(Metrics::parse(&text))),
            Err(BenchError::Cancelled) => Err(BenchError::Cancelled),
            Err(_) => Ok(None),
        }
    }

    async fn ask<T>(
        &self,
        doing: &str,
        call: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, BenchError> {
        if self.cancel.is_cancelled() {
            return Err(BenchError::Cancelled);
        }
        futures::select_biased! {
            () = self.cancel.cancelled().fuse() => Err(BenchError::Cancelled),
            answer = std::pin::pin!(call.fuse()) => answer.map_err(|source| BenchError::Api {
                doing: doing.to_owned(),
                source,
            }),
        }
    }
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
