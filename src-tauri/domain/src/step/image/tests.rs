//! The step on machines that only say what they are told: who pulls, who copies, and what is left.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::container::{ContainerSpec, ContainerState};
use crate::launch::samples;
use crate::network::{NetworkPlan, Rail, RailEnd};
use crate::node::{CopyTicket, NodeEvent, NodeLine, Serving};
use crate::ports::{
    Command, ContainerError, Containers, DockerInfo, Machine, MachineError, Output, Registry,
    RegistryError, RemoteFile,
};
use crate::problem::Retry;
use crate::run::RunOutcome;
use crate::secret::Secret;
use crate::step::doubles::{TestRun, finished, machine_with};
use crate::step::ids;
use crate::step::services::DynStep;

const IMAGE: &str = "vllm/vllm-openai:stepfun37";

/// An engine with one image or none, and a registry whose image has this id.
struct Docker {
    has: Mutex<Option<&'static str>>,
    registry: &'static str,
    pulls: AtomicUsize,
}

impl Docker {
    fn new(has: Option<&'static str>, registry: &'static str) -> Arc<Self> {
        Arc::new(Self {
            has: Mutex::new(has),
            registry,
            pulls: AtomicUsize::new(0),
        })
    }

    fn pulls(&self) -> usize {
        self.pulls.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Containers for Docker {
    async fn engine(&self) -> Result<DockerInfo, ContainerError> {
        panic!("who the engine is does not matter")
    }
    async fn image(&self, name: &str) -> Result<Option<Image>, ContainerError> {
        assert_eq!(name, IMAGE);
        let has = *self.has.lock().unwrap();
        Ok(has.map(|id| Image {
            id: id.into(),
            size: 10,
        }))
    }
    async fn pull(
        &self,
        name: &str,
        on_progress: &mut (dyn FnMut(PullProgress) + Send),
    ) -> Result<(), ContainerError> {
        assert_eq!(name, IMAGE);
        self.pulls.fetch_add(1, Ordering::Relaxed);
        on_progress(PullProgress {
            done: 10,
            total: 10,
        });
        *self.has.lock().unwrap() = Some(self.registry);
        Ok(())
    }
    async fn remove_image(&self, _: &str) -> Result<bool, ContainerError> {
        Ok(self.has.lock().unwrap().take().is_some())
    }
    async fn start(&self, spec: &ContainerSpec) -> Result<String, ContainerError> {
        panic!("nothing is started: {spec:?}")
    }
    async fn inspect(&self, name: &str) -> Result<Option<ContainerState>, ContainerError> {
        panic!("no container is looked at: {name}")
    }
    async fn logs(&self, name: &str, _: usize) -> Result<Vec<String>, ContainerError> {
        panic!("no log is read: {name}")
    }
    async fn follow(
        &self,
        name: &str,
        _: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<(), ContainerError> {
        panic!("no log is read: {name}")
    }
    async fn remove(&self, name: &str) -> Result<bool, ContainerError> {
        panic!("no container is removed: {name}")
    }
}

/// How a load of a machine ends.
#[derive(Clone, Copy)]
enum End {
    Fails(Code),
    /// Not until it is cancelled.
    Goes,
}

/// A machine with a node program that saves and loads as it was told.
struct Node {
    docker: Arc<Docker>,
    /// The ends of its loads, in turn; when there is none left the image is there.
    ends: Mutex<Vec<End>>,
    /// Whether a job of an earlier life of the app lies there.
    littered: Mutex<bool>,
    kind: Mutex<String>,
    said: Mutex<Vec<String>>,
    cancel: CancellationToken,
}

impl Node {
    fn new(docker: &Arc<Docker>, ends: Vec<End>) -> Arc<Self> {
        Arc::new(Self {
            docker: docker.clone(),
            ends: Mutex::new(ends),
            littered: Mutex::default(),
            kind: Mutex::default(),
            said: Mutex::default(),
            cancel: CancellationToken::new(),
        })
    }

    fn say(&self, command: &Command) -> String {
        let line = command.args.join(" ");
        self.said.lock().unwrap().push(line.clone());
        line
    }

    /// How often a command with these words was given.
    fn heard(&self, words: &str) -> usize {
        let said = self.said.lock().unwrap();
        said.iter().filter(|l| l.starts_with(words)).count()
    }

    /// What a job that was started comes to.
    async fn event(&self) -> NodeEvent {
        let kind = self.kind.lock().unwrap().clone();
        if kind == "save-image" {
            let result = json!({"name": "b1a3e3", "bytes": 20});
            return NodeEvent::Done { result };
        }
        let end = {
            let mut ends = self.ends.lock().unwrap();
            (!ends.is_empty()).then(|| ends.remove(0))
        };
        match end {
            None => {
                *self.docker.has.lock().unwrap() = Some("sha256:one");
                let result = json!({"id": "sha256:one", "copied": 20});
                NodeEvent::Done { result }
            }
            Some(End::Fails(code)) => NodeEvent::Failed {
                problem: Problem::new(code, "No.").cause("So.").retry(Retry::Now),
            },
            Some(End::Goes) => {
                self.cancel.cancel();
                std::future::pending().await
            }
        }
    }
}

fn output(line: &Value) -> Output {
    Output {
        status: 0,
        stdout: line.to_string().into_bytes(),
        stderr: Vec::new(),
    }
}

#[async_trait]
impl Machine for Node {
    fn name(&self) -> &str {
        "spark"
    }

    async fn exec(&self, command: &Command) -> Result<Output, MachineError> {
        let line = self.say(command);
        if command.program == "sh" {
            let status = i32::from(!*self.littered.lock().unwrap());
            return Ok(Output {
                status,
                ..output(&Value::Null)
            });
        }
        if line.starts_with("copy serve") {
            return Ok(output(&value(&Serving {
                addresses: vec!["192.168.100.10:41000".into()],
                token: "key".into(),
            })));
        }
        if line.starts_with("undo") {
            *self.littered.lock().unwrap() = false;
            return Ok(output(&json!({"removed": 1, "bytes": 20, "left": []})));
        }
        if line.starts_with("start") {
            let request: Value = serde_json::from_slice(&command.stdin).unwrap();
            let kind = request["kind"].as_str().unwrap().to_owned();
            assert_eq!(request["image"], IMAGE);
            if kind == "load-image" {
                let secret = Secret::new(request["token"].as_str().unwrap());
                assert!(CopyTicket::open(&secret).is_some(), "it has its ticket");
                assert_eq!(request["spooled"]["name"], "b1a3e3");
            }
            *self.kind.lock().unwrap() = kind;
        }
        Ok(output(
            &json!({"job": "r-image", "state": "started", "last_seq": 0}),
        ))
    }

    async fn lines(
        &self,
        command: &Command,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<Output, MachineError> {
        self.say(command);
        let event = self.event().await;
        let line = NodeLine {
            seq: 1,
            at: 0,
            event,
        };
        on_line(&serde_json::to_string(&line).unwrap());
        Ok(output(&Value::Null))
    }

    async fn read(&self, path: &str, _: bool) -> Result<Option<Vec<u8>>, MachineError> {
        panic!("nothing is read: {path}")
    }
    async fn write(&self, file: &RemoteFile) -> Result<(), MachineError> {
        panic!("nothing is written: {}", file.path)
    }
    async fn upload(
        &self,
        _: &std::path::Path,
        path: &str,
        _: u32,
        _: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError> {
        panic!("nothing is sent: {path}")
    }
    async fn reconnect(&self) {}
}

fn step(linked: bool) -> BringImage {
    let end = |address: &str| RailEnd {
        interface: "enp1s0f1np1".into(),
        address: address.into(),
        rdma: None,
    };
    let rail = Rail {
        prefix: 24,
        ends: vec![end("192.168.100.10"), end("192.168.100.11")],
    };
    let network = linked.then(|| NetworkPlan {
        rails: vec![rail],
        mtu: 9000,
        adopted: None,
    });
    BringImage {
        launch: Arc::new(samples::plan(2, network.as_ref())),
    }
}

/// Two machines, and a run of the step on them.
struct Pair {
    dockers: [Arc<Docker>; 2],
    nodes: [Arc<Node>; 2],
    linked: bool,
    run: TestRun,
}

impl Pair {
    fn new(has: [Option<&'static str>; 2], ends: Vec<End>) -> Self {
        let dockers = has.map(|has| Docker::new(has, "sha256:one"));
        let nodes = [Node::new(&dockers[0], vec![]), Node::new(&dockers[1], ends)];
        let cancel = nodes[1].cancel.clone();
        Self {
            dockers,
            nodes,
            linked: true,
            run: TestRun {
                cancel,
                ..TestRun::default()
            },
        }
    }

    fn driver(&self) -> crate::step::services::Driver {
        let machines = vec![
            machine_with("spark-a", self.nodes[0].clone(), self.dockers[0].clone()),
            machine_with("spark-b", self.nodes[1].clone(), self.dockers[1].clone()),
        ];
        let steps: Vec<Arc<DynStep>> = vec![Arc::new(step(self.linked))];
        self.run.driver(steps, machines)
    }

    async fn go(&self) -> RunOutcome {
        finished(self.driver().go().await)
    }

    async fn undo(&self) {
        let undone = finished(self.driver().undo().await);
        assert_eq!(undone, RunOutcome::Undone);
    }

    async fn problem(&self) -> Problem {
        let step = self.run.step(&StepId::from(ids::IMAGE)).await;
        step.problem.unwrap()
    }

    fn pulls(&self) -> [usize; 2] {
        [self.dockers[0].pulls(), self.dockers[1].pulls()]
    }

    fn told(&self, words: &str) -> bool {
        self.run.log().contains(words)
    }
}

/// A registry that gives these ids, or no answer.
struct Asked(Option<&'static str>);

#[async_trait]
impl Registry for Asked {
    async fn ids(&self, image: &str, arch: &str) -> Result<BTreeSet<String>, RegistryError> {
        assert_eq!((image, arch), (IMAGE, "aarch64"));
        let id = self.0.ok_or_else(|| RegistryError::NoAnswer {
            detail: "no route".into(),
        })?;
        Ok(BTreeSet::from([id.to_owned(), "sha256:list".into()]))
    }
}

#[tokio::test]
async fn an_image_that_was_brought_is_held_against_the_registry() {
    let with = |has, registry| {
        let mut pair = Pair::new(has, vec![]);
        pair.run.registry = Some(Arc::new(Asked(registry)));
        pair
    };
    let same = with([None, None], Some("sha256:one"));
    assert_eq!(same.go().await, RunOutcome::Completed);
    assert!(same.told("is the one that the registry has"));

    let other = with([None, None], Some("sha256:published"));
    assert_eq!(other.go().await, RunOutcome::Failed);
    let problem = other.problem().await;
    assert_eq!(problem.code, Code::ImageDiffers);
    assert!(
        problem
            .to_string()
            .contains("not the one that the registry has")
    );
    assert_eq!(
        other.go().await,
        RunOutcome::Failed,
        "it is not taken for done on a resume"
    );

    // It was pulled some day, and its name may have moved on since.
    let old = with([Some("sha256:one"), None], Some("sha256:newer"));
    assert_eq!(old.go().await, RunOutcome::Completed);
    assert!(old.told("has another image"));

    let silent = with([None, None], None);
    assert_eq!(silent.go().await, RunOutcome::Completed);
    assert!(silent.told("was not held against the registry"));
}

/// A registry that never answers, and says when it is asked.
struct Silent(tokio::sync::Notify);

#[async_trait]
impl Registry for Silent {
    async fn ids(&self, _: &str, _: &str) -> Result<BTreeSet<String>, RegistryError> {
        self.0.notify_one();
        std::future::pending().await
    }
}

#[tokio::test]
async fn an_app_that_ended_before_it_asked_the_registry_asks_on_a_resume() {
    let mut pair = Pair::new([None, None], vec![]);
    let silent = Arc::new(Silent(tokio::sync::Notify::new()));
    pair.run.registry = Some(silent.clone());
    // The life that is left here is dropped where a killed app would end.
    tokio::select! {
        () = silent.0.notified() => {}
        outcome = pair.go() => panic!("it did not ask: {outcome:?}"),
    }
    pair.run.registry = Some(Arc::new(Asked(Some("sha256:published"))));
    assert_eq!(pair.go().await, RunOutcome::Failed);
    assert_eq!(pair.problem().await.code, Code::ImageDiffers);
    for docker in &pair.dockers {
        assert_eq!(*docker.has.lock().unwrap(), None, "it was removed again");
    }
}

#[tokio::test]
async fn one_pulls_the_other_loads_and_nothing_is_left_on_the_way() {
    let pair = Pair::new([None, None], vec![]);
    assert_eq!(
        pair.go().await,
        RunOutcome::Completed,
        "{:?}",
        pair.run.lines
    );
    assert_eq!(pair.pulls(), [1, 0], "the line is used once");
    let [a, b] = &pair.nodes;
    assert_eq!(
        (a.heard("start save-image"), b.heard("start load-image")),
        (1, 1)
    );
    assert_eq!(
        a.heard("copy serve --listen 192.168.100.10 --spool r-image"),
        1
    );
    assert!(
        pair.told("pulls once over your line"),
        "{:?}",
        pair.run.lines
    );
    for node in [a, b] {
        assert_eq!(node.heard("undo --job r-image"), 1, "the files are gone");
    }
    pair.undo().await;
    for docker in &pair.dockers {
        assert_eq!(*docker.has.lock().unwrap(), None, "as before");
    }
}

#[tokio::test]
async fn the_one_that_has_it_gives_and_keeps_it_on_undo() {
    let pair = Pair::new([Some("sha256:one"), None], vec![]);
    assert_eq!(pair.go().await, RunOutcome::Completed);
    assert_eq!(pair.pulls(), [0, 0], "nothing comes over the line");
    pair.undo().await;
    assert_eq!(*pair.dockers[0].has.lock().unwrap(), Some("sha256:one"));
    assert_eq!(*pair.dockers[1].has.lock().unwrap(), None);
}

#[tokio::test]
async fn a_copy_that_breaks_off_goes_on_and_at_last_the_registry_helps() {
    let pair = Pair::new([None, None], vec![End::Fails(Code::LinkFails); 2]);
    assert_eq!(pair.go().await, RunOutcome::Completed);
    assert_eq!(pair.pulls(), [1, 0]);
    assert_eq!(pair.nodes[1].heard("start load-image"), 3);
    assert_eq!(pair.nodes[0].heard("copy serve"), 3, "each with a new key");

    let pair = Pair::new([None, None], vec![End::Fails(Code::LinkFails); 4]);
    assert_eq!(pair.go().await, RunOutcome::Completed);
    assert_eq!(pair.pulls(), [1, 1]);
    assert!(
        pair.told("so it is pulled here too"),
        "{:?}",
        pair.run.lines
    );

    let pair = Pair::new([None, None], vec![End::Fails(Code::DiskTooSmall)]);
    assert_eq!(pair.go().await, RunOutcome::Completed);
    assert_eq!(pair.pulls(), [1, 1], "a file more does not fit, a pull may");
}

#[tokio::test]
async fn what_a_pull_cannot_help_is_told_and_the_files_stay_to_go_on_from() {
    let pair = Pair::new([None, None], vec![End::Fails(Code::DockerNotRunning)]);
    assert_eq!(pair.go().await, RunOutcome::Failed);
    assert_eq!(pair.problem().await.machine.as_deref(), Some("spark-b"));
    assert_eq!(pair.nodes[0].heard("undo"), 0);
    assert_eq!(pair.go().await, RunOutcome::Completed);
    assert_eq!(pair.pulls(), [1, 0], "it was pulled before");
}

#[tokio::test]
async fn a_cancel_leaves_no_file() {
    let pair = Pair::new([None, None], vec![End::Goes]);
    assert_eq!(
        pair.go().await,
        RunOutcome::Cancelled,
        "{:?}",
        pair.run.lines
    );
    for node in &pair.nodes {
        assert_eq!(node.heard("undo --job r-image"), 1);
    }
    assert_eq!(pair.nodes[1].heard("cancel --job r-image"), 1);
}

#[tokio::test]
async fn what_a_dead_app_left_is_removed_by_the_next() {
    let pair = Pair::new([Some("sha256:one"), Some("sha256:one")], vec![]);
    *pair.nodes[0].littered.lock().unwrap() = true;
    assert_eq!(pair.go().await, RunOutcome::Completed);
    assert_eq!(pair.nodes[0].heard("undo --job r-image"), 1);
    assert_eq!(pair.pulls(), [0, 0]);
    let again = Pair::new([Some("sha256:one"), Some("sha256:one")], vec![]);
    assert_eq!(again.go().await, RunOutcome::Completed);
    assert_eq!(
        again.nodes[0].heard("undo"),
        0,
        "nothing is there to remove"
    );
}

#[tokio::test]
async fn two_images_under_one_name_stay_a_problem() {
    let pair = Pair::new([Some("sha256:one"), Some("sha256:two")], vec![]);
    assert_eq!(pair.go().await, RunOutcome::Failed);
    assert_eq!(pair.problem().await.code, Code::ImageDiffers);
    assert_eq!(pair.pulls(), [0, 0]);
}

#[tokio::test]
async fn without_a_link_both_pull_and_the_plan_says_which() {
    let mut pair = Pair::new([None, None], vec![]);
    pair.linked = false;
    assert_eq!(pair.go().await, RunOutcome::Completed);
    assert_eq!(pair.pulls(), [1, 1]);
    assert!(pair.told("no private link"), "{:?}", pair.run.lines);
    for node in &pair.nodes {
        assert_eq!(node.said.lock().unwrap().len(), 0, "no job is asked for");
    }
    let (alone, linked) = (step(false).plan(), step(true).plan());
    assert_eq!(alone.exactly, [format!("docker pull {IMAGE}")]);
    assert!(linked.will.contains("once over your line"), "{linked:?}");
    let words = linked.exactly.join("\n");
    for part in [
        "docker save",
        "--listen 192.168.100.10 --spool",
        "docker load",
    ] {
        assert!(words.contains(part), "{words}");
    }
}
