//! The measuring against a server that answers by the book.

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::bench::scripted::{Script, Server, run, server, serving, steady, wanted};
use crate::bench::{Doubt, compare};
use crate::ports::ApiError;
use crate::problem::Code;

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
    let read = sample.prompt_tokens + sample.extra_tokens.expect("it is told");
    let pp = f64::from(read) / 0.395;
    assert!((sample.pp_tps - pp).abs() < 1e-6, "ttfr less the latency");
    assert_eq!(result.tg_tps.std, 0.0, "three equal repeats have no spread");
    assert_eq!((result.acceptance, result.ended), (None, None));
    assert_eq!((result.at, result.notes.len()), (42, 0));
    assert_eq!(result.circumstances["engine version"], "0.33.0");
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

/// Also where template and mark are more than the prompt.
#[tokio::test]
async fn a_prompt_has_the_wanted_tokens_by_the_servers_tokenizer() {
    for (each, template) in [(1.0, 0.0), (1.5, 40.0), (3.0, 12.0)] {
        for size in [16, 64, 128, 512, 2048, 8192] {
            let script = Script {
                prompt: (each, template),
                ..steady(400.0, 40.0, 64, 1)
            };
            let mut wanted = wanted(2);
            wanted.case.prompt_tokens = size;
            let server = serving(vec![script]);
            let result = run(&server, &wanted).await.expect("it answers");
            assert!(result.notes.is_empty(), "{:?}", result.notes);
            for sample in &result.samples {
                assert!(
                    sample.prompt_tokens.abs_diff(size) <= 1,
                    "{}",
                    sample.prompt_tokens
                );
                // Two words of mark.
                let extra = sample.extra_tokens.expect("it is told");
                assert!(
                    (f64::from(extra) - template - 2.0 * each).abs() <= 1.0,
                    "{extra}"
                );
                let read = f64::from(sample.prompt_tokens + extra);
                assert!(
                    (sample.pp_tps - read / 0.395).abs() < 1e-6,
                    "all that it read"
                );
            }
        }
    }
}

#[tokio::test]
async fn without_a_tokenizer_the_warm_up_teaches_the_length_and_that_is_told() {
    for tokens_per_word in [1.0, 1.5, 3.0] {
        let script = Script {
            prompt: (tokens_per_word, 0.0),
            ..steady(400.0, 40.0, 64, 1)
        };
        let server = Server {
            tokenizer: None,
            ..serving(vec![script])
        };
        let result = run(&server, &wanted(1)).await.expect("it answers");
        let off = f64::from(result.samples[0].prompt_tokens) - 512.0;
        assert!(
            off.abs() <= 20.0,
            "{off} tokens off at {tokens_per_word} tokens a word"
        );
        assert_eq!(result.samples[0].extra_tokens, None);
        let told = format!(
            "they had {}, template and mark among them",
            result.samples[0].prompt_tokens
        );
        assert_eq!(result.notes[0].kind, NoteKind::Size);
        assert!(
            result.notes[0].says.contains(&told),
            "{}",
            result.notes[0].says
        );
    }
}

#[tokio::test]
async fn a_prompt_that_the_server_counts_otherwise_than_its_tokenizer_is_doubted() {
    let server = Server {
        tokenizer: Some((3.0, 0.0)),
        ..server()
    };
    let error = run(&server, &wanted(1)).await.expect_err("half of it");
    assert!(
        matches!(
            error,
            BenchError::Doubt {
                doubt: Doubt::PromptCounts { .. },
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn two_measurements_have_the_same_prompts_behind_their_marks_and_pair() {
    let mut asked = Vec::new();
    let mut results = Vec::new();
    for id in ["first", "second"] {
        let server = server();
        let wanted = Measurement {
            id: id.into(),
            ..wanted(3)
        };
        results.push(run(&server, &wanted).await.expect("it answers"));
        let texts: Vec<String> = server
            .asked
            .lock()
            .unwrap()
            .iter()
            .map(|r| r.messages[0].text.clone())
            .collect();
        asked.push(texts);
    }
    for (a, b) in asked[0].iter().zip(&asked[1]) {
        let (a, b) = (a.split_once("] "), b.split_once("] "));
        let ((mark_a, words_a), (mark_b, words_b)) = (a.expect("a mark"), b.expect("a mark"));
        assert_ne!(mark_a, mark_b);
        assert_eq!(words_a, words_b);
    }
    let found = compare(results.remove(0), results.remove(0));
    assert!(found.figures.iter().all(|f| f.paired));
}

#[tokio::test]
async fn a_limit_in_time_costs_repeats_but_never_the_first_three() {
    // The warm-up and each repeat take 600 ms.
    for (limit_s, made) in [(None, 6), (Some(0), 3), (Some(3), 4)] {
        let server = Server {
            latency: Duration::from_millis(0),
            takes: Duration::from_millis(600),
            ..server()
        };
        let wanted = Measurement {
            limit_s,
            ..wanted(6)
        };
        let result = run(&server, &wanted).await.expect("it answers");
        assert_eq!(result.samples.len(), made, "{limit_s:?}");
        let told = result.notes.iter().any(|n| n.kind == NoteKind::Fewer);
        assert_eq!(told, made < 6);
        assert_eq!(result.ended, None);
    }
}

#[tokio::test]
async fn requests_are_made_so_that_figures_compare() {
    let server = server();
    run(&server, &wanted(3)).await.expect("the server answers");
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|r| r.ignore_eos && r.max_tokens == 64));
    assert!(asked.iter().all(|r| r.sampling.temperature.is_none()));
    let starts: std::collections::BTreeSet<_> =
        asked.iter().map(|r| &r.messages[0].text[..12]).collect();
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
