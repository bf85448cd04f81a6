//! The measuring against a server that answers by the book and a clock that it moves itself.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use proptest::prelude::*;

use super::*;
use crate::chat::ChatDelta;
use crate::ports::ServedModel;

/// A server whose answers are chunks of (ms since the request, tokens so far).
#[derive(Default)]
struct Server {
    now: Mutex<Duration>,
    latency: Duration,
    chunks: Vec<(f64, u32)>,
    ttfr_ms: f64,
    tokens_per_word: f64,
    metrics: Mutex<Vec<Result<String, ApiError>>>,
    asked: Mutex<Vec<ChatRequest>>,
    fails: bool,
    hangs: bool,
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
        if texts.is_empty() {
            return Ok(String::new());
        }
        texts.remove(0)
    }

    async fn chat(
        &self,
        request: &ChatRequest,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<ChatFinish, ApiError> {
        self.asked.lock().unwrap().push(request.clone());
        if self.fails {
            return Err(ApiError::Status {
                status: 500,
                message: "EngineCore died".into(),
            });
        }
        if self.hangs {
            futures::future::pending::<()>().await;
        }
        let at = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
        let delta = |ms: f64, words: &str, tokens: u32| ChatDelta {
            at: at(ms),
            content: words.to_owned(),
            reasoning: String::new(),
            tokens: Some(tokens),
        };
        on_delta(delta(self.ttfr_ms, "", 0));
        for (ms, tokens) in &self.chunks {
            on_delta(delta(*ms, "word", *tokens));
        }
        let words = request.messages[0].text.split_whitespace().count() as f64;
        Ok(ChatFinish {
            at: at(self.chunks.last().map_or(self.ttfr_ms, |c| c.0)),
            reason: "length".into(),
            prompt_tokens: Some((words * self.tokens_per_word).round() as u32),
            completion_tokens: Some(self.chunks.last().map_or(0, |c| c.1)),
            cached_tokens: None,
        })
    }
}

fn server() -> Server {
    Server {
        latency: Duration::from_millis(5),
        ttfr_ms: 205.0,
        tokens_per_word: 1.5,
        chunks: vec![(210.0, 1), (710.0, 33), (1210.0, 65)],
        ..Server::default()
    }
}

fn wanted(runs: u32) -> Measurement {
    Measurement {
        id: "b1".into(),
        label: "MTP".into(),
        engine: EngineKind::Vllm,
        model: "step".into(),
        case: BenchCase {
            prompt_tokens: 512,
            generate_tokens: 65,
            runs,
        },
        circumstances: Circumstances::new(),
        run: None,
        simulated: false,
        patience_s: 60,
    }
}

async fn run(server: &Server, wanted: &Measurement) -> Result<BenchResult, BenchError> {
    measure(
        server,
        server,
        wanted,
        &CancellationToken::new(),
        &mut |_| {},
    )
    .await
}

#[tokio::test]
async fn figures_follow_the_definitions() {
    let server = server();
    let result = run(&server, &wanted(3)).await.expect("the server answers");
    assert!(
        (result.latency_s - 0.005).abs() < 1e-9,
        "mean of three round trips"
    );
    assert_eq!(result.samples.len(), 3, "the warm-up does not count");
    let sample = &result.samples[0];
    assert!(
        (sample.tg_tps - 64.0).abs() < 1e-9,
        "64 tokens in the second after the first"
    );
    assert!((sample.ttft_s - 0.21).abs() < 1e-9);
    let pp = f64::from(sample.prompt_tokens) / 0.2;
    assert!((sample.pp_tps - pp).abs() < 1e-6, "ttfr less the latency");
    assert_eq!(result.tg_tps.std, 0.0, "three equal repeats have no spread");
    assert_eq!(result.acceptance, None);
    assert_eq!(result.at, 42);
}

#[tokio::test]
async fn the_warm_up_teaches_the_length_of_the_prompt() {
    for tokens_per_word in [1.0, 1.5, 3.0] {
        let server = Server {
            tokens_per_word,
            ..server()
        };
        let result = run(&server, &wanted(1)).await.expect("the server answers");
        let off = f64::from(result.samples[0].prompt_tokens) - 512.0;
        assert!(
            off.abs() <= 20.0,
            "{off} tokens off at {tokens_per_word} tokens a word"
        );
    }
}

#[tokio::test]
async fn requests_are_made_so_that_figures_compare() {
    let server = server();
    run(&server, &wanted(3)).await.expect("the server answers");
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|r| r.ignore_eos && r.max_tokens == 65));
    assert!(
        asked
            .iter()
            .all(|r| r.temperature.is_none() && r.thinking == Some(false))
    );
    let mut starts: Vec<_> = asked.iter().map(|r| &r.messages[0].text[..40]).collect();
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(
        starts.len(),
        4,
        "no two prompts begin alike, so no prefix is found again"
    );
}

#[tokio::test]
async fn drafts_are_told_from_the_counters_around_the_repeats() {
    let scrape = |drafts: u32, drafted: u32, accepted: u32| {
        Ok(format!(
            "vllm:spec_decode_num_drafts_total {drafts}\nvllm:spec_decode_num_draft_tokens_total {drafted}\n\
             vllm:spec_decode_num_accepted_tokens_total {accepted}\n"
        ))
    };
    let server = server();
    *server.metrics.lock().unwrap() = vec![scrape(10, 30, 9), scrape(30, 90, 39)];
    let found = run(&server, &wanted(1))
        .await
        .expect("the server answers")
        .acceptance;
    assert_eq!(found.map(|a| (a.rate, a.mean_length)), Some((0.5, 2.5)));

    // A server that has no metrics is measured all the same.
    let missing = ApiError::Status {
        status: 404,
        message: "Not Found".into(),
    };
    *server.metrics.lock().unwrap() = vec![Err(missing), scrape(30, 90, 39)];
    let result = run(&server, &wanted(1)).await.expect("the server answers");
    assert_eq!(result.acceptance, None);
}

#[tokio::test]
async fn failures_name_what_was_under_way() {
    let failing = Server {
        fails: true,
        ..server()
    };
    let error = run(&failing, &wanted(1))
        .await
        .expect_err("the server fails");
    let problem = error.problem();
    assert_eq!(problem.code, Code::ServerAnswer);
    assert_eq!(
        problem.cause.as_deref(),
        Some("Warm-up: the server answered 500: EngineCore died.")
    );

    let silent = Server {
        chunks: vec![(210.0, 1)],
        ..server()
    };
    let error = run(&silent, &wanted(1))
        .await
        .expect_err("one token has no rate");
    assert!(
        matches!(
            error,
            BenchError::TooFewTokens {
                tokens: 1,
                wanted: 65,
                ..
            }
        ),
        "{error}"
    );

    let nothing = run(&server(), &wanted(0)).await;
    assert_eq!(nothing, Err(BenchError::EmptyCase));
}

#[tokio::test]
async fn a_prompt_read_faster_than_the_road_has_no_reading_speed() {
    let server = Server {
        latency: Duration::from_secs(1),
        ..server()
    };
    let result = run(&server, &wanted(2)).await.expect("the server answers");
    assert!(
        result.pp_tps.values.is_empty(),
        "no figure is better than an endless one"
    );
    assert_eq!(result.tg_tps.values.len(), 2);
}

#[tokio::test]
async fn cancelling_drops_the_request_under_way() {
    let hanging = Server {
        hangs: true,
        ..server()
    };
    let cancel = CancellationToken::new();
    let mut seen = Vec::new();
    let mut on_progress = |p: BenchProgress| {
        if p.doing == "Warm-up" {
            cancel.cancel();
        }
        seen.push((p.done, p.total));
    };
    let wanted = wanted(3);
    let result = measure(&hanging, &hanging, &wanted, &cancel, &mut on_progress).await;
    assert_eq!(result, Err(BenchError::Cancelled));
    assert_eq!(seen, [(0, 7), (3, 7)]);
}

/// Three requests of a real llama-benchy run, chunk by chunk; see tests/fixtures/bench/README.md.
#[test]
fn it_agrees_with_llama_benchy_on_a_recorded_run() {
    let events = include_str!("../../../../tests/fixtures/bench/benchy_deep_mtp.progress.jsonl");
    let saved: serde_json::Value = serde_json::from_str(include_str!(
        "../../../../tests/fixtures/bench/benchy_deep_mtp.json"
    ))
    .expect("it is JSON");
    let latency_s = saved["latency_ms"].as_f64().expect("a number") / 1000.0;
    let saved = &saved["benchmarks"][0];
    let case = BenchCase {
        prompt_tokens: 128,
        generate_tokens: 128,
        runs: 3,
    };

    for request in 0..3 {
        let mut rate = TokenRate::default();
        let (mut start, mut tokens, mut finish) = (0.0, 0, None);
        for line in events.lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
            if event["request_id"].as_u64() != Some(request) {
                continue;
            }
            let since = |start: f64| {
                Duration::from_secs_f64((event["ts"].as_f64().expect("a time") - start).max(0.0))
            };
            let delta = |at, words: &str, tokens| ChatDelta {
                at,
                content: words.to_owned(),
                reasoning: String::new(),
                tokens: Some(tokens),
            };
            let number = |name: &str| event[name].as_f64().expect("a number");
            match event["type"].as_str().expect("a type") {
                "request_start" => start = number("ts"),
                "request_first_response" => {
                    rate.push(&delta(Duration::from_secs_f64(number("ttfr_s")), "", 0));
                }
                "tokens" => {
                    tokens += number("count") as u32;
                    rate.push(&delta(since(start), "words", tokens));
                }
                "request_end" => {
                    finish = Some(ChatFinish {
                        at: since(start),
                        reason: "length".into(),
                        prompt_tokens: Some(number("prompt_tokens") as u32),
                        completion_tokens: Some(number("total_tokens") as u32),
                        cached_tokens: None,
                    });
                }
                _ => {}
            }
        }
        let finish = finish.expect("the request ended");
        let ours = sample(&rate, &finish, latency_s, "replay", &case).expect("it has figures");
        let theirs = |figure: &str| {
            saved[figure]["values"][request as usize]
                .as_f64()
                .expect("a figure of theirs")
        };
        let near = |ours: f64, theirs: f64, by: f64| (ours / theirs - 1.0).abs() < by;
        // The recorded times are those of writing the record, a fraction of a millisecond late.
        assert!(
            near(ours.tg_tps, theirs("tg_throughput"), 0.002),
            "tg {}",
            ours.tg_tps
        );
        assert!(
            near(ours.pp_tps, theirs("pp_throughput"), 1e-6),
            "pp {}",
            ours.pp_tps
        );
        assert!(
            near(ours.ttft_s * 1000.0, theirs("e2e_ttft"), 0.02),
            "ttft {}",
            ours.ttft_s
        );
    }
}

proptest! {
    #[test]
    fn figures_are_finite_and_fit_the_chunks(
        gaps in prop::collection::vec((0.1..50.0f64, 1u32..6), 1..40), latency_ms in 0.0..400.0f64,
    ) {
        let mut rate = TokenRate::default();
        let (mut ms, mut tokens) = (100.0, 1);
        let push = |rate: &mut TokenRate, ms: f64, tokens| rate.push(&ChatDelta {
            at: Duration::from_secs_f64(ms / 1000.0), content: "w".into(), reasoning: String::new(), tokens: Some(tokens),
        });
        push(&mut rate, ms, tokens);
        for (gap, count) in &gaps {
            ms += gap;
            tokens += count;
            push(&mut rate, ms, tokens);
        }
        let finish = ChatFinish {
            at: Duration::from_secs_f64(ms / 1000.0), reason: "length".into(), prompt_tokens: Some(512), completion_tokens: Some(tokens),
            cached_tokens: None,
        };
        let case = BenchCase { prompt_tokens: 512, generate_tokens: tokens, runs: 1 };
        let sample = sample(&rate, &finish, latency_ms / 1000.0, "x", &case).expect("two tokens at two moments");
        let expected = f64::from(tokens - 1) / ((ms - 100.0) / 1000.0);
        prop_assert!((sample.tg_tps / expected - 1.0).abs() < 1e-3);
        prop_assert!(sample.pp_tps.is_finite() && sample.pp_tps >= 0.0);
        prop_assert!(sample.ttfr_s <= sample.ttft_s && sample.ttft_s <= sample.end_s);
    }
}
