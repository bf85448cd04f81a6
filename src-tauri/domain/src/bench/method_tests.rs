//! Context, several requests at once, and whose request it is.

use std::collections::HashSet;

use super::*;
use crate::bench::BenchMethod;
use crate::bench::scripted::{Script, Server, run, serving, steady, wanted};
use crate::chat::{ChatRequest, Role};

/// A server whose template has 40 tokens and whose tokenizer makes one and a half of a word.
fn templated() -> Server {
    serving(vec![Script {
        prompt: (1.5, 40.0),
        ..steady(400.0, 40.0, 64, 1)
    }])
}

fn words(request: &ChatRequest, role: Role) -> Vec<String> {
    let of = request.messages.iter().filter(|m| m.role == role);
    of.flat_map(|m| m.text.split_whitespace())
        .map(|word| word.trim_matches([',', '.']).to_lowercase())
        .collect()
}

#[tokio::test]
async fn a_context_stands_before_the_prompt_and_both_have_their_size() {
    for method in [BenchMethod::Tandem, BenchMethod::LlamaBenchy] {
        for (prompt, depth) in [(512, 0), (512, 4096), (2048, 16_384)] {
            let server = templated();
            let mut wanted = wanted(2);
            wanted.case.prompt_tokens = prompt;
            wanted.case.depth = depth;
            wanted.case.method = method;
            let result = run(&server, &wanted).await.expect("it answers");
            assert!(result.notes.is_empty(), "{:?}", result.notes);
            let asked = server.asked.lock().unwrap();
            for (sample, request) in result.samples.iter().zip(&asked[1..]) {
                assert!(sample.prompt_tokens.abs_diff(prompt + depth) <= 1);
                // llama-benchy's sizes have the template in them.
                let extra = sample.extra_tokens.expect("it is told");
                match method {
                    BenchMethod::Tandem => assert!((42..=44).contains(&extra), "{extra}"),
                    BenchMethod::LlamaBenchy => assert_eq!(extra, 0),
                }
                let thinking = (method == BenchMethod::Tandem).then_some(false);
                assert_eq!(request.thinking, thinking);
                let (context, prompted) =
                    (words(request, Role::System), words(request, Role::User));
                assert_eq!(context.is_empty(), depth == 0);
                let share = f64::from(prompt) / 1.5;
                assert!(
                    (prompted.len() as f64 - share).abs() < 45.0,
                    "{}",
                    prompted.len()
                );
                let all: Vec<String> = context.into_iter().chain(prompted).collect();
                let runs: HashSet<&[String]> = all.windows(8).collect();
                assert_eq!(runs.len(), all.len() - 7, "no eight words stand twice");
            }
        }
    }
}

#[tokio::test]
async fn a_prompt_smaller_than_the_template_is_told_where_the_size_has_it_inside() {
    let mut wanted = wanted(1);
    wanted.case.prompt_tokens = 16;
    wanted.case.method = BenchMethod::LlamaBenchy;
    let result = run(&templated(), &wanted).await.expect("it answers");
    let says = &result.notes[0].says;
    assert_eq!(result.notes[0].kind, NoteKind::Size);
    assert!(says.ends_with("tokens and not 16."), "{says}");
}

#[tokio::test]
async fn several_requests_at_once_are_one_repeat() {
    let server = templated();
    let mut wanted = wanted(3);
    wanted.case.concurrency = 4;
    let result = run(&server, &wanted).await.expect("it answers");
    assert!(result.notes.is_empty(), "{:?}", result.notes);
    assert_eq!(result.samples.len(), 3);
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked.len(), 4 * 4, "the warm-up has as many");
    let texts: HashSet<&str> = asked.iter().map(|r| r.messages[0].text.as_str()).collect();
    assert_eq!(texts.len(), asked.len(), "no two prompts are alike");
    for (number, sample) in (1..).zip(&result.samples) {
        assert_eq!(sample.prompt, Some(number));
        assert_eq!(sample.requests.len(), 4);
        assert!(
            sample
                .requests
                .iter()
                .all(|r| r.prompt_tokens.abs_diff(512) <= 1)
        );
        assert_eq!(sample.completion_tokens, 4 * 64);
        assert!((sample.tg_tps - 100.0).abs() < 1e-6, "four of 25 a second");
        assert!((sample.requests[3].tg_tps - 25.0).abs() < 1e-6);
        assert!((sample.peak_tps.expect("it is told") - 100.0).abs() < 1e-6);
        let read = f64::from(sample.prompt_tokens + sample.extra_tokens.expect("it is told"));
        assert!((sample.pp_tps - read / 0.395).abs() < 1e-6);
    }
}

#[tokio::test]
async fn a_pause_is_a_stall_only_where_no_other_request_was_read_meanwhile() {
    let pauses = || {
        let script = steady(400.0, 40.0, 64, 1).at(|n, at| if n < 20 { at } else { at + 3000.0 });
        serving(vec![script])
    };
    let mut wanted = wanted(2);
    assert!(run(&pauses(), &wanted).await.is_err());
    wanted.case.concurrency = 2;
    let result = run(&pauses(), &wanted).await.expect("the other was read");
    assert_eq!(result.samples.len(), 2);
}

#[tokio::test]
async fn one_failure_of_several_ends_the_repeat() {
    let dies = Script {
        chunks: Vec::new(),
        fails: Some(crate::ports::ApiError::Status {
            status: 500,
            message: "the engine died".into(),
        }),
        ..steady(400.0, 40.0, 64, 1)
    };
    let good = steady(400.0, 40.0, 64, 1);
    // The warm-up and one repeat of two, and then the second of two dies.
    let mut answers = vec![good; 5];
    answers.push(dies);
    let mut wanted = wanted(3);
    wanted.case.concurrency = 2;
    let result = run(&serving(answers), &wanted)
        .await
        .expect("one repeat was made");
    assert_eq!(result.samples.len(), 1);
    assert!(result.ended.is_some());
}
