//! A run as the window hears it, from its first signal to its end.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tandem::app::App;
use tandem_domain::node::{FetchHours, FetchLimits, PauseReason};
use tandem_domain::problem::Problem;
use tandem_domain::run::{Event, ProgressPart, RunEvent, RunId, RunSignal};
use tokio::sync::mpsc;

/// How long one run may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Progress kept of one step: enough to see it move.
const STEPS_FORWARD: usize = 12;

/// Everything that was heard of a run, from the first event or after `from` on. Its download is held back: the rehearsed
/// weights are small, and are seen to come only so.
pub(crate) async fn watched(app: &App, id: &RunId, from: Option<u64>) -> Result<Value, Problem> {
    let (tell, mut told) = mpsc::unbounded_channel();
    let hear = move |signal| tell.send(signal).is_ok();
    app.watch_run(id, from.unwrap_or_default(), hear).await?;
    let (mut signals, mut held) = (Vec::new(), Held::default());
    let heard = tokio::time::timeout(PATIENCE, async {
        while let Some(signal) = told.recv().await {
            let end = matches!(&signal, RunSignal::Event { event } if matches!(event.event, Event::Finished { .. }));
            if !held.takes(app, id, &signal).await? {
                signals.push(signal);
            }
            if end {
                break;
            }
        }
        Ok::<_, Problem>(())
    });
    heard.await.expect("the run ends in time")?;
    let detail = app.run_detail(id).await?;
    let mut logs = Map::new();
    for step in &detail.plan.steps {
        logs.insert(
            step.id.0.clone(),
            json!(app.step_log(id, &step.id.0).await?),
        );
    }
    Ok(json!({
        "summary": detail.summary, "plan": detail.plan, "download": detail.download, "signals": thinned(signals),
        "held": held.told(), "logs": logs, "report": app.run_report(id).await?,
    }))
}

/// What a download says while it is paused, and while it waits for its hours.
#[derive(Default)]
struct Held {
    paused: Vec<ProgressPart>,
    until: Vec<ProgressPart>,
}

impl Held {
    /// As it is written down: every recording waits until the same time of the day.
    fn told(&self) -> Value {
        let opens = self.until.iter().find_map(|part| match &part.held {
            Some(PauseReason::Until { opens }) => Some(opens.as_str()),
            _ => None,
        });
        let told = json!({"paused": self.paused, "until": self.until}).to_string();
        let told = told.replace(opens.unwrap_or("23:00"), "23:00");
        serde_json::from_str(&told).unwrap_or_default()
    }

    /// Holds the download in one way after the other. Whether a signal was about that, and is none of the run's course.
    async fn takes(&mut self, app: &App, id: &RunId, signal: &RunSignal) -> Result<bool, Problem> {
        let parts = match signal {
            RunSignal::Event { event } if begins(event) => {
                app.hold_download(id, slowly()).await?;
                return Ok(false);
            }
            RunSignal::Progress { step, progress } if step.0 == "weights" => &progress.parts,
            _ => return Ok(false),
        };
        let [first, .., last] = &parts[..] else {
            return Ok(false);
        };
        // The other machine hears of it a little later.
        let waits = |why: &str| last.doing.starts_with("Waiting for") && last.doing.contains(why);
        match &first.held {
            None if self.paused.is_empty() && first.done > 0 => {
                let paused = FetchLimits {
                    paused: true,
                    ..slowly()
                };
                app.hold_download(id, paused).await?;
                Ok(false)
            }
            None => Ok(false),
            Some(PauseReason::Paused) if waits("is paused") && self.paused.is_empty() => {
                self.paused.clone_from(parts);
                let closed = FetchLimits {
                    hours: Some(closed()),
                    ..slowly()
                };
                app.hold_download(id, closed).await?;
                Ok(true)
            }
            Some(PauseReason::Until { .. }) if waits("until") && self.until.is_empty() => {
                self.until.clone_from(parts);
                app.hold_download(id, slowly()).await?;
                Ok(true)
            }
            Some(_) => Ok(true),
        }
    }
}

fn begins(event: &RunEvent) -> bool {
    let weights = event.step.as_ref().is_some_and(|step| step.0 == "weights");
    weights && matches!(event.event, Event::Applying { .. })
}

fn slowly() -> FetchLimits {
    FetchLimits {
        bytes_per_second: Some(1_000_000),
        ..FetchLimits::default()
    }
}

/// A minute that is far from now in every time zone: zones differ by quarters of an hour.
fn closed() -> FetchHours {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    let minute = (since.as_secs() / 60 + 7) % 15;
    FetchHours {
        from: format!("23:{minute:02}"),
        to: format!("23:{:02}", minute + 1),
    }
}

/// Of the progress of each step a few signals, evenly apart, and the last.
fn thinned(signals: Vec<RunSignal>) -> Vec<RunSignal> {
    let of = |signal: &RunSignal| match signal {
        RunSignal::Progress { step, .. } => Some(step.0.clone()),
        _ => None,
    };
    let steps: Vec<Option<String>> = signals.iter().map(of).collect();
    let keep = |at: usize| {
        let Some(step) = &steps[at] else { return true };
        let mine = |from: &[Option<String>]| from.iter().flatten().filter(|s| *s == step).count();
        let (before, all) = (mine(&steps[..at]), mine(&steps));
        before + 1 == all || all <= STEPS_FORWARD || before % all.div_ceil(STEPS_FORWARD) == 0
    };
    let kept: Vec<bool> = (0..signals.len()).map(keep).collect();
    let both = signals.into_iter().zip(kept);
    both.filter_map(|(signal, kept)| kept.then_some(signal))
        .collect()
}
