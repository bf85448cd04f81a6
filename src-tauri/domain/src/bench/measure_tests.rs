//! The measuring against a server that answers by the book and a clock that it moves itself.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::*;
use crate::bench::{Circumstances, Doubt};
use crate::chat::{ChatDelta, ChatFinish, ChatRequest};
use crate::ports::{ApiError, ServedModel};
use crate::problem::Code;
use crate::recipe::EngineKind;

/// One answer as a server gives it.
#[derive(Clone)]
pub(super) struct Script {
    /// When the role comes, in ms since the request.
    role_ms: f64,
    /// Each chunk: ms, tokens so far where they are counted along, words.
    chunks: Vec<(f64, Option<u32>, String)>,
    /// Prompt tokens per word and by themselves.
    prompt: (f64, f64),
    /// Tokens that the usage tells at the end.
    usage: Option<u32>,
    /// What it is instead of an answer, after these chunks.
    fails: Option<ApiError>,
    /// Whether it never ends.
    hangs: bool,
}

/// A steady stream of `tokens` in steps of `each`, one step every `ms`, after `role_ms`.
pub(super) fn steady(role_ms: f64, ms: f64, tokens: u32, each: u32) -> Script {
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
    pub(super) fn uncounted(mut self) -> Self {
        for chunk in &mut self.chunks {
            chunk.1 = None;
        }
        self
    }

    /// The same with other moments.
    fn at(mut self, moment: impl Fn(usize, f64) -> f64) -> Self {
        for (n, chunk) in self.chunks.iter_mut().enumerate() {
            chunk.0 = moment(n, chunk.0);
        }
        self
    }

    /// The chunks of `range` as one, at the time of the last of them.
    fn held(mut self, range: std::ops::Range<usize>) -> Self {
        let held: Vec<_> = self.chunks.drain(range.clone()).collect();
        if let Some((at, tokens, _)) = held.last().cloned() {
            let words = held.into_iter().map(|c| c.2).collect();
            self.chunks.insert(range.start, (at, tokens, words));
        }
        self
    }

    fn counting(mut self, usage: u32) -> Self {
        self.usage = Some(usage);
        self
    }
}

/// A server of scripted answers and a clock that moves by itself.
#[derive(Default)]
pub(super) struct Server {
    now: Mutex<Duration>,
    latency: Duration,
    /// The answers in order; the last one for ever.
    answers: Vec<Script>,
    /// The scrapes in order, the last one for ever; without any, a server without counters.
    metrics: Mutex<Vec<Result<String, ApiError>>>,
    asked: Mutex<Vec<ChatRequest>>,
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
        let script = self.answers[turn.min(self.answers.len() - 1)].clone();
        let at = |ms: f64| Duration::from_secs_f64(ms / 1000.0);
        let delta = |ms: f64, words: &str, tokens: Option<u32>| ChatDelta {
            at: at(ms),
            content: words.to_owned(),
            reasoning: String::new(),
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
        let words: usize = request
            .messages
            .iter()
            .map(|m| m.text.split_whitespace().count())
            .sum();
        let prompt = words as f64 * script.prompt.0 + script.prompt.1;
        Ok(ChatFinish {
            at: at(script.chunks.last().map_or(script.role_ms, |c| c.0)),
            reason: "length".into(),
            prompt_tokens: Some(prompt.round() as u32),
            completion_tokens: script.usage,
            cached_tokens: None,
        })
    }
}

fn serving(answers: Vec<Script>) -> Server {
    Server {
        latency: Duration::from_millis(5),
        answers,
        ..Server::default()
    }
}

/// One token every 40 ms after 400 ms.
fn server() -> Server {
    serving(vec![steady(400.0, 40.0, 64, 1)])
}

fn wanted(runs: u32) -> Measurement {
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
        },
        circumstances: Circumstances::new(),
        run: None,
        simulated: false,
        patience_s: 60,
    }
}

async fn run(server: &Server, wanted: &Measurement) -> Result<BenchResult, BenchError> {
    let cancel = CancellationToken::new();
    measure(server, server, wanted, &cancel, &mut |_| {}).await
}

#[tokio::test]
async fn figures_follow_the_definitions() {
    let result = run(&server(), &wanted(3))
        .await
        .expect("the server answers");
    assert!(
        (result.latency_s - 0.005).abs() < 1e-9,
        "mean of three round trips"
    );
    assert_eq!(result.samples.len(), 3, "the warm-up does not count");
    let sample = &result.samples[0];
    assert!((sample.tg_tps - 25.0).abs() < 1e-9, "a token every 40 ms");
    assert!((sample.ttft_s - 0.402).abs() < 1e-9);
    assert!((sample.peak_tps.unwrap() - 25.0).abs() < 1e-9, "peak");
    let pp = f64::from(sample.prompt_tokens) / 0.395;
    assert!((sample.pp_tps - pp).abs() < 1e-6, "ttfr less the latency");
    assert_eq!(result.tg_tps.std, 0.0, "three equal repeats have no spread");
    assert_eq!((result.acceptance, result.ended), (None, None));
    assert_eq!((result.at, result.notes.len()), (42, 0));
}

/// What comes of a server that does not hand over tokens as it makes them, counts wrongly, fails, or is not alone:
/// the rate that is right, or the code and the sign of the refusal.
#[tokio::test]
async fn only_what_was_measured_is_recorded() {
    enum Comes {
        /// Generated tokens per second, and whether there is a prompt rate.
        Rate(f64, bool),
        Refused(Code, fn(&BenchError) -> bool),
    }
    use Comes::{Rate, Refused};
    fn is_burst(e: &BenchError) -> bool {
        matches!(
            e,
            BenchError::Doubt {
                doubt: Doubt::Burst { .. } | Doubt::AtOnce { .. },
                ..
            }
        )
    }
    fn is_fast(e: &BenchError) -> bool {
        matches!(
            e,
            BenchError::Doubt {
                doubt: Doubt::TooFast { .. },
                ..
            }
        )
    }
    fn is_count(e: &BenchError) -> bool {
        matches!(
            e,
            BenchError::Doubt {
                doubt: Doubt::TooMany { .. }
                    | Doubt::TooFew { .. }
                    | Doubt::Counts { .. }
                    | Doubt::CountsAlong { .. }
                    | Doubt::PromptWords { .. }
                    | Doubt::NotCounted,
                ..
            }
        )
    }
    fn is_stall(e: &BenchError) -> bool {
        matches!(
            e,
            BenchError::Doubt {
                doubt: Doubt::Stall { .. },
                ..
            }
        )
    }
    fn is_api(e: &BenchError) -> bool {
        matches!(e, BenchError::Api { .. })
    }
    let one = || steady(400.0, 40.0, 64, 1);
    let mtp = || steady(400.0, 96.0, 64, 3);
    let answer = Code::ServerAnswer;
    let status = |status, message: &str| Script {
        fails: Some(ApiError::Status {
            status,
            message: message.into(),
        }),
        chunks: Vec::new(),
        ..one()
    };
    let fails = |error: ApiError| Script {
        fails: Some(error),
        ..one()
    };
    let detail = || "it ended".to_owned();
    let cases: Vec<(&str, Script, Comes)> = vec![
        ("one token a chunk", one(), Rate(25.0, true)),
        ("counted at the end", one().uncounted(), Rate(25.0, true)),
        ("three tokens a chunk", mtp(), Rate(30.26, true)),
        (
            "three a chunk, counted at the end",
            mtp().uncounted(),
            Rate(30.26, true),
        ),
        ("a slow one", steady(900.0, 400.0, 64, 1), Rate(2.5, true)),
        ("a fast one", steady(60.0, 2.5, 64, 1), Rate(400.0, true)),
        // Held back.
        (
            "60 of 64 held back, counted",
            one().held(0..60),
            Refused(answer, is_burst),
        ),
        (
            "60 of 64 held back, uncounted",
            one().uncounted().held(0..60),
            Refused(answer, is_burst),
        ),
        (
            "40 of 64 held back",
            one().held(0..40),
            Refused(answer, is_burst),
        ),
        (
            "all but the first held back",
            one().held(1..64),
            Refused(answer, is_burst),
        ),
        (
            "held back and let go a token every 2 ms",
            one().at(|n, _| 2810.0 + n as f64 * 2.0),
            Refused(answer, is_burst),
        ),
        (
            "the same uncounted",
            one().uncounted().at(|n, _| 2810.0 + n as f64 * 2.0),
            Refused(answer, is_burst),
        ),
        (
            "a proxy that holds back the role as well",
            Script {
                role_ms: 2900.0,
                ..one().at(|n, _| 2900.0 + n as f64 * 0.1)
            },
            Refused(answer, is_fast),
        ),
        (
            "the same, let go more slowly",
            Script {
                role_ms: 2900.0,
                ..one().at(|n, _| 2901.0 + n as f64 * 0.4)
            },
            Refused(answer, is_fast),
        ),
        ("in one chunk", one().held(0..64), Refused(answer, is_burst)),
        (
            "20 of 64 held back and then steady",
            one().held(0..20),
            Rate(25.0, true),
        ),
        (
            "the same uncounted",
            one().uncounted().held(0..20),
            Rate(25.0, true),
        ),
        (
            "flushed every 400 ms",
            one().at(|n, _| (402.0 + ((n / 10 + 1) * 400) as f64).min(2922.0)),
            Rate(25.0, true),
        ),
        (
            "the same uncounted",
            one()
                .uncounted()
                .at(|n, _| (402.0 + ((n / 10 + 1) * 400) as f64).min(2922.0)),
            Rate(25.0, true),
        ),
        (
            "the role at once",
            Script {
                role_ms: 6.0,
                ..one()
            },
            Rate(25.0, false),
        ),
        (
            "the role at once, a long prompt",
            Script {
                role_ms: 6.0,
                ..steady(9000.0, 40.0, 64, 1)
            },
            Rate(25.0, false),
        ),
        // Counts.
        (
            "ten times too many",
            one().uncounted().counting(640),
            Refused(answer, is_count),
        ),
        (
            "twice too many along",
            Script {
                chunks: steady(400.0, 40.0, 128, 2).chunks,
                ..one()
            },
            Refused(answer, is_count),
        ),
        (
            "a third too few",
            one().uncounted().counting(43),
            Refused(answer, is_count),
        ),
        (
            "64 told and 6 short words",
            {
                let mut s = one().uncounted();
                s.chunks.truncate(6);
                s
            },
            Refused(answer, is_count),
        ),
        (
            "more chunks than tokens",
            Script {
                usage: Some(64),
                ..steady(400.0, 20.0, 128, 1).uncounted()
            },
            Refused(answer, is_count),
        ),
        (
            "it stops at 5",
            steady(400.0, 40.0, 5, 1),
            Refused(answer, is_count),
        ),
        (
            "it stops at 63",
            steady(400.0, 40.0, 63, 1),
            Refused(answer, is_count),
        ),
        (
            "it goes on to 65",
            steady(400.0, 40.0, 65, 1),
            Refused(answer, is_count),
        ),
        (
            "no count",
            Script {
                usage: None,
                ..one().uncounted()
            },
            Refused(answer, is_count),
        ),
        (
            "the end's count in each chunk",
            {
                let mut s = one();
                s.chunks.iter_mut().for_each(|c| c.1 = Some(64));
                s.role_ms = 400.0;
                s
            },
            Refused(answer, is_burst),
        ),
        (
            "a prompt counted tenfold",
            Script {
                prompt: (15.0, 0.0),
                ..one()
            },
            Refused(answer, is_count),
        ),
        (
            "a prompt counted by half a word",
            Script {
                prompt: (0.5, 0.0),
                ..one()
            },
            Refused(answer, is_count),
        ),
        // Stalls, cuts and refusals.
        (
            "it pauses for 3 s",
            one().at(|n, at| if n < 20 { at } else { at + 3000.0 }),
            Refused(answer, is_stall),
        ),
        (
            "it pauses for 600 ms",
            one().at(|n, at| if n < 60 { at } else { at + 600.0 }),
            Refused(answer, is_stall),
        ),
        (
            "MTP pauses for 2 s",
            mtp().at(|n, at| if n < 4 { at } else { at + 2000.0 }),
            Refused(answer, is_stall),
        ),
        (
            "a hiccup",
            one().at(|n, at| if n < 20 { at } else { at + 100.0 }),
            Rate(24.04, true),
        ),
        (
            "cut",
            fails(ApiError::Lost { detail: detail() }),
            Refused(Code::ConnectionLost, is_api),
        ),
        (
            "429",
            status(429, "Too Many Requests"),
            Refused(answer, is_api),
        ),
        (
            "500",
            status(500, "the engine died"),
            Refused(answer, is_api),
        ),
        (
            "garbage",
            fails(ApiError::Garbled { detail: detail() }),
            Refused(answer, is_api),
        ),
        (
            "nothing listens",
            fails(ApiError::NotListening { detail: detail() }),
            Refused(Code::NothingServed, is_api),
        ),
    ];
    for (what, script, comes) in cases {
        let found = run(&serving(vec![script]), &wanted(3)).await;
        match (comes, found) {
            (Rate(rate, prompt), Ok(result)) => {
                assert!(
                    (result.tg_tps.mean / rate - 1.0).abs() < 0.02,
                    "{what}: {} instead of {rate}",
                    result.tg_tps.mean
                );
                assert_eq!(
                    !result.pp_tps.values.is_empty(),
                    prompt,
                    "{what}: prompt rate"
                );
                assert_eq!((result.samples.len(), result.ended), (3, None), "{what}");
            }
            (Refused(code, is), Err(error)) => {
                assert!(is(&error), "{what}: {error}");
                let problem = error.problem();
                assert_eq!(problem.code, code, "{what}");
                assert!(problem.cause.is_some() && problem.fix.is_some(), "{what}");
            }
            (Rate(..), Err(error)) => panic!("{what}: {error}"),
            (Refused(..), Ok(result)) => panic!("{what}: {} tokens/s recorded", result.tg_tps.mean),
        }
    }
}

#[tokio::test]
async fn what_was_measured_before_a_failure_or_a_stop_is_kept() {
    let dies = Script {
        chunks: Vec::new(),
        fails: Some(ApiError::Status {
            status: 500,
            message: "the engine died".into(),
        }),
        ..steady(400.0, 40.0, 64, 1)
    };
    let good = || steady(400.0, 40.0, 64, 1);
    for (good_ones, kept) in [(1, None), (2, Some(1)), (3, Some(2))] {
        let mut answers = vec![good(); good_ones];
        answers.push(dies.clone());
        let found = run(&serving(answers), &wanted(3)).await;
        match kept {
            None => assert!(
                matches!(found, Err(BenchError::Api { .. })),
                "only the warm-up came"
            ),
            Some(kept) => {
                let result = found.expect("something was measured");
                assert_eq!(
                    (result.samples.len(), result.tg_tps.values.len()),
                    (kept, kept)
                );
                let ended = result.ended.expect("it says why it ended");
                assert_eq!(ended.code, Code::ServerAnswer);
                assert_eq!(result.acceptance, None);
            }
        }
    }
    // A stop in the second repeat.
    let server = server();
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let mut on_progress = move |p: BenchProgress| {
        if p.done == 5 {
            stop.cancel();
        }
    };
    let stopped = measure(&server, &server, &wanted(3), &cancel, &mut on_progress).await;
    let stopped = stopped.expect("one repeat was made");
    assert_eq!(stopped.samples.len(), 1);
    assert_eq!(stopped.ended, Some(BenchError::Cancelled.problem()));
}

#[tokio::test]
async fn a_repeat_that_was_disturbed_does_not_count_and_is_named() {
    let good = steady(400.0, 40.0, 64, 1);
    let stalled = good
        .clone()
        .at(|n, at| if n < 9 { at } else { at + 5000.0 });
    let answers = vec![good.clone(), good.clone(), stalled, good];
    let result = run(&serving(answers), &wanted(3))
        .await
        .expect("two are good");
    assert_eq!(result.tg_tps.values.len(), 2);
    assert!((result.tg_tps.mean - 25.0).abs() < 1e-6);
    assert_eq!(result.notes.len(), 1);
    assert_eq!(result.notes[0].kind, NoteKind::NotCounted);
    assert!(
        result.notes[0]
            .says
            .starts_with("Repeat 2 of 3: nothing came for 5.0 s after token 9")
    );
}

/// A scrape with these requests and counters.
fn scrape(running: u32, waiting: u32, finished: u32, generated: u32) -> Result<String, ApiError> {
    Ok(format!(
        "vllm:num_requests_running {running}\nvllm:num_requests_waiting {waiting}\n\
         vllm:request_success_total{{finished_reason=\"length\"}} {finished}\nvllm:generation_tokens_total {generated}\n"
    ))
}

#[tokio::test]
async fn a_server_in_use_is_not_measured_unless_that_is_wanted_and_then_it_is_said() {
    let busy = || Server {
        metrics: Mutex::new(vec![scrape(3, 1, 0, 0)]),
        ..server()
    };
    let error = run(&busy(), &wanted(3)).await.expect_err("others use it");
    assert_eq!(
        error,
        BenchError::InUse {
            running: 3,
            waiting: 1
        }
    );
    let mut beside = wanted(3);
    beside.case.beside_others = true;
    let result = run(&busy(), &beside).await.expect("it was asked for");
    assert_eq!(result.samples.len(), 3);
    let kinds: Vec<_> = result.notes.iter().map(|n| n.kind).collect();
    assert_eq!(
        kinds,
        [NoteKind::Others, NoteKind::Others],
        "before and meanwhile"
    );
    assert_eq!(result.acceptance, None);
}

#[tokio::test]
async fn who_comes_meanwhile_is_seen_by_the_counters() {
    // Before the warm-up, around it, and around each of two repeats; somebody's request ended beside the first.
    let texts = [(0, 0), (0, 0), (1, 64), (1, 64), (1, 64), (3, 200)];
    let mut texts: Vec<_> = texts.map(|(f, g)| scrape(0, 0, f, g)).into();
    // The counters are read until they settle; they never do.
    texts.extend((0..14).map(|_| scrape(0, 0, 3, 200)));
    texts.extend([
        scrape(0, 0, 3, 200),
        scrape(0, 0, 4, 264),
        scrape(0, 0, 4, 264),
    ]);
    let server = Server {
        metrics: Mutex::new(texts),
        ..server()
    };
    let result = run(&server, &wanted(2))
        .await
        .expect("one repeat was alone");
    assert_eq!(result.samples.len(), 1);
    assert_eq!(result.notes[0].kind, NoteKind::NotCounted);
    assert!(
        result.notes[0].says.contains("others used the server"),
        "{}",
        result.notes[0].says
    );
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_one_that_works_is_waited_for() {
    let silent = |running| Server {
        metrics: Mutex::new(vec![
            scrape(0, 0, 0, 0),
            scrape(0, 0, 0, 0),
            scrape(running, 0, 0, 0),
        ]),
        ..serving(vec![Script {
            hangs: true,
            ..steady(400.0, 40.0, 0, 1)
        }])
    };
    for (running, prompt, seconds) in [(0, 512, 60), (1, 512, 70), (1, 131_072, 2681)] {
        let mut wanted = wanted(1);
        wanted.case.prompt_tokens = prompt;
        let error = run(&silent(running), &wanted)
            .await
            .expect_err("it never answers");
        let BenchError::Api {
            source: ApiError::TimedOut { seconds: waited },
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert!(
            waited.abs_diff(seconds) <= 2,
            "{waited} s instead of {seconds} s"
        );
    }
}

#[tokio::test]
async fn the_warm_up_teaches_the_length_of_the_prompt() {
    for tokens_per_word in [1.0, 1.5, 3.0] {
        let script = Script {
            prompt: (tokens_per_word, 0.0),
            ..steady(400.0, 40.0, 64, 1)
        };
        let result = run(&serving(vec![script]), &wanted(1))
            .await
            .expect("the server answers");
        let off = f64::from(result.samples[0].prompt_tokens) - 512.0;
        assert!(
            off.abs() <= 20.0,
            "{off} tokens off at {tokens_per_word} tokens a word"
        );
        let told = result.notes.iter().any(|n| n.kind == NoteKind::Size);
        assert_eq!(told, off.abs() > 1.0, "what is off is told");
    }
}

#[tokio::test]
async fn requests_are_made_so_that_figures_compare() {
    let server = server();
    run(&server, &wanted(3)).await.expect("the server answers");
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|r| r.ignore_eos && r.max_tokens == 64));
    assert!(asked.iter().all(|r| r.temperature.is_none()));
    let starts: std::collections::BTreeSet<_> =
        asked.iter().map(|r| &r.messages[0].text[..40]).collect();
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
    let with = |first: Result<String, ApiError>| {
        // Before; before and after the warm-up; before the repeats, before and after the one; after the repeats.
        let mut texts = vec![first; 6];
        texts.push(scrape(30, 90, 39));
        Server {
            metrics: Mutex::new(texts),
            ..server()
        }
    };
    let found = run(&with(scrape(10, 30, 9)), &wanted(1))
        .await
        .expect("the server answers");
    let found = found.acceptance.map(|a| (a.rate, a.mean_length));
    assert_eq!(found, Some((0.5, 2.5)));

    // A server that has no metrics is measured all the same.
    let missing = Err(ApiError::Status {
        status: 404,
        message: "Not Found".into(),
    });
    let result = run(&with(missing), &wanted(1))
        .await
        .expect("the server answers");
    assert_eq!(result.acceptance, None);
}

#[tokio::test]
async fn failures_name_what_was_under_way() {
    let failing = serving(vec![Script {
        chunks: Vec::new(),
        fails: Some(ApiError::Status {
            status: 500,
            message: "the engine died".into(),
        }),
        ..steady(400.0, 40.0, 64, 1)
    }]);
    let error = run(&failing, &wanted(1))
        .await
        .expect_err("the server fails");
    let cause = error.problem().cause;
    assert_eq!(
        cause.as_deref(),
        Some("Warm-up: the server answered 500: the engine died.")
    );
    let nothing = run(&server(), &wanted(0)).await;
    assert_eq!(nothing, Err(BenchError::EmptyCase));
}

#[tokio::test]
async fn a_prompt_read_faster_than_the_way_there_has_no_rate() {
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
    let hanging = serving(vec![Script {
        hangs: true,
        ..steady(400.0, 40.0, 0, 1)
    }]);
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
