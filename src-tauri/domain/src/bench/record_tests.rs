//! What comes of servers that do not tell the truth, and of those that are not alone.

use std::sync::Mutex;

use super::*;
use crate::bench::Doubt;
use crate::bench::scripted::{Script, Server, run, scrape, server, serving, steady, wanted};
use crate::ports::ApiError;
use crate::problem::Code;

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
                    | Doubt::PromptCounts { .. }
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
    let tokenizers = [Some((1.5, 0.0)), None];
    let cases = cases.iter().flat_map(|case| tokenizers.map(|t| (case, t)));
    for ((what, script, comes), tokenizer) in cases {
        let server = Server {
            tokenizer,
            ..serving(vec![script.clone()])
        };
        let found = run(&server, &wanted(3)).await;
        match (comes, found) {
            (Rate(rate, prompt), Ok(result)) => {
                assert!(
                    (result.tg_tps.mean / rate - 1.0).abs() < 0.02,
                    "{what}: {} instead of {rate}",
                    result.tg_tps.mean
                );
                assert_eq!(
                    !result.pp_tps.values.is_empty(),
                    *prompt,
                    "{what}: prompt rate"
                );
                assert_eq!((result.samples.len(), result.ended), (3, None), "{what}");
            }
            (Refused(code, is), Err(error)) => {
                assert!(is(&error), "{what}: {error}");
                let problem = error.problem();
                assert_eq!(problem.code, *code, "{what}");
                assert!(problem.cause.is_some() && problem.fix.is_some(), "{what}");
            }
            (Rate(..), Err(error)) => panic!("{what}: {error}"),
            (Refused(..), Ok(result)) => panic!("{what}: {} tokens/s recorded", result.tg_tps.mean),
        }
    }
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
