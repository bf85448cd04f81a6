//! One measurement's requests, each with the server's counters before, during and after it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::bench::guard::{Own, Silence, judge, longest_silence, others};
use crate::bench::size::SizeSearch;
use crate::bench::text::{mark, words};
use crate::bench::timeline::{Asked, Timeline, Told};
use crate::bench::{BenchCase, BenchError, Circumstances, Doubt};
use crate::chat::ChatRequest;
use crate::engine;
use crate::engine::metrics::{Metrics, ServerLoad};
use crate::ids::{BenchId, RunId};
use crate::ports::{ApiError, Clock, ModelApi};
use crate::recipe::EngineKind;

/// Round trips of which the latency is the mean.
const LATENCY_TRIPS: u32 = 3;

/// How often the counters are read while an answer comes.
const LOOK: Duration = Duration::from_secs(1);

/// How often counters are read until they have settled after an answer.
const SETTLE: Duration = Duration::from_millis(200);

/// How many times. A gauge may be of the step before.
const SETTLE_LOOKS: u32 = 15;

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
    /// Seconds after which no repeat begins any more, if three were made; `None` for as long as it takes.
    pub limit_s: Option<u64>,
    /// Seconds without a byte after which an idle server is given up. One that says that it works gets the longer, the
    /// longer the prompt.
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

/// One repeat's prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// Equal numbers of equal cases are equal words behind the mark.
    pub(crate) number: u32,
    /// Mark and words.
    pub(crate) text: String,
    /// Its tokens, where the served model's tokenizer told.
    pub(crate) counted: Option<Counted>,
}

/// See [`Prompt::counted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    /// All of them.
    pub(crate) all: u32,
    /// Those of template and mark.
    pub(crate) extra: u32,
}

/// See the module.
pub(crate) struct Session<'a> {
    api: &'a dyn ModelApi,
    clock: &'a dyn Clock,
    wanted: &'a Measurement,
    cancel: &'a CancellationToken,
    done: u32,
    /// What others were seen to do while that was allowed.
    besides: Option<(u32, u32)>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        api: &'a dyn ModelApi,
        clock: &'a dyn Clock,
        wanted: &'a Measurement,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self {
            api,
            clock,
            wanted,
            cancel,
            done: 0,
            besides: None,
        }
    }

    pub(crate) fn progress(&self, doing: &str) -> BenchProgress {
        BenchProgress {
            done: self.done,
            total: LATENCY_TRIPS + 1 + self.wanted.case.runs,
            doing: doing.to_owned(),
        }
    }

    /// The mean of some round trips, in seconds.
    pub(crate) async fn latency(&mut self) -> Result<f64, BenchError> {
        let mut sum = 0.0;
        for _ in 0..LATENCY_TRIPS {
            let start = self.clock.monotonic();
            self.ask("Round trip", self.api.models()).await?;
            sum += self.clock.monotonic().saturating_sub(start).as_secs_f64();
            self.done += 1;
        }
        Ok(sum / f64::from(LATENCY_TRIPS))
    }

    /// Requests of others that run and wait, once what just ended is not counted any more.
    pub(crate) async fn others_before(&self) -> Result<Option<(u32, u32)>, BenchError> {
        let mut seen = None;
        for _ in 0..SETTLE_LOOKS {
            seen = self.load().await?.and_then(|load| others(&load, 0));
            if seen.is_none() {
                break;
            }
            self.wait(SETTLE).await?;
        }
        Ok(seen)
    }

    /// What others did while they were allowed to, in a sentence.
    pub(crate) fn besides(&self) -> Option<String> {
        let (requests, tokens) = self.besides?;
        Some(format!(
            "Others used the server while it was measured: at least {requests} requests and {tokens} tokens, so no figure is the server's alone."
        ))
    }

    /// The numbered prompt with the wanted tokens by the served model's own tokenizer; `None` where that cannot be asked.
    pub(crate) async fn sized(&self, number: u32) -> Result<Option<Prompt>, BenchError> {
        let wanted = self.wanted.case.prompt_tokens;
        let Some(template) = self.count(String::new()).await? else {
            return Ok(None);
        };
        // A tokenizer makes a token of a word at least.
        let words = words(number, wanted as usize);
        let mut fit = SizeSearch::new(&words, wanted);
        let (text, tokens) = loop {
            let Some(all) = self.count(fit.text()).await? else {
                return Ok(None);
            };
            if let Some(found) = fit.hear(all.saturating_sub(template)) {
                break found;
            }
        };
        let text = format!("{} {text}", mark(&self.wanted.id.0, number));
        let counted = self.count(text.clone()).await?;
        Ok(counted.map(|all| Prompt {
            number,
            text,
            counted: Some(Counted {
                all,
                extra: all.saturating_sub(tokens),
            }),
        }))
    }

    /// The numbered prompt of so many words.
    pub(crate) fn of_words(&self, number: u32, count: usize) -> Prompt {
        let words = words(number, count).join(" ");
        Prompt {
            number,
            text: format!("{} {words}", mark(&self.wanted.id.0, number)),
            counted: None,
        }
    }

    /// The tokens of a prompt with the template; `None` where the server does not tell.
    async fn count(&self, text: String) -> Result<Option<u32>, BenchError> {
        let request = self.request(text, self.wanted.patience_s);
        match self.ask("Prompt", self.api.prompt_tokens(&request)).await {
            Ok(tokens) => Ok(tokens),
            Err(BenchError::Cancelled) => Err(BenchError::Cancelled),
            // Whatever ails the server is told of the request that follows.
            Err(_) => Ok(None),
        }
    }

    fn request(&self, text: String, patience_s: u64) -> ChatRequest {
        ChatRequest {
            max_tokens: self.wanted.case.generate_tokens,
            // The temperature is the model's own; thinking would only rename the tokens, and its
            // end would depend on the prompt.
            thinking: Some(false),
            ignore_eos: true,
            patience_s,
            ..ChatRequest::ask(self.wanted.model.clone(), text)
        }
    }

    /// One request, and what it tells.
    pub(crate) async fn repeat(
        &mut self,
        doing: &str,
        of: &Prompt,
        latency_s: f64,
    ) -> Result<Told, BenchError> {
        let wanted = self.wanted;
        let case = &wanted.case;
        let longest = longest_silence(wanted.patience_s, case.prompt_tokens);
        let request = self.request(of.text.clone(), longest);
        let before = self.load().await?;
        let mut timeline = Timeline::default();
        let (heard, seen) = (AtomicU32::new(0), Mutex::new(None));
        let answer = {
            let mut on_delta = |delta| {
                heard.fetch_add(1, Ordering::Relaxed);
                timeline.push(&delta);
            };
            let call = self.ask(doing, self.api.chat(&request, &mut on_delta));
            let watch = self.watch(&heard, &seen, (wanted.patience_s, longest));
            futures::select_biased! {
                answer = std::pin::pin!(call.fuse()) => answer,
                silent = std::pin::pin!(watch.fuse()) => Err(BenchError::Api {
                    doing: doing.to_owned(),
                    source: ApiError::TimedOut { seconds: silent },
                }),
            }
        };
        let finish = answer?;
        self.done += 1;
        let doubted = |doubt| BenchError::Doubt {
            doing: doing.to_owned(),
            doubt,
        };
        let asked = Asked {
            tokens: case.generate_tokens,
            prompt: of.counted.map(|c| c.all),
            extra: of.counted.map(|c| c.extra),
            prompt_words: of.text.split_whitespace().count() as u32,
        };
        let mut told = timeline.read(&finish, asked, latency_s).map_err(doubted)?;
        told.sample.prompt = Some(of.number);
        let own = Own {
            requests: 1,
            generated: told.sample.completion_tokens,
        };
        let seen = seen.into_inner().unwrap_or_else(|e| e.into_inner());
        let judged = match seen {
            Some(requests) => Err(Doubt::Others {
                requests,
                tokens: 0,
            }),
            None => self.settled(before.as_ref(), own).await?,
        };
        match judged {
            Err(Doubt::Others { requests, tokens }) if case.beside_others => {
                let (r, t) = self.besides.unwrap_or_default();
                self.besides = Some((r + requests, t + tokens));
                Ok(told)
            }
            other => other.map(|()| told).map_err(doubted),
        }
    }

    /// Holds the answer against the counters, once they have settled.
    async fn settled(
        &self,
        before: Option<&ServerLoad>,
        own: Own,
    ) -> Result<Result<(), Doubt>, BenchError> {
        let Some(before) = before else {
            return Ok(Ok(()));
        };
        let mut judged = Ok(());
        for _ in 0..SETTLE_LOOKS {
            let Some(after) = self.load().await? else {
                return Ok(Ok(()));
            };
            judged = match others(&after, 0) {
                Some((running, waiting)) => Err(Doubt::Others {
                    requests: running + waiting,
                    tokens: 0,
                }),
                None => judge(before, &after, own),
            };
            if judged.is_ok() {
                break;
            }
            self.wait(SETTLE).await?;
        }
        Ok(judged)
    }

    /// Looks at the server every second. Ends when its silence has been too long, and tells how long it was.
    async fn watch(&self, heard: &AtomicU32, seen: &Mutex<Option<u32>>, limits: (u64, u64)) -> u64 {
        let start = self.clock.monotonic();
        let mut silence = Silence::default();
        loop {
            self.clock.wait(LOOK).await;
            // A clock that does not wait must not keep the answer from coming.
            once_more().await;
            let load = self.api.metrics().await.ok();
            let load = load.map(|text| engine::of(self.wanted.engine).load(&Metrics::parse(&text)));
            if let Some((running, waiting)) = load.as_ref().and_then(|l| others(l, 1)) {
                let mut most = seen.lock().unwrap_or_else(|e| e.into_inner());
                *most = (*most).max(Some(running + waiting));
            }
            let now = self.clock.monotonic().saturating_sub(start).as_secs_f64();
            let heard = heard.load(Ordering::Relaxed);
            if let Some(silent) = silence.gives_up(now, heard, load.as_ref(), limits) {
                return silent;
            }
        }
    }

    async fn load(&self) -> Result<Option<ServerLoad>, BenchError> {
        let metrics = self.scrape().await?;
        Ok(metrics.map(|m| engine::of(self.wanted.engine).load(&m)))
    }

    /// The counters; `None` where the server has none, and it is measured all the same.
    pub(crate) async fn scrape(&self) -> Result<Option<Metrics>, BenchError> {
        match self.ask("Metrics", self.api.metrics()).await {
            Ok(text) => Ok(Some(Metrics::parse(&text))),
            Err(BenchError::Cancelled) => Err(BenchError::Cancelled),
            Err(_) => Ok(None),
        }
    }

    async fn wait(&self, time: Duration) -> Result<(), BenchError> {
        futures::select_biased! {
            () = self.cancel.cancelled().fuse() => Err(BenchError::Cancelled),
            () = self.clock.wait(time).fuse() => Ok(()),
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

/// Gives others their turn once.
async fn once_more() {
    let mut turned = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut turned, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
