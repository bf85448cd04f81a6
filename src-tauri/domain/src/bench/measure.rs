//! Measuring a served model in llama-benchy's definitions.
//!
//! - latency: mean of three GET /v1/models;
//! - ttfr: to the first chunk with choices; est_ppt = max(0, ttfr − latency); pp = prompt tokens / est_ppt;
//! - e2e TTFT: to the first chunk with words, be they content or reasoning;
//! - tg: tokens after the first moment / (last − first).
//!
//! Tokens are the server's own count. Chunks are never counted: with MTP one carries several. What the signs of an
//! answer speak against is no measurement ([`Doubt`](crate::bench::Doubt)), and neither is what others slowed down:
//! the server's counters are read before, during and after each request.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::bench::batch::together;
use crate::bench::prompts::Sizing;
use crate::bench::session::{BenchProgress, Measurement, Session};
use crate::bench::size::OFF;
use crate::bench::{BenchCase, BenchError, BenchNote, BenchResult, BenchSample, NoteKind, Spread};
use crate::engine;
use crate::ports::{Clock, ModelApi};

/// With fewer repeats a limit in time ends nothing.
const LEAST_REPEATS: usize = 3;

/// Measures. Ends early when cancelled or when the server fails; the request under way is dropped then.
///
/// Repeats that were made by then are the result, and [`BenchResult::ended`] says why there are no more. Without any
/// there is no result.
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
    // A new connection through SSH costs a round trip and more, which is no part of the server's time.
    let kept = api.kept();
    let api = kept.as_deref().unwrap_or(api);
    let mut session = Session::new(api, clock, wanted, cancel);
    let (at, start) = (clock.now_ms(), clock.monotonic());
    on_progress(session.progress("Round trip"));
    let latency_s = session.latency().await?;
    let mut circumstances = wanted.circumstances.clone();
    if let Some(version) = session.version().await? {
        circumstances.insert("engine version".to_owned(), version);
    }
    let mut notes = Vec::new();
    if let Some((running, waiting)) = session.others_before().await? {
        if !case.beside_others {
            return Err(BenchError::InUse { running, waiting });
        }
        notes.push(note(
            NoteKind::Others,
            format!(
                "Measured beside others: requests that ran before: {running}, requests that waited: {waiting}."
            ),
        ));
    }

    // The warm-up is thrown away but for what it tells of a tokenizer that cannot be asked.
    on_progress(session.progress("Warm-up"));
    let (warm, mut sizing) = session.prompts(0, Sizing::Tokenizer).await?;
    let by_tokenizer = sizing == Sizing::Tokenizer;
    let told = match session.repeat("Warm-up", &warm, latency_s).await {
        // What only disturbs a repeat does not matter here.
        Err(error) if error.passes() => Vec::new(),
        other => other?,
    };
    if !by_tokenizer && let (Some(told), Some(prompt)) = (told.first(), warm.first()) {
        let tokens = f64::from(told.sample.prompt_tokens);
        sizing = Sizing::PerWord(tokens / f64::from(prompt.words()));
    }

    let before = session.scrape().await?;
    let mut samples: Vec<BenchSample> = Vec::new();
    let (mut ended, mut first_doubt) = (None, None);
    let mut untold = 0;
    for number in 1..=case.runs {
        let begun = clock.monotonic();
        let doing = format!("Repeat {number} of {}", case.runs);
        on_progress(session.progress(&doing));
        let answered = match session.prompts(number, sizing).await {
            Ok((prompts, _)) => session.repeat(&doing, &prompts, latency_s).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(told) => {
                untold += u32::from(told.iter().any(|t| !t.prompt_told));
                samples.extend(together(number, &told, latency_s));
            }
            Err(error) if error.passes() => {
                notes.push(note(
                    NoteKind::NotCounted,
                    format!("{error}. It does not count."),
                ));
                first_doubt.get_or_insert(error);
            }
            Err(error) => {
                ended = Some(error);
                break;
            }
        }
        let now = clock.monotonic();
        let next_ends = (now + (now - begun)).saturating_sub(start);
        let is_over = wanted
            .limit_s
            .is_some_and(|limit| next_ends > Duration::from_secs(limit));
        if is_over && number < case.runs && samples.len() >= LEAST_REPEATS {
            notes.push(note(
                NoteKind::Fewer,
                format!(
                    "Of {} repeats {number} were made, since another would have taken too long.",
                    case.runs
                ),
            ));
            break;
        }
    }
    if samples.is_empty() {
        return Err(ended.or(first_doubt).unwrap_or(BenchError::EmptyCase));
    }
    let after = match ended {
        None => session.scrape().await?,
        Some(_) => None,
    };
    on_progress(session.progress("Done"));
    if untold > 0 {
        notes.push(note(
            NoteKind::NoFigure,
            "The server's first chunk does not tell when the prompt was read, so there is no prompt rate.".into(),
        ));
    }
    if let Some(besides) = session.besides() {
        notes.push(note(NoteKind::Others, besides));
    }
    notes.extend(size_note(case, &samples, by_tokenizer));
    let alone = notes.iter().all(|n| n.kind != NoteKind::Others) && first_doubt.is_none();
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
            .filter(|_| alone)
            .and_then(|(b, a)| engine::of(wanted.engine).acceptance(&b, &a)),
        circumstances,
        notes,
        ended: ended.map(|e| e.problem()),
        run: wanted.run.clone(),
        simulated: wanted.simulated,
    })
}

fn note(kind: NoteKind, says: String) -> BenchNote {
    BenchNote { kind, says }
}

/// Tells sizes that are not those that were asked for, and those that no tokenizer told.
fn size_note(case: &BenchCase, samples: &[BenchSample], by_tokenizer: bool) -> Option<BenchNote> {
    let sizes = || samples.iter().flat_map(sizes);
    let (least, most) = (sizes().min()?, sizes().max()?);
    let wanted = case.size();
    let were = if least == most {
        format!("{least}")
    } else {
        format!("{least} to {most}")
    };
    if !by_tokenizer {
        return Some(note(
            NoteKind::Size,
            format!(
                "The server's tokenizer could not be asked, so the prompts were sized by the count of the warm-up. For {wanted} tokens they had {were}, template and mark among them."
            ),
        ));
    }
    (least + OFF < wanted || most > wanted + OFF).then(|| {
        note(
            NoteKind::Size,
            format!("The prompts were {were} tokens and not {wanted}."),
        )
    })
}

/// The prompt tokens of each request of a repeat.
fn sizes(sample: &BenchSample) -> Vec<u32> {
    match &sample.requests[..] {
        [] => vec![sample.prompt_tokens],
        requests => requests.iter().map(|r| r.prompt_tokens).collect(),
    }
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "record_tests.rs"]
mod record_tests;

#[cfg(test)]
#[path = "method_tests.rs"]
mod method_tests;
