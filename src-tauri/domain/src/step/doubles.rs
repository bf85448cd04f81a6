//! Doubles of the ports for the tests of steps: what is not asked, and a clock that moves when it is waited for.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::bench::BenchStore;
use crate::bench::{BenchCase, BenchResult, BenchStoreError};
use crate::container::{ContainerSpec, ContainerState};
use crate::ports::{
    ApiError, Clock, Command, ContainerError, Containers, DockerInfo, Image, LocalPort, Machine,
    MachineError, MachineServices, ModelApi, NodeBuild, NodePrograms, Output, PullProgress,
    RemoteFile, Tunnels,
};
use crate::run::memory::MemoryJournal;
use crate::run::{Journal as _, Outcome, RunId, RunOutcome, RunState, StepId, StepState};
use crate::step::services::{Driver, DynStep, Services};

/// Time that passes only while somebody waits.
#[derive(Default)]
pub(crate) struct Waits(AtomicU64);

impl Clock for Waits {
    fn now_ms(&self) -> i64 {
        1_000
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
    fn wait(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0
            .fetch_add(duration.as_millis() as u64, Ordering::Relaxed);
        // Others get their turn, so that a test can cancel in between.
        Box::pin(tokio::task::yield_now())
    }
}

/// An engine that has a model server or none, and is asked for nothing else.
#[derive(Default)]
pub(crate) struct Server(pub(crate) AtomicBool);

#[async_trait]
impl Containers for Server {
    async fn engine(&self) -> Result<DockerInfo, ContainerError> {
        panic!("Docker is not asked")
    }
    async fn image(&self, name: &str) -> Result<Option<Image>, ContainerError> {
        panic!("Docker is not asked: {name}")
    }
    async fn pull(
        &self,
        name: &str,
        _: &mut (dyn FnMut(PullProgress) + Send),
    ) -> Result<(), ContainerError> {
        panic!("Docker is not asked: {name}")
    }
    async fn remove_image(&self, name: &str) -> Result<bool, ContainerError> {
        panic!("Docker is not asked: {name}")
    }
    async fn start(&self, spec: &ContainerSpec) -> Result<String, ContainerError> {
        panic!("Docker is not asked: {spec:?}")
    }
    async fn inspect(&self, _: &str) -> Result<Option<ContainerState>, ContainerError> {
        let running = self.0.load(Ordering::Relaxed);
        Ok(running.then(|| ContainerState {
            running: true,
            exit_code: None,
            id: "c".into(),
            image_id: "i".into(),
            oom_killed: false,
            labels: Vec::new(),
        }))
    }
    async fn logs(&self, name: &str, _: usize) -> Result<Vec<String>, ContainerError> {
        panic!("Docker is not asked: {name}")
    }
    async fn follow(
        &self,
        name: &str,
        _: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<(), ContainerError> {
        panic!("Docker is not asked: {name}")
    }
    async fn remove(&self, name: &str) -> Result<bool, ContainerError> {
        panic!("Docker is not asked: {name}")
    }
}

/// An engine that is asked for one container and its log alone: one that also has images writes its own `Containers`.
pub(crate) trait Contained: Send + Sync {
    /// The state of the container.
    fn state(&self) -> Result<Option<ContainerState>, ContainerError>;
    /// Its log.
    fn log(&self) -> Vec<String> {
        panic!("no log is read")
    }
    /// Removes it; says whether it was there.
    fn remove(&self) -> bool {
        panic!("no container is removed")
    }
}

#[async_trait]
impl<T: Contained> Containers for T {
    async fn engine(&self) -> Result<DockerInfo, ContainerError> {
        panic!("who the engine is does not matter")
    }
    async fn image(&self, name: &str) -> Result<Option<Image>, ContainerError> {
        panic!("no image is looked at: {name}")
    }
    async fn pull(
        &self,
        name: &str,
        _: &mut (dyn FnMut(PullProgress) + Send),
    ) -> Result<(), ContainerError> {
        panic!("nothing is pulled: {name}")
    }
    async fn remove_image(&self, name: &str) -> Result<bool, ContainerError> {
        panic!("no image is removed: {name}")
    }
    async fn start(&self, spec: &ContainerSpec) -> Result<String, ContainerError> {
        panic!("nothing is started: {spec:?}")
    }
    async fn inspect(&self, _: &str) -> Result<Option<ContainerState>, ContainerError> {
        self.state()
    }
    async fn logs(&self, _: &str, _: usize) -> Result<Vec<String>, ContainerError> {
        Ok(self.log())
    }
    async fn follow(
        &self,
        name: &str,
        _: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<(), ContainerError> {
        panic!("no log is followed: {name}")
    }
    async fn remove(&self, _: &str) -> Result<bool, ContainerError> {
        Ok(Contained::remove(self))
    }
}

/// A machine of which no command is asked.
pub(crate) struct Quiet;

impl Commanded for Quiet {
    fn run(&self, command: &Command) -> Result<String, MachineError> {
        panic!("no command is needed: {command:?}")
    }
}

/// A machine that only runs commands: one that also moves files writes its own `Machine`.
pub(crate) trait Commanded: Send + Sync {
    /// What a command says, and 0 as its status.
    fn run(&self, command: &Command) -> Result<String, MachineError>;
}

#[async_trait]
impl<T: Commanded> Machine for T {
    fn name(&self) -> &str {
        "spark"
    }
    async fn exec(&self, command: &Command) -> Result<Output, MachineError> {
        Ok(Output {
            status: 0,
            stdout: self.run(command)?.into_bytes(),
            stderr: Vec::new(),
        })
    }
    async fn lines(
        &self,
        command: &Command,
        _: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<Output, MachineError> {
        panic!("no lines are read of {}", command.program)
    }
    async fn read(&self, path: &str, _: bool) -> Result<Option<Vec<u8>>, MachineError> {
        panic!("{path} is not read")
    }
    async fn write(&self, file: &RemoteFile) -> Result<(), MachineError> {
        panic!("{} is not written", file.path)
    }
    async fn upload(
        &self,
        _: &Path,
        path: &str,
        _: u32,
        _: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError> {
        panic!("nothing is sent to {path}")
    }
    async fn reconnect(&self) {}
}

/// A machine with nftables and nothing else. It keeps what was loaded and what was run.
#[derive(Default)]
pub(crate) struct Nftables {
    /// The table as it was loaded; empty where there is none.
    pub(crate) table: Mutex<String>,
    /// How often something was loaded.
    pub(crate) loaded: AtomicU64,
    /// Whether root needs a password that nobody knows.
    pub(crate) locked: AtomicBool,
}

impl Commanded for Nftables {
    fn run(&self, command: &Command) -> Result<String, MachineError> {
        let words: Vec<&str> = command.args.iter().map(String::as_str).collect();
        let mut table = self.table.lock().unwrap();
        match (command.program.as_str(), words.as_slice()) {
            ("test", ["-e", _]) => Ok(String::new()),
            ("nft", _) if self.locked.load(Ordering::Relaxed) => {
                Err(MachineError::SudoPasswordNeeded)
            }
            ("nft", ["list", "table", "inet", "tandem"]) => Ok(table.clone()),
            ("nft", ["-f", "-"]) => {
                let text = String::from_utf8_lossy(&command.stdin);
                self.loaded.fetch_add(1, Ordering::Relaxed);
                if text.starts_with("add rule") {
                    table.push_str(&text);
                } else {
                    // Without a table in it, the text is the removal.
                    let after = text.split_once("delete table inet tandem\n");
                    *table = after.expect("it begins anew").1.to_owned();
                }
                Ok(String::new())
            }
            (other, words) => panic!("{other} {words:?} is not run"),
        }
    }
}

struct Nothing;

#[async_trait]
impl Tunnels for Nothing {
    fn api(&self, port: u16) -> Arc<dyn ModelApi> {
        panic!("no server is asked: {port}")
    }

    async fn listen(&self, port: u16) -> Result<Box<dyn LocalPort>, ApiError> {
        panic!("no port is opened: {port}")
    }
}

impl NodePrograms for Nothing {
    fn build(&self, _: &str) -> Option<NodeBuild> {
        None
    }
}

#[async_trait]
impl BenchStore for Nothing {
    async fn save(&self, _: &BenchResult) -> Result<(), BenchStoreError> {
        Ok(())
    }
    async fn of_launch(
        &self,
        _: &str,
        _: &BenchCase,
    ) -> Result<Option<BenchResult>, BenchStoreError> {
        Ok(None)
    }
}

/// A machine with nothing around it but a Docker that may serve.
pub(crate) fn machine(
    name: &str,
    shell: Arc<dyn Machine>,
    server: &Arc<Server>,
) -> MachineServices {
    machine_with(name, shell, server.clone())
}

/// The same with a Docker of its own kind.
pub(crate) fn machine_with(
    name: &str,
    shell: Arc<dyn Machine>,
    containers: Arc<dyn Containers>,
) -> MachineServices {
    MachineServices {
        id: name.into(),
        name: name.into(),
        user: "nvidia".into(),
        shell,
        containers,
        tunnels: Arc::new(Nothing),
        node_program: Arc::new(Nothing),
    }
}

/// A run of steps over a journal in memory. Each driver is one life of it: a new process over what the ones
/// before wrote.
#[derive(Default)]
pub(crate) struct TestRun {
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) cancel: CancellationToken,
    /// What the steps log.
    pub(crate) lines: Arc<Mutex<Vec<String>>>,
    pub(crate) registry: Option<Arc<dyn crate::ports::Registry>>,
}

impl TestRun {
    /// One life of the run.
    pub(crate) fn driver(
        &self,
        steps: Vec<Arc<DynStep>>,
        machines: Vec<MachineServices>,
    ) -> Driver {
        let lines = self.lines.clone();
        Driver {
            run: RunId("r".into()),
            steps,
            machines,
            journal: self.journal.clone(),
            clock: Arc::new(Waits::default()),
            services: Services {
                bench: Arc::new(Nothing),
                hub_token: None,
                registry: self.registry.clone(),
                download: Default::default(),
            },
            cancel: self.cancel.clone(),
            listener: Arc::new(move |signal| {
                if let crate::run::RunSignal::Log { line, .. } = signal {
                    lines.lock().unwrap().push(line);
                }
            }),
        }
    }

    /// Where the run stands by its journal.
    pub(crate) async fn state(&self) -> RunState {
        let events = self.journal.events(&RunId("r".into())).await.unwrap();
        RunState::fold(&events)
    }

    /// Where one step stands.
    pub(crate) async fn step(&self, id: &StepId) -> StepState {
        self.state().await.step(id)
    }

    /// All that was logged.
    pub(crate) fn log(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

/// How a life of a run ended that did not lose its journal.
pub(crate) fn finished(outcome: Outcome) -> RunOutcome {
    match outcome {
        Outcome::Finished(outcome) => outcome,
        Outcome::JournalLost(why) => panic!("the journal was lost: {why}"),
    }
}
