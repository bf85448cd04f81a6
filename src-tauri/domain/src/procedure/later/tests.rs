//! Three runs that share weights, image, link and server, undone in every order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::run::memory::MemoryJournal;
use crate::run::{
    Driver, Journal as _, Outcome, RunId, RunOutcome, Step, StepCheck, StepContext, StepError,
    StepPlan,
};
use crate::step::doubles::Waits;

/// What is on the machines: by name, with who stands behind it where that matters.
type World = Arc<Mutex<BTreeMap<String, String>>>;

const SERVER: &str = "launch-plain";

/// One step that puts a thing there, as the step of this name does.
struct Thing {
    id: &'static str,
    /// What it is on the machines: two images of different names are two things.
    thing: String,
    /// What makes it this one and no other: the identity of a server.
    identity: String,
    world: World,
}

impl Thing {
    fn receipt(&self) -> Value {
        json!(LaunchReceipt {
            identity: self.identity.clone(),
            image_id: String::new(),
            api_port: 8000,
            model: "model".into(),
            speculative_tokens: None,
            superseded: false,
        })
    }
}

#[async_trait]
impl Step<()> for Thing {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId::from(self.id),
            title: String::new(),
            will: String::new(),
            exactly: vec![],
            undo: String::new(),
            privileged: false,
        }
    }
    async fn check(&self, _: &StepContext<()>) -> Result<StepCheck, StepError> {
        let there = self.world.lock().unwrap().get(&self.thing).cloned();
        Ok(match there {
            Some(there) if there == self.identity => StepCheck::AlreadyDone {
                found: String::new(),
                receipt: self.receipt(),
            },
            _ => StepCheck::Needed { before: json!({}) },
        })
    }
    async fn apply(&self, _: &StepContext<()>, _: &Value) -> Result<Value, StepError> {
        let mut world = self.world.lock().unwrap();
        world.insert(self.thing.clone(), self.identity.clone());
        Ok(self.receipt())
    }
    async fn verify(&self, _: &StepContext<()>, _: &Value) -> Result<String, StepError> {
        Ok(String::new())
    }
    async fn undo(
        &self,
        _: &StepContext<()>,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        let mut world = self.world.lock().unwrap();
        if world.get(&self.thing) == Some(&self.identity) {
            world.remove(&self.thing);
        }
        Ok(String::new())
    }
}

/// A set-up with these choices, as a stored run has them.
fn setup(image: &str, repo: &str) -> Procedure {
    let choices = json!({
        "machines": ["a", "b"],
        "network": {"rails": [], "mtu": 9000},
        "hub_endpoint": "https://huggingface.co",
        "repo": repo, "revision": "main",
        "source_repo": repo, "source_revision": "main",
        "image": image,
        "api_port": 8000, "master_port": 29501,
        "served_model_name": "model", "max_model_len": 4096, "gpu_memory_utilization": 0.85,
        "mtp": false, "speculative_tokens": 6, "mtp_way": "draft",
        "engine_args": [], "engine_env": [],
        "ready_timeout_s": 1800,
    });
    Procedure::read("setup", choices).unwrap().unwrap()
}

/// A step by its name, what it puts there, and what makes that this one and no other.
type StepThing = (&'static str, String, String);

struct Bed {
    world: World,
    journal: Arc<MemoryJournal>,
    runs: Vec<(RunId, Procedure, Vec<StepThing>)>,
}

impl Bed {
    fn driver(&self, index: usize) -> Driver<()> {
        let (run, _, things) = &self.runs[index];
        let steps = things.iter().map(|(id, thing, identity)| {
            Arc::new(Thing {
                id,
                thing: thing.clone(),
                identity: identity.clone(),
                world: self.world.clone(),
            }) as Arc<dyn Step<()>>
        });
        Driver {
            run: run.clone(),
            steps: steps.collect(),
            machines: vec![],
            journal: self.journal.clone(),
            clock: Arc::new(Waits::default()),
            services: (),
            cancel: Default::default(),
            listener: Arc::new(|_| {}),
        }
    }

    async fn past(&self) -> Vec<PastRun> {
        let mut past = Vec::new();
        for (index, (run, procedure, _)) in self.runs.iter().enumerate() {
            let events = self.journal.events(run).await.unwrap();
            past.push(PastRun {
                title: format!("Run {index}"),
                started_at: index as i64 * 3_600_000,
                procedure: procedure.clone(),
                state: RunState::fold(&events),
            });
        }
        past
    }

    /// Nothing that a run which is not undone has done or found may be missing, but a server that a later one of
    /// the same name took the place of.
    async fn nothing_is_missing(&self, undone: &[usize]) {
        let world = self.world.lock().unwrap().clone();
        let past = self.past().await;
        for (index, (_, _, things)) in self.runs.iter().enumerate() {
            let left = past[index].left().next().is_some();
            if undone.contains(&index) || !left {
                continue;
            }
            for (id, thing, identity) in things {
                let later = |o: &usize| *o > index && !undone.contains(o);
                let superseded = *id == SERVER && (0..self.runs.len()).any(|o| later(&o));
                let gone_with_a_later_one = *id == SERVER && undone.iter().any(|o| *o > index);
                if superseded || gone_with_a_later_one {
                    continue;
                }
                assert_eq!(
                    world.get(thing),
                    Some(identity),
                    "run {index} lacks {id}: undone {undone:?}"
                );
            }
        }
    }
}

/// Three set-ups over one pair: the second shares all but the server with the first, the third has weights of its
/// own as well.
async fn three_runs() -> Bed {
    let all = |repo: &str, identity: &str| {
        let same = |id: &'static str| (id, id.to_owned(), String::new());
        vec![
            same(ids::KEY),
            same(ids::PROGRAM),
            same(ids::DOCKER),
            same(ids::NETWORK),
            (ids::IMAGE, "image:tag".to_owned(), String::new()),
            (ids::WEIGHTS, repo.to_owned(), String::new()),
            (SERVER, "container".to_owned(), identity.to_owned()),
        ]
    };
    let bed = Bed {
        world: World::default(),
        journal: Arc::default(),
        runs: [("o/m", "first"), ("o/m", "second"), ("o/other", "third")]
            .iter()
            .map(|(repo, identity)| {
                let run = RunId((*identity).into());
                (run, setup("image:tag", repo), all(repo, identity))
            })
            .collect(),
    };
    for index in 0..3 {
        let outcome = bed.driver(index).go().await;
        assert_eq!(outcome, Outcome::Finished(RunOutcome::Completed));
    }
    bed
}

#[tokio::test]
async fn in_whichever_order_runs_are_undone_nothing_of_the_others_is_missing() {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for order in orders {
        let bed = three_runs().await;
        let mut undone: Vec<usize> = Vec::new();
        let mut refused = 0;
        // In this order, again and again, until all are undone: what is refused now is free later.
        for index in order.iter().cycle().take(9) {
            if undone.contains(index) {
                continue;
            }
            let past = bed.past().await;
            if let Some(problem) = needed_by_a_later_run(&past[*index], &past, 9_000_000) {
                let fix = problem.fix.expect("it says what to do").sentence;
                let named = (0..3)
                    .find(|i| fix.contains(&format!("“Run {i}”")))
                    .expect("a name");
                assert!(named > *index && !undone.contains(&named), "{fix}");
                refused += 1;
                continue;
            }
            let outcome = bed.driver(*index).undo().await;
            assert_eq!(outcome, Outcome::Finished(RunOutcome::Undone));
            undone.push(*index);
            bed.nothing_is_missing(&undone).await;
        }
        assert_eq!(undone.len(), 3, "no order is a dead end: {order:?}");
        assert!(bed.world.lock().unwrap().is_empty(), "nothing is left");
        assert_eq!(
            refused == 0,
            order[2] == 0,
            "all stand on the first: {order:?}"
        );
    }
}

#[tokio::test]
async fn the_words_name_the_run_and_what_it_uses() {
    let bed = three_runs().await;
    let past = bed.past().await;
    let problem = needed_by_a_later_run(&past[0], &past, 3 * 3_600_000).expect("it is in use");
    let cause = problem.cause.expect("why");
    for words in [
        "“Run 1” (begun 2 hours ago) uses",
        "“Run 2” (begun 1 hour ago) uses",
        "the weights",
        "the private link",
    ] {
        assert!(cause.contains(words), "{words}: {cause}");
    }
    assert!(!cause.contains("the server"), "each has its own: {cause}");
}

#[tokio::test]
async fn a_later_run_that_left_nothing_holds_nobody_up() {
    let mut bed = three_runs().await;
    bed.runs.truncate(1);
    let again = (
        RunId("again".into()),
        bed.runs[0].1.clone(),
        bed.runs[0].2.clone(),
    );
    bed.world
        .lock()
        .unwrap()
        .insert("container".into(), "first".into());
    bed.runs.push(again);
    let outcome = bed.driver(1).go().await;
    assert_eq!(outcome, Outcome::Finished(RunOutcome::Completed));
    let past = bed.past().await;
    assert!(past[1].left().next().is_none(), "it found everything");
    assert_eq!(needed_by_a_later_run(&past[0], &past, 0), None);
}
