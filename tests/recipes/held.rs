//! The download of a run that goes on is held back, through the ports, on rehearsed machines with the real
//! node program: the bytes at the Hub stop, a new life of the app finds it as it was left, and it goes on at
//! another rate.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tandem_adapters::store::{NewRun, Store};
use tandem_domain::node::{FetchLimits, PauseReason};
use tandem_domain::ports::MachineServices;
use tandem_domain::procedure::Procedure;
use tandem_domain::run::{Outcome, ProgressPart, RunId, RunOutcome, RunSignal, RunState, Status};
use tandem_domain::step::job::limits::{download_step, limit_download};
use tandem_domain::step::services::LiveLimits;
use tandem_domain::step::services::{Driver, Services};
use tandem_rehearsal::checkpoint::synthetic;
use tandem_rehearsal::machines::Rehearsal;
use tandem_tests::bed::{RealClock, planned, request};
use tandem_tests::{enabled, until};
use tokio_util::sync::CancellationToken;

use crate::link::{opened, rehearsed};

const SOON: Duration = Duration::from_secs(60);
/// At this rate the whole download takes three minutes.
const SLOW: u64 = 64 << 10;
const FASTER: u64 = 4 << 20;
const SIZE: u64 = 12 << 20;
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJlaGVhcnNhbHM rehearsal";

fn at_most(bytes_per_second: u64) -> FetchLimits {
    FetchLimits {
        bytes_per_second: Some(bytes_per_second),
        ..FetchLimits::default()
    }
}

/// What the watcher of a run was told last of each machine, and every line of the log.
#[derive(Default)]
struct Heard {
    parts: Vec<ProgressPart>,
    log: Vec<String>,
}

/// One life of the app with a run.
struct Life {
    held: LiveLimits,
    cancel: CancellationToken,
    heard: Arc<Mutex<Heard>>,
    going: tokio::task::JoinHandle<Outcome>,
}

impl Life {
    async fn begin(
        recipe: &Procedure,
        machines: &[MachineServices],
        store: &Store,
        run: &RunId,
    ) -> Self {
        let facts = rehearsed(machines).await;
        let held = LiveLimits::new(store.run_download(run).await.expect("it is read"));
        let cancel = CancellationToken::new();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hears = heard.clone();
        let only = |id: &str| ["program", "network", "weights"].contains(&id);
        let driver = Driver {
            run: run.clone(),
            steps: recipe
                .steps(&facts, KEY, None)
                .into_iter()
                .filter(|s| only(&s.plan().id.0))
                .collect(),
            machines: machines.to_vec(),
            journal: Arc::new(store.clone()),
            clock: Arc::new(RealClock::start()),
            services: Services {
                bench: Arc::new(store.clone()),
                hub_token: None,
                registry: None,
                download: held.clone(),
            },
            cancel: cancel.clone(),
            listener: Arc::new(move |signal| {
                let mut heard = hears.lock().expect("no listener panics");
                match signal {
                    RunSignal::Progress { step, progress } if step == download_step() => {
                        heard.parts = progress.parts;
                    }
                    RunSignal::Log { line, .. } => heard.log.push(line),
                    _ => {}
                }
            }),
        };
        Self {
            held,
            cancel,
            heard,
            going: tokio::spawn(async move { driver.go().await }),
        }
    }

    /// As the app does it: kept, known to the run, told to the machines.
    async fn hold(
        &self,
        limits: &FetchLimits,
        machines: &[MachineServices],
        store: &Store,
        run: &RunId,
    ) {
        let kept = store.hold_run_download(run, limits).await;
        kept.expect("it is kept");
        self.held.set(limits.clone());
        let told = limit_download(machines, run, limits).await;
        told.expect("every machine is told");
    }

    /// Waits until both machines say that they are held back, with neither a rate nor a bar that moves.
    async fn both_wait(&self) -> Vec<ProgressPart> {
        until("both machines to wait", SOON, || async {
            let heard = self.heard.lock().expect("no listener panics");
            let waits = |p: &ProgressPart| p.held == Some(PauseReason::Paused) && p.rate.is_none();
            (heard.parts.len() == 2 && heard.parts.iter().all(waits)).then(|| heard.parts.clone())
        })
        .await
        .unwrap_or_else(|e| panic!("{e}: {:?}", self.said()))
    }

    fn said(&self) -> (Vec<ProgressPart>, Vec<String>) {
        let heard = self.heard.lock().expect("no listener panics");
        (heard.parts.clone(), heard.log.clone())
    }
}

async fn open(folder: &Path) -> Rehearsal {
    synthetic::write_synthetic(&folder.join("hub"), SIZE).expect("a checkpoint");
    opened(folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_under_way_is_paused_over_a_closed_window_and_goes_on_at_another_rate() {
    if !enabled() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let rehearsal = open(folder.path()).await;
    let machines = rehearsal.machines();
    let store = Store::open(folder.path().join("tandem.db")).await;
    let store = store.expect("the store opens");
    let mut wanted = request(rehearsal.hub_endpoint());
    wanted.machines = machines.iter().map(|s| s.id.clone()).collect();
    wanted.choices.set("repo", synthetic::REPO.into());
    wanted.choices.set("revision", "main".into());
    wanted.download = at_most(SLOW);
    let recipe = Procedure::Setup(Box::new(planned(wanted)));
    let run = RunId("held".into());
    let plan = recipe.plan(&rehearsed(&machines).await, KEY);
    let new = NewRun {
        id: run.clone(),
        title: plan.summary.clone(),
        params: recipe.choices(),
        plan,
        started_at: 0,
        simulated: true,
    };
    store.create_run(&new).await.expect("it is written down");
    let planned = store.run_download(&run).await.expect("it is read");
    assert_eq!(planned, Some(at_most(SLOW)), "what was planned holds");
    let brought = || rehearsal.hub().counters().read().cdn_bytes;

    let first = Life::begin(&recipe, &machines, &store, &run).await;
    until("something to arrive", SOON, || async {
        (brought() > 0).then_some(())
    })
    .await
    .expect("the download begins");
    let paused = FetchLimits {
        paused: true,
        ..at_most(SLOW)
    };
    first.hold(&paused, &machines, &store, &run).await;
    let parts = first.both_wait().await;
    let words: Vec<&str> = parts.iter().map(|p| p.doing.as_str()).collect();
    assert!(words.contains(&"Paused"), "the one that fetches: {words:?}");
    assert!(
        words.contains(&"Waiting for spark-a, which is paused"),
        "the one that copies waits for it: {:?}",
        first.said()
    );
    // The time itself is what is looked at: the connections are closed, and nothing asks for more.
    let at_rest = brought();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(brought(), at_rest, "the bytes at the Hub stop");

    // The window is closed and opened again: the run is gone on with, and is still paused.
    first.cancel.cancel();
    let ended = first.going.await.expect("no panic");
    assert_eq!(ended, Outcome::Finished(RunOutcome::Cancelled));
    let second = Life::begin(&recipe, &machines, &store, &run).await;
    second.both_wait().await;
    assert_eq!(brought(), at_rest, "a pause is kept over a closed window");

    let began = Instant::now();
    second.hold(&at_most(FASTER), &machines, &store, &run).await;
    let ended = tokio::time::timeout(SOON, second.going).await;
    let ended = ended.expect("at the old rate it would take three minutes");
    let took = began.elapsed().as_secs_f64();
    assert_eq!(
        ended.expect("no panic"),
        Outcome::Finished(RunOutcome::Completed),
        "{:?}",
        second.heard.lock().expect("no listener panics").log
    );
    // Only the side that no load of this computer can break: not faster than the new rate, but for a
    // quarter of a second that may come at once and what eight connections hold.
    let rest = brought() - at_rest;
    let least = (rest as f64 - FASTER as f64 / 4.0 - (8 << 19) as f64) / FASTER as f64;
    assert!(
        least > 0.5 && took >= least,
        "{took} s, not below {least} s"
    );
    let size = brought() as f64;
    assert!(
        size < 1.3 * SIZE as f64,
        "the pause made nobody fetch for itself: {size} bytes"
    );
    let events = store.run(&run).await.expect("it is read").expect("a run");
    assert_eq!(events.download, Some(at_most(FASTER)));
    let state = RunState::fold(&events.events);
    assert_eq!(state.step(&download_step()).status, Status::Verified);
}
