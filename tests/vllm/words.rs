//! The story in words: no paths, no dates, so that two tellings can be compared.

use std::fmt::Write as _;

use tandem_domain::bench::{BenchResult, Spread};
use tandem_domain::run::{Event, RunEvent, StepId};

/// One line a step: what it found or saw, and how long it took.
pub(crate) fn steps(events: &[RunEvent]) -> String {
    let mut began = None;
    let mut text = String::from("The set-up over two machines:\n");
    for event in events {
        let seen = match &event.event {
            Event::Applying { .. } => {
                began = Some(event.at);
                continue;
            }
            Event::AlreadyDone { found, .. } => found.clone(),
            Event::Verified { seen } => seen.clone(),
            Event::Failed { problem } => format!("FAILED {problem}"),
            _ => continue,
        };
        let took = began.take().map_or(0.0, |b| (event.at - b) as f64 / 1000.0);
        line(
            &mut text,
            event.step.as_ref(),
            &format!("{took:6.1} s  {seen}"),
        );
    }
    text
}

/// One line a step that was undone.
pub(crate) fn undone(events: &[RunEvent]) -> String {
    let mut text = String::from("Undone again:\n");
    for event in events {
        match &event.event {
            Event::Undone { did } => line(&mut text, event.step.as_ref(), did),
            Event::UndoFailed { problem } => {
                line(&mut text, event.step.as_ref(), &format!("FAILED {problem}"));
            }
            _ => {}
        }
    }
    text
}

fn line(text: &mut String, step: Option<&StepId>, words: &str) {
    let step = step.map_or("", |s| s.0.as_str());
    writeln!(text, "  {step:<15}{words}").expect("writing into a string");
}

/// One line a measurement.
pub(crate) fn figures(result: &BenchResult) -> String {
    let of = |spread: &Spread| format!("{:.1} ± {:.1}", spread.mean, spread.std);
    let mut text = format!(
        "{:<14} pp{} {} t/s, tg{} {} t/s, first token after {} s",
        result.label,
        result.case.prompt_tokens,
        of(&result.pp_tps),
        result.case.generate_tokens,
        of(&result.tg_tps),
        of(&result.ttft_s),
    );
    if let Some(acceptance) = &result.acceptance {
        let by: Vec<String> = acceptance
            .per_position
            .iter()
            .map(|p| format!("{:.0}", p * 100.0))
            .collect();
        write!(
            text,
            "; {:.0} % of the drafts accepted ({} % by position)",
            acceptance.rate * 100.0,
            by.join(", ")
        )
        .expect("writing into a string");
    }
    text
}
