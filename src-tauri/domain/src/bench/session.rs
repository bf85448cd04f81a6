//! One measurement's requests, each with the server's counters before, during and after it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::bench::guard::{Own, Silence, judge, longest_silence, others};
use crate::bench::timeline::{Asked, Timeline, Told};
use crate::bench::{BenchCase, BenchError, BenchMethod, Circumstances, Doubt};
use crate::chat::{ChatRequest, PromptMessage};
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

/// One request's prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// The context, where the case has one, and the prompt. Equal numbers of equal cases are equal words but for the
    /// mark before them.
    pub(crate) messages: Vec<PromptMessage>,
    /// Its tokens, where the served model's tokenizer told.
    pub(crate) counted: Option<Counted>,
}

/// See [`Prompt::counted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    /// All of them.
    pub(crate) all: u32,
    /// Those of template and mark that come on top of the wanted ones.
    pub(crate) extra: u32,
}

impl Prompt {
    /// Its words, the mark's among them.
    pub(crate) fn words(&self) -> u32 {
        let of = |message: &PromptMessage| message.text.split_whitespace().count() as u32;
        self.messages.iter().map(of).sum()
    }
}

/// See the module.
pub(crate) struct Session<'a> {
    pub(crate) api: &'a dyn ModelApi,
    clock: &'a dyn Clock,
    pub(crate) wanted: &'a Measurement,
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

    /// The version of the program that serves, where it tells.
    pub(crate) async fn version(&self) -> Result<Option<String>, BenchError> {
        match self.ask("Version", self.api.version()).await {
            Err(BenchError::Cancelled) => Err(BenchError::Cancelled),
            told => Ok(told.ok().flatten()),
        }
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

    pub(crate) fn request(&self, messages: Vec<PromptMessage>, patience_s: u64) -> ChatRequest {
        let case = &self.wanted.case;
        ChatRequest {
            messages,
            max_tokens: case.generate_tokens,
            // The temperature is the model's own. Thinking would only rename the tokens, and its end would depend on
            // the prompt; llama-benchy leaves it alone.
            thinking: match case.method {
                BenchMethod::Tandem => Some(false),
                BenchMethod::LlamaBenchy => None,
            },
            ignore_eos: true,
            patience_s,
            ..ChatRequest::ask(self.wanted.model.clone(), "")
        }
    }

    /// One repeat, a request of each prompt at once, and what it tells.
    pub(crate) async fn repeat(
        &mut self,
        doing: &str,
        of: &[Prompt],
        latency_s: f64,
    ) -> Result<Vec<Told>, BenchError> {
        let wanted = self.wanted;
        let case = &wanted.case;
        let at_once = of.len() as u32;
        let longest = longest_silence(wanted.patience_s, case.size().saturating_mul(at_once));
        let requests: Vec<ChatRequest> = of
            .iter()
            .map(|prompt| self.request(prompt.messages.clone(), longest))
            .collect();
        let before = self.load().await?;
        let mut timelines = vec![Timeline::default(); of.len()];
        let (heard, seen) = (AtomicU32::new(0), Mutex::new(None));
        let answers = {
            let calls = requests
                .iter()
                .zip(&mut timelines)
                .map(|(request, timeline)| {
                    let (this, heard) = (&*self, &heard);
                    async move {
                        let mut on_delta = |delta| {
                            heard.fetch_add(1, Ordering::Relaxed);
                            timeline.push(&delta);
                        };
                        this.ask(doing, this.api.chat(request, &mut on_delta)).await
                    }
                });
            let calls = futures::future::try_join_all(calls);
            let watch = self.watch(&heard, &seen, at_once, (wanted.patience_s, longest));
            futures::select_biased! {
                answers = std::pin::pin!(calls.fuse()) => answers,
                silent = std::pin::pin!(watch.fuse()) => Err(BenchError::Api {
                    doing: doing.to_owned(),
                    source: ApiError::TimedOut { seconds: silent },
                }),
            }
        };
        let answers = answers?;
        self.done += 1;
        let doubted = |doubt| BenchError::Doubt {
            doing: doing.to_owned(),
            doubt,
        };
        let mut told = Vec::new();
        for ((prompt, timeline), finish) in of.iter().zip(&timelines).zip(&answers) {
            let asked = Asked {
                tokens: case.generate_tokens,
                prompt: prompt.counted.map(|c| c.all),
                extra: prompt.counted.map(|c| c.extra),
                prompt_words: prompt.words(),
                alone: at_once == 1,
            };
            told.push(timeline.read(finish, asked, latency_s).map_err(doubted)?);
        }
        let own = Own {
            requests: at_once,
            generated: told.iter().map(|t| t.sample.completion_tokens).sum(),
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
    async fn watch(
        &self,
        heard: &AtomicU32,
        seen: &Mutex<Option<u32>>,
        at_once: u32,
        limits: (u64, u64),
    ) -> u64 {
        let start = self.clock.monotonic();
        let mut silence = Silence::default();
        loop {
            self.clock.wait(LOOK).await;
            // A clock that does not wait must not keep the answer from coming.
            once_more().await;
            let load = self.api.metrics().await.ok();
            let load = load.map(|text| engine::of(self.wanted.engine).load(&Metrics::parse(&text)));
            if let Some((running, waiting)) = load.as_ref().and_then(|l| others(l, at_once)) {
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

    pub(crate) async fn ask<T>(
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
