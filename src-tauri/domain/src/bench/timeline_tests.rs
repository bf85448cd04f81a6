//! Answers whose moments are known, and those of a real llama-benchy run.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn delta(at: f64, words: &str, tokens: u32) -> ChatDelta {
    ChatDelta {
        at: Duration::from_secs_f64(at),
        content: words.to_owned(),
        reasoning: String::new(),
        calls: Vec::new(),
        tokens: Some(tokens),
    }
}

fn finish(at: f64, prompt: u32, tokens: u32) -> ChatFinish {
    ChatFinish {
        at: Duration::from_secs_f64(at),
        reason: "length".into(),
        prompt_tokens: Some(prompt),
        completion_tokens: Some(tokens),
        cached_tokens: None,
    }
}

fn asked(tokens: u32, prompt: u32) -> Asked {
    Asked {
        tokens,
        prompt: Some(prompt),
        extra: None,
        prompt_words: prompt,
        alone: true,
    }
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

    for request in 0..3 {
        let mut timeline = Timeline::default();
        let (mut start, mut tokens, mut end) = (0.0, 0, None);
        for line in events.lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
            if event["request_id"].as_u64() != Some(request) {
                continue;
            }
            let number = |name: &str| event[name].as_f64().expect("a number");
            match event["type"].as_str().expect("a type") {
                "request_start" => start = number("ts"),
                "request_first_response" => timeline.push(&delta(number("ttfr_s"), "", 0)),
                "tokens" => {
                    tokens += number("count") as u32;
                    timeline.push(&delta((number("ts") - start).max(0.0), "words", tokens));
                }
                "request_end" => {
                    let prompt = number("prompt_tokens") as u32;
                    end = Some(finish(
                        number("ts") - start,
                        prompt,
                        number("total_tokens") as u32,
                    ));
                }
                _ => {}
            }
        }
        let end = end.expect("the request ended");
        let counted = end.completion_tokens.expect("a count");
        let wanted = asked(counted, end.prompt_tokens.expect("a count"));
        let ours = timeline
            .read(&end, wanted, latency_s)
            .expect("it has figures");
        let ours = ours.sample;
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
        let ttft = ours.ttft_s * 1000.0;
        assert!(near(ttft, theirs("e2e_ttft"), 0.02), "ttft {ttft}");
        let ppt = ours.est_ppt_s.expect("it is told") * 1000.0;
        assert!(near(ppt, theirs("est_ppt"), 1e-6), "est_ppt {ppt}");
        let peak = ours.peak_tps.expect("it is told");
        assert!(
            (peak - theirs("peak_throughput")).abs() <= 1.0,
            "peak {peak}"
        );
    }
}

#[test]
fn what_came_is_held_against_the_tokenizer_s_count_of_the_prompt() {
    let mut timeline = Timeline::default();
    for n in 0..64 {
        timeline.push(&delta(0.4 + f64::from(n) * 0.04, "word ", n + 1));
    }
    for (counted, right) in [
        (512, true),
        (509, true),
        (560, true),
        (5120, false),
        (256, false),
    ] {
        let read = timeline.read(&finish(3.0, counted, 64), asked(64, 512), 0.005);
        let expected = 512;
        let told = matches!(read, Err(Doubt::PromptCounts { counted: c, expected: e }) if c == counted && e == expected);
        assert_eq!((read.is_ok(), told), (right, !right), "{counted}");
    }
}

proptest! {
    #[test]
    fn figures_are_finite_and_fit_the_chunks(
        gaps in prop::collection::vec((10.0..50.0f64, 1u32..6), 16..60), latency_ms in 0.0..90.0f64,
    ) {
        let mut timeline = Timeline::default();
        let (mut ms, mut tokens) = (100.0, 1);
        timeline.push(&delta(ms / 1000.0, "w", tokens));
        for (gap, count) in &gaps {
            ms += gap;
            tokens += count;
            timeline.push(&delta(ms / 1000.0, "w", tokens));
        }
        let end = finish(ms / 1000.0, 512, tokens);
        let told = timeline.read(&end, asked(tokens, 512), latency_ms / 1000.0).expect("steady steps");
        let sample = told.sample;
        let expected = f64::from(tokens - 1) / ((ms - 100.0) / 1000.0);
        prop_assert!((sample.tg_tps / expected - 1.0).abs() < 1e-3);
        prop_assert!(sample.pp_tps.is_finite() && sample.pp_tps >= 0.0);
        prop_assert!(sample.ttfr_s <= sample.ttft_s && sample.ttft_s <= sample.end_s);
    }

    #[test]
    fn whatever_comes_there_is_no_panic_and_no_endless_figure(
        chunks in prop::collection::vec((0.0..9.0f64, 0usize..9, prop::option::of(0u32..99)), 0..40),
        prompt in prop::option::of(0u32..9999), tokens in prop::option::of(0u32..99), wanted in 2u32..99,
    ) {
        let mut chunks = chunks;
        chunks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut timeline = Timeline::default();
        for (at, bytes, tokens) in chunks {
            timeline.push(&ChatDelta { tokens, ..delta(at, &"x".repeat(bytes), 0) });
        }
        let end = ChatFinish { prompt_tokens: prompt, completion_tokens: tokens, ..finish(9.0, 0, 0) };
        if let Ok(told) = timeline.read(&end, Asked { tokens: wanted, prompt: None, extra: None, prompt_words: 100, alone: true }, 0.001) {
            let s = told.sample;
            prop_assert!([s.tg_tps, s.pp_tps, s.ttft_s, s.end_s].iter().all(|f| f.is_finite() && *f >= 0.0));
            prop_assert!(s.tg_tps <= FASTEST && s.completion_tokens == wanted);
        }
    }
}
