//! Every schedule of a small run: each starting state, a failure at each step before or after its
//! effect, a death after any write or effect while going forward and again while undoing, then
//! resumed or undone. Each must end in exactly the state found at the start, or all done.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::ports::Clock;
use crate::problem::{Code, Problem};
use crate::run::Journal;
use crate::run::memory::MemoryJournal;
use crate::run::{
    Driver, Outcome, RunId, RunOutcome, RunState, Step, StepCheck, StepContext, StepError, StepId,
    StepPlan,
};

/// The world outside: one switch a step, and how many effects the process lives for.
#[derive(Default)]
struct World {
    switches: Vec<bool>,
    effects_left: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fault {
    None,
    BeforeEffect,
    AfterEffect,
}

struct Switch {
    index: usize,
    world: Arc<Mutex<World>>,
    journal: Arc<MemoryJournal>,
    fault: Fault,
}

impl Switch {
    /// Sets the switch, unless the process dies first; a dead process writes nothing either.
    fn effect(&self, to: bool) -> Result<(), StepError> {
        let mut world = self.world.lock().unwrap();
        if world.effects_left == Some(0) {
            self.journal.writes_left(Some(0));
            return Err(Problem::new(Code::Broken, "the process is dead").into());
        }
        if let Some(left) = world.effects_left.as_mut() {
            *left -= 1;
        }
        world.switches[self.index] = to;
        if world.effects_left == Some(0) {
            self.journal.writes_left(Some(0));
        }
        Ok(())
    }
}

#[async_trait]
impl Step<()> for Switch {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId(format!("s{}", self.index)),
            title: String::new(),
            will: String::new(),
            exactly: vec![],
            undo: String::new(),
            privileged: false,
        }
    }

    async fn check(&self, _: &StepContext<()>) -> Result<StepCheck, StepError> {
        let on = self.world.lock().unwrap().switches[self.index];
        Ok(if on {
            StepCheck::AlreadyDone {
                found: "on".into(),
                receipt: json!({}),
            }
        } else {
            StepCheck::Needed { before: json!(on) }
        })
    }

    async fn apply(&self, _: &StepContext<()>, _: &Value) -> Result<Value, StepError> {
        if self.fault == Fault::BeforeEffect {
            return Err(Problem::new(Code::Broken, "before").into());
        }
        self.effect(true)?;
        if self.fault == Fault::AfterEffect {
            return Err(Problem::new(Code::Broken, "after").into());
        }
        Ok(json!({}))
    }

    async fn verify(&self, _: &StepContext<()>, _: &Value) -> Result<String, StepError> {
        Ok("on".into())
    }

    async fn undo(
        &self,
        _: &StepContext<()>,
        before: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        self.effect(before.as_bool().unwrap_or(false))?;
        Ok("restored".into())
    }
}

struct NoTime;
impl Clock for NoTime {
    fn now_ms(&self) -> i64 {
        0
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn wait(&self, _: Duration) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

/// A world and the journal of the run that changes it.
pub(super) struct Bed {
    world: Arc<Mutex<World>>,
    pub(super) journal: Arc<MemoryJournal>,
}

impl Bed {
    /// A bed with these switches, and nothing written yet.
    pub(super) fn new(switches: &[bool]) -> Self {
        let world = World {
            switches: switches.to_vec(),
            effects_left: None,
        };
        Self {
            world: Arc::new(Mutex::new(world)),
            journal: Arc::default(),
        }
    }

    pub(super) fn driver(&self, faults: &[Fault]) -> Driver<()> {
        let steps = faults.iter().enumerate().map(|(index, &fault)| {
            Arc::new(Switch {
                index,
                world: self.world.clone(),
                journal: self.journal.clone(),
                fault,
            }) as Arc<dyn Step<()>>
        });
        Driver {
            run: RunId("r".into()),
            steps: steps.collect(),
            machines: vec![],
            journal: self.journal.clone(),
            clock: Arc::new(NoTime),
            services: (),
            cancel: CancellationToken::new(),
            listener: Arc::new(|_| {}),
        }
    }

    /// A new life: the process was started again.
    fn live(&self, writes: Option<usize>, effects: Option<usize>) {
        self.journal.writes_left(writes);
        self.world.lock().unwrap().effects_left = effects;
    }

    pub(super) fn switches(&self) -> Vec<bool> {
        self.world.lock().unwrap().switches.clone()
    }
}

pub(super) fn now<T>(future: impl std::future::Future<Output = T>) -> T {
    futures::executor::block_on(future)
}

/// Where a life ends: after so many journal writes, after so many effects, or not.
fn deaths(steps: usize) -> Vec<(Option<usize>, Option<usize>)> {
    let mut all = vec![(None, None)];
    all.extend((0..=3 * steps + 2).map(|n| (Some(n), None)));
    all.extend((0..=steps).map(|n| (None, Some(n))));
    all
}

fn schedule(
    start: &[bool],
    faults: &[Fault],
    first: (Option<usize>, Option<usize>),
    second: (Option<usize>, Option<usize>),
    resume: bool,
) {
    let about = format!("{start:?} {faults:?} {first:?} {second:?} resume={resume}");
    let bed = Bed::new(start);
    bed.live(first.0, first.1);
    now(bed.driver(faults).go());
    let healthy = vec![Fault::None; faults.len()];
    if resume {
        bed.live(None, None);
        let outcome = now(bed.driver(&healthy).go());
        assert_eq!(
            outcome,
            Outcome::Finished(RunOutcome::Completed),
            "resumed to the end: {about}"
        );
        assert!(
            bed.switches().iter().all(|on| *on),
            "everything is done: {about}"
        );
    }
    bed.live(second.0, second.1);
    now(bed.driver(&healthy).undo());
    bed.live(None, None);
    let outcome = now(bed.driver(&healthy).undo());
    assert_eq!(
        outcome,
        Outcome::Finished(RunOutcome::Undone),
        "undone: {about}"
    );
    assert_eq!(bed.switches(), start, "exactly as found: {about}");
    let events = now(bed.journal.events(&RunId("r".into()))).unwrap();
    for end in 0..=events.len() {
        let odd = RunState::fold(&events[..end]).odd;
        assert_eq!(odd, [], "every prefix of a history is sound");
    }
}

#[test]
fn every_schedule_ends_as_it_began() {
    let mut count = 0;
    for steps in 1..=3usize {
        for bits in 0..1u32 << steps {
            let start: Vec<bool> = (0..steps).map(|i| bits >> i & 1 == 1).collect();
            let mut plans = vec![vec![Fault::None; steps]];
            for at in 0..steps {
                for fault in [Fault::BeforeEffect, Fault::AfterEffect] {
                    let mut plan = vec![Fault::None; steps];
                    plan[at] = fault;
                    plans.push(plan);
                }
            }
            for faults in &plans {
                for &first in &deaths(steps) {
                    for &second in &deaths(steps) {
                        for resume in [false, true] {
                            schedule(&start, faults, first, second, resume);
                            count += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(
        count > 20_000,
        "the enumeration reaches every combination, {count} of them"
    );
}

#[test]
fn a_cancelled_run_keeps_what_it_did_and_goes_on_later() {
    let bed = Bed::new(&[false; 2]);
    let driver = bed.driver(&[Fault::None; 2]);
    driver.cancel.cancel();
    assert_eq!(
        now(driver.go()),
        Outcome::Finished(RunOutcome::Cancelled),
        "cancel is heard first"
    );
    assert_eq!(bed.switches(), vec![false, false], "nothing was begun");
    assert_eq!(
        now(bed.driver(&[Fault::None; 2]).go()),
        Outcome::Finished(RunOutcome::Completed)
    );
    assert_eq!(
        bed.switches(),
        vec![true, true],
        "a resumed run reaches its end"
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]
    #[test]
    fn longer_schedules_end_as_they_began(
        start in proptest::collection::vec(proptest::prelude::any::<bool>(), 4..7),
        fault_at in 0usize..7, after in proptest::prelude::any::<bool>(),
        w1 in proptest::option::of(0usize..24), e1 in proptest::option::of(0usize..7),
        w2 in proptest::option::of(0usize..24), e2 in proptest::option::of(0usize..7),
        resume in proptest::prelude::any::<bool>(),
    ) {
        let mut faults = vec![Fault::None; start.len()];
        if let Some(f) = faults.get_mut(fault_at) {
            *f = if after { Fault::AfterEffect } else { Fault::BeforeEffect };
        }
        schedule(&start, &faults, (w1, e1), (w2, e2), resume);
    }
}
