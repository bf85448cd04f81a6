//! Both machines restarted, each once, whatever happens in the middle.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use super::*;
use crate::run::Journal;
use crate::run::{Event, Outcome, ReadOnly, RunId, RunOutcome, RunState, Status};
use crate::step::doubles::{Server, TestRun, machine};
use crate::step::ids;
use crate::step::services::{DynStep, Services};

mod spark;

use spark::{Spark, plan, unreachable};

/// Two machines and the journal of one run over them.
struct Pair {
    both: [Arc<Spark>; 2],
    run: TestRun,
}

impl Pair {
    fn new() -> Self {
        Self {
            both: [Spark::new(10), Spark::new(11)],
            run: TestRun::default(),
        }
    }

    /// Runs the step as a new process would.
    async fn go(&self) -> Outcome {
        let idle = Arc::new(Server::default());
        let machines = self.both.iter().zip(["spark-a", "spark-b"]);
        let machines = machines.map(|(m, name)| machine(name, m.clone(), &idle));
        let step: Arc<DynStep> = Arc::new(RestartBoth::new(plan()));
        self.run.driver(vec![step], machines.collect()).go().await
    }

    fn orders(&self) -> [u32; 2] {
        [self.both[0].orders(), self.both[1].orders()]
    }

    async fn state(&self) -> RunState {
        self.run.state().await
    }

    async fn problem(&self) -> Problem {
        let step = self.state().await.step(&StepId::from(ids::RESTART));
        step.problem.expect("the step has a problem")
    }
}

const DONE: Outcome = Outcome::Finished(RunOutcome::Completed);
const FAILED: Outcome = Outcome::Finished(RunOutcome::Failed);

#[tokio::test]
async fn both_are_restarted_once_and_waited_for() {
    let pair = Pair::new();
    assert_eq!(pair.go().await, DONE);
    assert_eq!(pair.orders(), [1, 1]);
    let step = pair.state().await.step(&StepId::from(ids::RESTART));
    assert_eq!(step.receipt, Some(json!({"boots": ["boot-1", "boot-1"]})));
    assert_eq!(
        pair.go().await,
        DONE,
        "taken up again there is nothing to do"
    );
    assert_eq!(pair.orders(), [1, 1]);
}

#[tokio::test]
async fn a_run_that_dies_after_any_write_restarts_nothing_twice() {
    for lives in 0..8 {
        let pair = Pair::new();
        pair.run.journal.writes_left(Some(lives));
        let died = matches!(pair.go().await, Outcome::JournalLost(_));
        let written = pair.state().await.step(&StepId::from(ids::RESTART));
        assert!(
            written.before.is_some() || pair.orders() == [0, 0],
            "nothing is restarted before it is written which start is to end"
        );
        pair.run.journal.writes_left(None);
        assert_eq!(pair.go().await, DONE, "after {lives} writes");
        assert_eq!(pair.orders(), [1, 1], "after {lives} writes, died: {died}");
    }
}

#[tokio::test]
async fn one_that_was_restarted_already_is_left_alone() {
    let pair = Pair::new();
    let before = Event::Applying {
        before: json!(["boot-0", "boot-0"]).to_string(),
    };
    let event = crate::run::RunEvent {
        seq: 0,
        at: 0,
        step: Some(StepId::from(ids::RESTART)),
        event: before,
    };
    pair.run
        .journal
        .append(&RunId("r".into()), 0, event)
        .await
        .unwrap();
    // The order reached the first machine, and the app died.
    pair.both[0].set(|s| s.boot = 1);
    assert_eq!(pair.go().await, DONE);
    assert_eq!(pair.orders(), [0, 1]);
}

#[tokio::test]
async fn one_that_is_ending_or_on_its_way_up_is_not_told_again() {
    let pair = Pair::new();
    let event = crate::run::RunEvent {
        seq: 0,
        at: 0,
        step: Some(StepId::from(ids::RESTART)),
        event: Event::Applying {
            before: json!(["boot-0", "boot-0"]).to_string(),
        },
    };
    pair.run
        .journal
        .append(&RunId("r".into()), 0, event)
        .await
        .unwrap();
    pair.both[0].set(|s| s.ending = 12);
    pair.both[1].set(|s| s.silent = 20);
    assert_eq!(pair.go().await, DONE);
    assert_eq!(pair.orders(), [0, 0]);
}

#[tokio::test]
async fn neither_is_restarted_where_one_may_not_be() {
    let pair = Pair::new();
    pair.both[1].set(|s| s.forbidden = true);
    assert_eq!(pair.go().await, FAILED);
    let problem = pair.problem().await;
    assert_eq!(problem.code, Code::SudoRefused, "{problem}");
    assert_eq!(problem.machine.as_deref(), Some("spark-b"));
    assert_eq!(pair.orders(), [0, 0]);
    pair.both[1].set(|s| s.forbidden = false);
    assert_eq!(pair.go().await, DONE);
    assert_eq!(pair.orders(), [1, 1]);
}

#[tokio::test]
async fn one_that_does_not_come_back_is_named_and_not_restarted_again() {
    let pair = Pair::new();
    pair.both[1].set(|s| s.dead = true);
    // It answers until it is told.
    pair.both[1].set(|s| s.ending = 6);
    assert_eq!(pair.go().await, FAILED);
    let problem = pair.problem().await;
    assert!(
        problem.message.contains("`spark-b` did not come back"),
        "{problem}"
    );
    assert_eq!(problem.retry, Retry::Now);
    let before = pair.orders();
    pair.both[1].set(|s| {
        s.dead = false;
        s.ending = 0;
        s.boot = 1;
    });
    assert_eq!(pair.go().await, DONE, "somebody switched it off and on");
    assert_eq!(pair.orders(), before);
}

#[tokio::test]
async fn a_cancel_stops_the_waiting() {
    let pair = Pair::new();
    pair.both[0].set(|s| s.dead = true);
    pair.both[0].set(|s| s.ending = 6);
    let cancel = pair.run.cancel.clone();
    let watched = pair.both[1].clone();
    let stops = tokio::spawn(async move {
        while watched.orders() == 0 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    let outcome = pair.go().await;
    stops.await.unwrap();
    assert_eq!(outcome, Outcome::Finished(RunOutcome::Cancelled));
    let step = pair.state().await.step(&StepId::from(ids::RESTART));
    assert_eq!(step.status, Status::Applying, "the intent stands");
}

#[tokio::test]
async fn an_adapter_that_stays_away_is_told_in_the_words_on_the_cable() {
    let pair = Pair::new();
    pair.both[1].set(|s| s.adapter_gone = true);
    assert_eq!(pair.go().await, FAILED);
    let problem = pair.problem().await;
    assert_eq!(problem.code, Code::LinkFails);
    let cause = problem.cause.clone().unwrap_or_default();
    assert!(
        cause.contains("spark-11") && cause.contains("missing even after a restart"),
        "{problem}"
    );
    assert!(problem.fix.is_some(), "{problem}");
}

#[test]
fn ports_are_settled_with_link_and_address() {
    let spark = Spark::new(10);
    let facts = spark.facts(false);
    assert!(settled(&plan(), 0, &facts));
    assert!(!settled(&plan(), 1, &facts), "the other end's address");
    let mut without = facts.clone();
    without.interfaces[1].ipv4.clear();
    assert!(
        !settled(&plan(), 0, &without),
        "one rail has no address yet"
    );
    let mut dark = facts;
    dark.interfaces[0].carrier = false;
    assert!(!settled(&plan(), 0, &dark), "one rail has no link yet");
}

/// A step that is silent for a while, as one before the restart may find the machines.
struct Silent(std::sync::atomic::AtomicU32);

#[async_trait]
impl ReadOnly<Services> for Silent {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId::from(ids::KEY),
            ..RestartBoth::new(plan()).plan()
        }
    }
    async fn check(&self, _: &StepContext) -> Result<StepCheck, StepError> {
        if self.0.load(Ordering::Relaxed) > 0 {
            self.0.fetch_sub(1, Ordering::Relaxed);
            return Err(StepError::Machine {
                machine: "spark-a".into(),
                error: unreachable(),
            });
        }
        Ok(StepCheck::AlreadyDone {
            found: "There.".into(),
            receipt: json!({}),
        })
    }
}

#[tokio::test]
async fn a_run_that_has_been_here_waits_for_a_silent_machine() {
    let pair = Pair::new();
    let idle = Arc::new(Server::default());
    let machines = vec![machine("spark-a", pair.both[0].clone(), &idle)];
    let go = |silent: u32| {
        let step: Arc<DynStep> = Arc::new(Patient(Silent(silent.into())));
        let machines = machines.clone();
        async { pair.run.driver(vec![step], machines).go().await }
    };
    assert_eq!(go(1).await, FAILED, "the first time it is told at once");
    assert_eq!(go(0).await, DONE);
    assert_eq!(go(90).await, DONE, "it may be on its way up");
    assert_eq!(
        *pair.run.lines.lock().unwrap(),
        ["Waiting for a machine that may be restarting."],
        "said once"
    );
    assert_eq!(go(5000).await, FAILED, "but not for ever");
}
