//! A server that answers by the book and a clock that it moves itself, for tests.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::bench::{
    BenchCase, BenchError, BenchMethod, BenchResult, Circumstances, Measurement, measure,
};
use crate::chat::{ChatDelta, ChatFinish, ChatRequest};
use crate::ports::{ApiError, Clock, ModelApi, ServedModel};
use crate::recipe::EngineKind;

/// One answer as a server gives it.
#[derive(Clone)]
pub(crate) struct Script {
    /// When the role comes, in ms since the request.
    pub(crate) role_ms: f64,
    /// Each chunk: ms, tokens so far where they are counted along, words.
    pub(crate) chunks: Vec<(f64, Option<u32>, String)>,
    /// Prompt tokens per word and by themselves.
    pub(crate) prompt: (f64, f64),
    /// Tokens that the usage tells at the end.
    pub(crate) usage: Option<u32>,
    /// What it is instead of an answer, after these chunks.
    pub(crate) fails: Option<ApiError>,
    /// Whether it never ends.
    pub(crate) hangs: bool,
}

/// A steady stream of `tokens` in steps of `each`, one step every `ms`, after `role_ms`.
pub(crate) fn steady(role_ms: f64, ms: f64, tokens: u32, each: u32) -> Script {
    let steps = tokens.div_ceil(each);
    let chunk = |n: u32| {
        let so_far = ((n + 1) * each).min(tokens);
        let at = role_ms + 2.0 + f64::from(n) * ms;
        (at, Some(so_far), "word ".repeat(each as usize))
    };
    Script {
        role_ms,
        chunks: (0..steps).map(chunk).collect(),
        prompt: (1.5, 0.0),
        usage: Some(tokens),
        fails: None,
        hangs: false,
    }
}

impl Script {
    /// The same, counted at its end alone.
    pub(crate) fn uncounted(mut self) -> Self {
        for chunk in &mut self.chunks {
            chunk.1 = None;
        }
        self
    }

    /// The same with other moments.
    pub(crate) fn at(mut self, moment: impl Fn(usize, f64) -> f64) -> Self {
        for (n, chunk) in self.chunks.iter_mut().enumerate() {
            chunk.0 = moment(n, chunk.0);
        }
        self
    }

    /// The chunks of `range` as one, at the time of the last of them.
    pub(crate) fn held(mut self, range: std::ops::Range<usize>) -> Self {
        let held: Vec<_> = self.chunks.drain(range.clone()).collect();
        if let Some((at, tokens, _)) = held.last().cloned() {
            let words = held.into_iter().map(|c| c.2).collect();
            self.chunks.insert(range.start, (at, tokens, words));
        }
        self
    }

    pub(crate) fn counting(mut self, usage: u32) -> Self {
        self.usage = Some(usage);
        self
    }
}

/// A server of scripted answers and a clock that moves by itself.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) now: Mutex<Duration>,
    pub(crate) latency: Duration,
    /// By how much an answer moves the clock.
    pub(crate) takes: Duration,
    /// The answers in order; the last one for ever.
    pub(crate) answers: Vec<Script>,
    /// The scrapes in order, the last one for ever; without any, a server without counters.
    pub(crate) metrics: Mutex<Vec<Result<String, ApiError>>>,
    pub(crate) asked: Mutex<Vec<ChatRequest>>,
    /// Its tokenizer: tokens per word, and of the template. Without one it is a server that has none to ask.
    pub(crate) tokenizer: Option<(f64, f64)>,
}

impl Clock for Server {
    fn now_ms(&self) -> i64 {
        42
    }
    fn monotonic(&self) -> Duration {
        *self.now.lock().unwrap()
    }
    fn wait(&self, duration: Duration) -> BoxFuture<'static, ()> {
        *self.now.lock().unwrap() += duration;
        futures::future::ready(()).boxed()
    }
}

#[async_trait]
impl ModelApi for Server {
    async fn health(&self) -> Result<(), ApiError> {
        Ok(())
    }

    async fn models(&self) -> Result<Vec<ServedModel>, ApiError> {
        *self.now.lock().unwrap() += self.latency;
        Ok(Vec::new())
    }

    async fn metrics(&self) -> Result<String, ApiError> {
        let mut texts = self.metrics.lock().unwrap();
        match texts.len() {
            0 => Ok(String::new()),
            1 => texts[0].clone(),
            _ => texts.remove(0),
        }
    }

    async fn version(&self) -> Result<Option<String>, ApiError> {
        Ok(Some("0.33.0".into()))
    }

    async fn prompt_tokens(&self, request: &ChatRequest) -> Result<Option<u32>, ApiError> {
        Ok(self.tokenizer.map(|tokens| tokens_of(request, tokens)))
    }

    async fn chat(
        &self,
        request: &ChatRequest,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<ChatFinish, ApiError> {
        let turn = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(request.clone());
            asked.len() - 1
        };
        *self.now.lock().unwrap() += self.takes;
        let script = self.answers[turn.min(self.answers.len() - 1)].clone();
        let at = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
        let delta = |ms: f64, words: &str, tokens: Option<u32>| ChatDelta {
            at: at(ms),
            content: words.to_owned(),
            reasoning: String::new(),
            calls: Vec::new(),
            tokens,
        };
        let counts = script.chunks.iter().any(|c| c.1.is_some());
        if script.fails.is_none() || !script.chunks.is_empty() {
            on_delta(delta(script.role_ms, "", counts.then_some(0)));
        }
        for (ms, tokens, words) in &script.chunks {
            on_delta(delta(*ms, words, *tokens));
        }
        if script.hangs {
            futures::future::pending::<()>().await;
        }
        if let Some(error) = script.fails {
            return Err(error);
        }
        Ok(ChatFinish {
            at: at(script.chunks.last().map_or(script.role_ms, |c| c.0)),
            reason: "length".into(),
            prompt_tokens: Some(tokens_of(request, script.prompt)),
            completion_tokens: script.usage,
            cached_tokens: None,
        })
    }
}

fn tokens_of(request: &ChatRequest, (each, template): (f64, f64)) -> u32 {
    let words = request
        .messages
        .iter()
        .map(|m| m.text.split_whitespace().count());
    (words.sum::<usize>() as f64 * each + template).round() as u32
}

pub(crate) fn serving(answers: Vec<Script>) -> Server {
    Server {
        latency: Duration::from_millis(5),
        tokenizer: answers.first().map(|script| script.prompt),
        answers,
        ..Server::default()
    }
}

/// One token every 40 ms after 400 ms.
pub(crate) fn server() -> Server {
    serving(vec![steady(400.0, 40.0, 64, 1)])
}

pub(crate) fn wanted(runs: u32) -> Measurement {
    Measurement {
        id: "b1".into(),
        label: "MTP".into(),
        engine: EngineKind::Vllm,
        model: "step".into(),
        case: BenchCase {
            prompt_tokens: 512,
            generate_tokens: 64,
            runs,
            beside_others: false,
            depth: 0,
            concurrency: 1,
            method: BenchMethod::Tandem,
        },
        circumstances: Circumstances::new(),
        run: None,
        simulated: false,
        limit_s: None,
        patience_s: 60,
    }
}

pub(crate) async fn run(server: &Server, wanted: &Measurement) -> Result<BenchResult, BenchError> {
    let cancel = CancellationToken::new();
    measure(server, server, wanted, &cancel, &mut |_| {}).await
}

/// A scrape with these requests and counters.
pub(crate) fn scrape(
    running: u32,
    waiting: u32,
    finished: u32,
    generated: u32,
) -> Result<String, ApiError> {
    Ok(format!(
        "vllm:num_requests_running {running}\nvllm:num_requests_waiting {waiting}\n\
         vllm:request_success_total{{finished_reason=\"length\"}} {finished}\nvllm:generation_tokens_total {generated}\n"
    ))
}
