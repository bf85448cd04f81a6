//! Whose container undo removes.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::container::LABEL;
use crate::ports::ContainerError;
use crate::procedure::Procedure;
use crate::run::{Event, Journal as _, Outcome, RunEvent, RunId, RunOutcome};
use crate::step::doubles::{Contained, Quiet, TestRun, machine_with};

/// A Docker with one container, which carries this identity, or with none.
struct One(Mutex<Option<&'static str>>);

impl Contained for One {
    fn state(&self) -> Result<Option<ContainerState>, ContainerError> {
        let label = *self.0.lock().unwrap();
        Ok(label.map(|label| ContainerState {
            running: true,
            exit_code: None,
            id: "c".into(),
            image_id: "i".into(),
            oom_killed: false,
            labels: vec![(LABEL.into(), label.into())],
        }))
    }
    fn remove(&self) -> bool {
        self.0.lock().unwrap().take().is_some()
    }
}

/// Undoes a launch of identity `own` on a machine where the container of `there` stands; what stands then.
async fn undone(there: &'static str, ended: bool) -> Option<&'static str> {
    let choices = json!({
        "machines": ["a"], "network": null,
        "hub_endpoint": "https://huggingface.co",
        "repo": "o/m", "revision": "main", "source_repo": "o/m", "source_revision": "main",
        "image": "image:tag", "api_port": 8000, "master_port": 29501,
        "served_model_name": "model", "max_model_len": 4096, "gpu_memory_utilization": 0.85,
        "mtp": false, "speculative_tokens": 6, "mtp_way": "draft",
        "engine_args": [], "engine_env": [], "ready_timeout_s": 1800,
    });
    let Ok(Some(Procedure::Setup(setup))) = Procedure::read("setup", choices) else {
        panic!("it is a set-up");
    };
    let variant = setup.launch.variants[0].id.clone();
    let step = ids::launch(&variant);
    let run = TestRun::default();
    let receipt = LaunchReceipt {
        identity: "own".into(),
        image_id: "i".into(),
        api_port: 8000,
        model: "model".into(),
        speculative_tokens: None,
        superseded: false,
    };
    let before = json!({"identity": "own"}).to_string();
    let receipt = value(&receipt).to_string();
    let mut events = vec![Event::Applying { before }];
    events.extend(ended.then_some(Event::Applied { receipt }));
    for (after, event) in (0..).zip(events) {
        let event = RunEvent {
            seq: 0,
            at: 0,
            step: Some(step.clone()),
            event,
        };
        let written = run.journal.append(&RunId("r".into()), after, event).await;
        written.unwrap();
    }
    let docker = Arc::new(One(Mutex::new(Some(there))));
    let launch = LaunchServer {
        launch: Arc::new(setup.launch.clone()),
        variant,
    };
    let machines = vec![machine_with("spark", Arc::new(Quiet), docker.clone())];
    let outcome = run.driver(vec![Arc::new(launch)], machines).undo().await;
    assert_eq!(outcome, Outcome::Finished(RunOutcome::Undone));
    *docker.0.lock().unwrap()
}

#[tokio::test]
async fn undo_removes_the_container_of_its_own_run_and_leaves_a_later_ones() {
    for ended in [true, false] {
        assert_eq!(undone("own", ended).await, None);
        assert_eq!(
            undone("of a later run", ended).await,
            Some("of a later run")
        );
    }
}
