//! Histories that no single driver writes: each is read, can be resumed, and can be undone; and two drivers over
//! one journal make none.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::future::join;
use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof,
};

use super::schedules::{Bed, Fault, now};
use crate::problem::{Code, Problem};
use crate::run::memory::MemoryJournal;
use crate::run::{
    Event, Journal, JournalError, Outcome, RunEvent, RunId, RunOutcome, RunState, StepId,
    StepProgress,
};

const STEPS: usize = 3;

fn run() -> RunId {
    RunId("r".into())
}

/// Any event of any step or of the run, in no sensible order.
fn event() -> impl Strategy<Value = (Option<usize>, Event)> {
    let problem = || Problem::new(Code::Broken, "It failed.");
    let receipt = || "{}".to_owned();
    let kind = prop_oneof![
        Just(Event::AlreadyDone {
            found: String::new(),
            receipt: receipt()
        }),
        Just(Event::Applying {
            before: "false".into()
        }),
        Just(Event::Applying {
            before: "no json".into()
        }),
        Just(Event::Applied { receipt: receipt() }),
        Just(Event::Verified {
            seen: String::new()
        }),
        Just(Event::Failed { problem: problem() }),
        Just(Event::Stopped),
        Just(Event::Undoing),
        Just(Event::Undone { did: String::new() }),
        Just(Event::UndoFailed { problem: problem() }),
        Just(Event::CancelRequested),
        Just(Event::Resumed),
        Just(Event::Finished {
            outcome: RunOutcome::Completed
        }),
        Just(Event::Unknown),
    ];
    (proptest::option::weighted(0.9, 0..STEPS), kind)
}

fn numbered(happened: Vec<(Option<usize>, Event)>) -> Vec<RunEvent> {
    (1..)
        .zip(happened)
        .map(|(seq, (step, event))| RunEvent {
            seq,
            at: 0,
            step: step.map(|index| StepId(format!("s{index}"))),
            event,
        })
        .collect()
}

/// Whether undo must take this step back: it was begun, and either never undone or something came after that.
fn must_be_undone(events: &[RunEvent], state: &RunState, id: &StepId) -> bool {
    let odd: BTreeSet<u64> = state.odd.iter().map(|o| o.seq).collect();
    let mut begun = false;
    let mut left = false;
    for event in events.iter().filter(|e| e.step.as_ref() == Some(id)) {
        let applying = matches!(event.event, Event::Applying { .. });
        begun |= applying;
        if applying || (begun && odd.contains(&event.seq)) {
            left = true;
        } else if matches!(event.event, Event::Undone { .. }) {
            left = false;
        }
    }
    left
}

proptest::proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn from_every_history_a_run_can_be_resumed_and_undone(
        happened in vec(event(), 0..24),
        on in vec(any::<bool>(), STEPS),
    ) {
        let events = numbered(happened);
        let state = RunState::fold(&events);
        for index in 0..STEPS {
            let id = StepId(format!("s{index}"));
            if must_be_undone(&events, &state, &id) {
                prop_assert!(state.step(&id).status.is_ours(), "{id} is forgotten: {events:?}");
            }
        }
        for resumed in [false, true] {
            let bed = Bed::new(&on);
            for event in &events {
                now(bed.journal.append(&run(), event.seq - 1, event.clone())).unwrap();
            }
            if resumed {
                let outcome = now(bed.driver(&[Fault::None; STEPS]).go());
                prop_assert_eq!(outcome, Outcome::Finished(RunOutcome::Completed));
                prop_assert!(bed.switches().iter().all(|on| *on));
            }
            let outcome = now(bed.driver(&[Fault::None; STEPS]).undo());
            prop_assert_eq!(outcome, Outcome::Finished(RunOutcome::Undone));
        }
    }

    #[test]
    fn of_two_drivers_over_one_run_the_overtaken_one_stops_and_the_history_stays_sound(
        turns in vec(any::<bool>(), 0..64),
        undo in any::<bool>(),
    ) {
        let bed = Bed::new(&[false; STEPS]);
        let journal = Arc::new(TakingTurns { inner: bed.journal.clone(), turns: Mutex::new(turns) });
        let healthy = [Fault::None; STEPS];
        let mut both = [bed.driver(&healthy), bed.driver(&healthy)];
        for driver in &mut both {
            driver.journal = journal.clone();
        }
        let second = async {
            if undo { both[1].undo().await } else { both[1].go().await }
        };
        let (first, second) = now(join(both[0].go(), second));
        let overtaken = |o: &Outcome| matches!(o, Outcome::JournalLost(JournalError::Overtaken { .. }));
        let finished = |o: &Outcome| matches!(o, Outcome::Finished(_));
        for outcome in [&first, &second] {
            prop_assert!(overtaken(outcome) || finished(outcome), "{outcome:?}");
        }
        prop_assert!(finished(&first) || finished(&second), "one goes on: {first:?} {second:?}");
        let state = RunState::fold(&now(bed.journal.events(&run())).unwrap());
        prop_assert_eq!(&state.odd, &vec![]);
        prop_assert_eq!(now(bed.driver(&healthy).undo()), Outcome::Finished(RunOutcome::Undone));
        // An act that is under way while the other undoes is kept apart by the lock and the lease, not by the journal.
        if !undo {
            prop_assert_eq!(bed.switches(), vec![false; STEPS]);
        }
    }
}

/// A journal whose writers wait now and then, so that the other one gets its turn.
struct TakingTurns {
    inner: Arc<MemoryJournal>,
    turns: Mutex<Vec<bool>>,
}

impl TakingTurns {
    async fn turn(&self) {
        let waits = self.turns.lock().unwrap().pop().unwrap_or(false);
        if waits {
            let mut asked = false;
            std::future::poll_fn(|cx| {
                if std::mem::replace(&mut asked, true) {
                    return std::task::Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
        }
    }
}

#[async_trait]
impl Journal for TakingTurns {
    async fn append(
        &self,
        run: &RunId,
        after: u64,
        event: RunEvent,
    ) -> Result<RunEvent, JournalError> {
        self.turn().await;
        let written = self.inner.append(run, after, event).await;
        self.turn().await;
        written
    }
    async fn events(&self, run: &RunId) -> Result<Vec<RunEvent>, JournalError> {
        self.turn().await;
        self.inner.events(run).await
    }
    async fn progress(
        &self,
        run: &RunId,
        step: &StepId,
        progress: &StepProgress,
    ) -> Result<(), JournalError> {
        self.inner.progress(run, step, progress).await
    }
}
