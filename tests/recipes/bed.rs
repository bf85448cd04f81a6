//! What a run on the lab needs: the two machines behind the real adapters, the real store, a request.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::{IMAGE, PASSWORD, Spark, USER};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tandem_adapters::docker::SshContainers;
use tandem_adapters::ssh::keys::OwnKey;
use tandem_adapters::ssh::known_hosts::KnownHosts;
use tandem_adapters::ssh::{self, Auth, HostPin, SshMachine, SshTarget, SshTunnels};
use tandem_adapters::store::{NewRun, Store};
use tandem_domain::machine::Facts;
use tandem_domain::machine::SetupMachine;
use tandem_domain::network::{NetworkPlan, Rail, RailEnd};
use tandem_domain::ports::{Clock, MachineServices, NodeBuild, NodePrograms};
use tandem_domain::problem::Problem;
use tandem_domain::procedure::Procedure;
use tandem_domain::procedure::link::LinkRequest;
use tandem_domain::procedure::request::{Setup, SetupRequest};
use tandem_domain::recipe::{Choices, catalog};
use tandem_domain::run::{
    Event, Outcome, RunEvent, RunId, RunOutcome, RunSignal, RunState, StepId, StepProgress,
};
use tandem_domain::run::{Journal, JournalError};
use tandem_domain::secret::Secret;
use tandem_domain::step::services::{Driver, Services};
use tandem_rehearsal::checkpoint::{BF16_COMMIT, BF16_REPO, NVFP4_OLD_COMMIT, NVFP4_REPO};
use tokio_util::sync::CancellationToken;

/// What one process needs to know to go on with another's run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bed {
    /// A folder for the store and our key.
    pub folder: PathBuf,
    /// The run.
    pub run: String,
    /// The pinned host keys.
    pub host_keys: Vec<String>,
    /// What is set up.
    pub setup: Setup,
    /// The password to log in and for sudo; `None` tries keys only.
    pub password: Option<String>,
    /// The machines, head first; the same one twice for the fault of that name.
    pub sparks: Vec<usize>,
    /// Which recipe the run is of: `setup`, `link` or `restart`.
    pub recipe: String,
}

/// Time of this process.
pub struct RealClock(Instant);

impl RealClock {
    /// Time from now on.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RealClock {
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |d| d.as_millis() as i64)
    }
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
    fn wait(&self, duration: Duration) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The builds that `make` left beside the tests.
struct Built;

impl NodePrograms for Built {
    fn build(&self, arch: &str) -> Option<NodeBuild> {
        let exe = std::env::current_exe().ok()?;
        let node = exe
            .ancestors()
            .map(|a| a.join("node").join(arch).join("tandem-node"));
        let path = node.into_iter().find(|p| p.is_file())?;
        let sha256 = hex::encode(Sha256::digest(std::fs::read(&path).ok()?));
        Some(NodeBuild { path, sha256 })
    }
}

/// The choices for the lab: Step-3.7 of before the built-in MTP layers, so that the graft has work.
pub fn request(hub: String) -> SetupRequest {
    let end = |interface: &str, address: &str| RailEnd {
        interface: interface.into(),
        address: address.into(),
        rdma: None,
    };
    let rail = |interface: &str, net: &str| Rail {
        prefix: 24,
        ends: vec![
            end(interface, &format!("{net}.10")),
            end(interface, &format!("{net}.11")),
        ],
    };
    let recipe = catalog::proposed(2);
    let machine = SetupMachine::default();
    let one = SetupRequest::proposed(recipe, vec!["a".into()], &[machine], hub)
        .expect("one machine needs no link");
    SetupRequest {
        machines: vec!["a".into(), "b".into()],
        network: Some(NetworkPlan {
            rails: vec![
                rail("enp1s0f1np1", "192.168.100"),
                rail("enP2p1s0f1np1", "192.168.101"),
            ],
            mtu: 9000,
            adopted: None,
        }),
        choices: Choices::default()
            .with("repo", NVFP4_REPO)
            .with("revision", NVFP4_OLD_COMMIT)
            .with("donor_repo", BF16_REPO)
            .with("donor_revision", BF16_COMMIT)
            .with("image", IMAGE)
            .with("ready_timeout_s", 120_u32),
        ..one
    }
}

/// The choices as they are stored with a run. Facts of the machines are not known here, so what stands against
/// the choices is not looked at.
pub fn planned(request: SetupRequest) -> Setup {
    let recipe = catalog::find(&request.recipe).expect("the recipe is built in");
    request.planned(recipe, &[]).setup
}

impl Bed {
    /// A bed for a new run over both machines, whose host keys are read and pinned now.
    pub async fn new(folder: &Path, request: SetupRequest) -> Self {
        let mut host_keys = Vec::new();
        for spark in Spark::BOTH {
            let key = ssh::probe(spark.address(), 22, &KnownHosts::default())
                .await
                .expect("the machine shows its key");
            host_keys.push(key.openssh_line);
        }
        let bed = Self {
            folder: folder.to_owned(),
            run: "r1".into(),
            host_keys,
            setup: planned(request),
            password: Some(PASSWORD.into()),
            sparks: vec![0, 1],
            recipe: "setup".into(),
        };
        bed.begin("r1").await
    }

    /// The same machines with another run, written down.
    pub async fn begin(mut self, run: &str) -> Self {
        self.run = run.into();
        let store = self.store().await;
        let recipe = self.of_recipe();
        let plan = recipe.plan(&self.setup_machines(), &self.key().public_line());
        let new = NewRun {
            id: RunId(run.into()),
            title: plan.summary.clone(),
            params: recipe.choices(),
            plan,
            started_at: 0,
            simulated: false,
        };
        store
            .create_run(&new)
            .await
            .expect("the run is written down");
        self
    }

    /// The same machines with a run of this recipe for the cable alone, `link` or `restart`.
    pub async fn only_the_link(mut self, recipe: &str) -> Self {
        self.recipe = recipe.into();
        self.begin(recipe).await
    }

    fn of_recipe(&self) -> Procedure {
        match self.recipe.as_str() {
            "setup" => Procedure::Setup(Box::new(self.setup.clone())),
            link => Procedure::Link(LinkRequest {
                machines: self.setup.request.machines.clone(),
                network: self.setup.launch.network.clone().expect("a plan for two"),
                restart: link == "restart",
            }),
        }
    }

    /// The store, opened again as a new process would.
    pub async fn store(&self) -> Store {
        Store::open(self.folder.join("tandem.db"))
            .await
            .expect("the store opens")
    }

    fn key(&self) -> OwnKey {
        OwnKey::load_or_make(&self.folder, "tandem lab", None).expect("the key is made")
    }

    /// The machines as a plan sees them.
    pub fn setup_machines(&self) -> Vec<SetupMachine> {
        let of = |i: &usize| SetupMachine {
            name: Spark::BOTH[*i].name().into(),
            user: USER.into(),
            facts: Facts::default(),
        };
        self.sparks.iter().map(of).collect()
    }

    /// The machines behind new connections.
    pub fn machines(&self) -> Vec<MachineServices> {
        let own = Arc::new(self.key());
        let machine = |i: &usize| {
            let spark = Spark::BOTH[*i];
            let password = self.password.clone().map(Secret::new);
            let mut auth = vec![Auth::OwnKey(own.clone())];
            auth.extend(password.clone().map(Auth::Password));
            let machine = Arc::new(SshMachine::new(SshTarget {
                name: spark.name().into(),
                address: spark.address().into(),
                port: 22,
                user: USER.into(),
                host_key: HostPin::parse(&self.host_keys[*i]).expect("a pinned key"),
                auth,
                sudo_password: password,
                environment: Vec::new(),
            }));
            let containers = Arc::new(SshContainers::new(machine.clone()));
            MachineServices {
                id: spark.name().into(),
                name: spark.name().into(),
                user: USER.into(),
                tunnels: Arc::new(SshTunnels::new(machine.clone(), containers.clone())),
                containers,
                node_program: Arc::new(Built),
                shell: machine,
            }
        };
        self.sparks.iter().map(machine).collect()
    }

    /// A driver as a new process would make it.
    pub async fn driver(&self, journal: Arc<dyn Journal>, cancel: CancellationToken) -> Driver {
        let log = std::env::var_os("TANDEM_TEST_LOG").is_some();
        let began = Instant::now();
        Driver {
            run: RunId(self.run.clone()),
            steps: self
                .of_recipe()
                .steps(&self.setup_machines(), &self.key().public_line(), None),
            machines: self.machines(),
            journal,
            clock: Arc::new(RealClock::start()),
            services: Services {
                bench: Arc::new(self.store().await),
                hub_token: None,
                registry: None,
                download: Default::default(),
            },
            cancel,
            listener: Arc::new(move |signal| {
                if log {
                    let at = began.elapsed().as_secs_f64();
                    match signal {
                        RunSignal::Progress { .. } => {}
                        other => eprintln!("{at:7.2} {other:?}"),
                    }
                }
            }),
        }
    }

    /// Runs to the end, or as far as it goes.
    pub async fn go(&self) -> RunOutcome {
        self.go_until(CancellationToken::new()).await
    }

    /// Runs until cancelled.
    pub async fn go_until(&self, cancel: CancellationToken) -> RunOutcome {
        finished(
            self.driver(Arc::new(self.store().await), cancel)
                .await
                .go()
                .await,
        )
    }

    /// Runs these steps of the recipe alone.
    pub async fn go_through(&self, steps: &[&str]) -> RunOutcome {
        let journal = Arc::new(self.store().await);
        let mut driver = self.driver(journal, CancellationToken::new()).await;
        let wanted = |id: StepId| steps.contains(&id.0.as_str());
        driver.steps.retain(|s| wanted(s.plan().id));
        finished(driver.go().await)
    }

    /// Takes everything back.
    pub async fn undo(&self) -> RunOutcome {
        let journal = Arc::new(self.store().await);
        finished(
            self.driver(journal, CancellationToken::new())
                .await
                .undo()
                .await,
        )
    }

    /// The run's events.
    pub async fn events(&self) -> Vec<RunEvent> {
        let events = self.store().await.events(&RunId(self.run.clone())).await;
        events.expect("the journal is read")
    }

    /// The run, folded.
    pub async fn state(&self) -> RunState {
        RunState::fold(&self.events().await)
    }

    /// The problem that ended it.
    pub async fn problem(&self) -> Problem {
        let state = self.state().await;
        let problem = state.steps.values().find_map(|s| s.problem.clone());
        problem.unwrap_or_else(|| panic!("no step has a problem: {state:?}"))
    }

    /// All sentences of the run, for a failing test's message.
    pub async fn told(&self) -> String {
        let events = self.events().await;
        let lines = events.iter().filter_map(|e| {
            let step = e.step.as_ref().map_or("", |s| s.0.as_str());
            match &e.event {
                Event::Failed { problem } | Event::UndoFailed { problem } => {
                    Some(format!("{step}: {problem}\n{}", problem.details.join("\n")))
                }
                Event::AlreadyDone { found, .. } => Some(format!("{step}: {found}")),
                Event::Verified { seen } => Some(format!("{step}: {seen}")),
                Event::Undone { did } => Some(format!("{step}: {did}")),
                _ => None,
            }
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Writes itself down for another process.
    pub fn save(&self) -> PathBuf {
        let path = self.folder.join("bed.json");
        std::fs::write(&path, serde_json::to_vec(self).expect("plain data"))
            .expect("it is written");
        path
    }
}

fn finished(outcome: Outcome) -> RunOutcome {
    match outcome {
        Outcome::Finished(outcome) => outcome,
        Outcome::JournalLost(why) => panic!("the journal was lost: {why}"),
    }
}

/// A journal that kills its own process right after the first event of a kind that the run has not
/// seen before at that step: so that life after life dies one write further on.
pub struct DeadlyJournal {
    store: Store,
    seen: Mutex<std::collections::BTreeSet<(Option<StepId>, String)>>,
}

impl DeadlyJournal {
    /// Over the store, knowing what the run has seen.
    pub fn new(store: Store, events: &[RunEvent]) -> Self {
        Self {
            store,
            seen: Mutex::new(events.iter().map(mark).collect()),
        }
    }
}

/// An event's step and kind.
fn mark(event: &RunEvent) -> (Option<StepId>, String) {
    let kind = serde_json::to_value(&event.event).expect("plain data");
    (
        event.step.clone(),
        kind["kind"].as_str().unwrap_or_default().to_owned(),
    )
}

#[async_trait]
impl Journal for DeadlyJournal {
    async fn append(
        &self,
        run: &RunId,
        after: u64,
        event: RunEvent,
    ) -> Result<RunEvent, JournalError> {
        let written = self.store.append(run, after, event).await?;
        if self
            .seen
            .lock()
            .expect("nothing panics holding it")
            .insert(mark(&written))
        {
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::KILL)
                .expect("one may kill oneself");
            unreachable!("dead");
        }
        Ok(written)
    }

    async fn events(&self, run: &RunId) -> Result<Vec<RunEvent>, JournalError> {
        self.store.events(run).await
    }

    async fn progress(
        &self,
        run: &RunId,
        step: &StepId,
        p: &StepProgress,
    ) -> Result<(), JournalError> {
        self.store.progress(run, step, p).await
    }
}
