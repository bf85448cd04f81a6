//! Runs: planned, started, watched, cancelled, resumed, undone. One at a time.

use std::sync::Arc;

use tandem_adapters::registry::Registries;
use tandem_adapters::store::{LogLine, NewRun};
use tandem_domain::ids::MachineId;
use tandem_domain::node::FetchLimits;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::procedure::request::{Planned, SetupRequest};
use tandem_domain::procedure::setup::setup_plan;
use tandem_domain::procedure::{Procedure, RunDetail, report};
use tandem_domain::recipe::{Recipe, RecipeId, catalog};
use tandem_domain::run::{
    Event, Journal, Outcome, Plan, RunEvent, RunId, RunOutcome, RunSignal, RunState, RunSummary,
    Status, StepId,
};
use tandem_domain::step::ids;
use tandem_domain::step::job::limits::{download_step, limit_download};
use tandem_domain::step::services::{Driver, LiveLimits, Services};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::leases::{self, Leases};
use super::signal_queue::{self, signal_queue};
use super::workspace::Workspace;
use super::{App, lock, stored};
use crate::wire::{PlanView, VariantView};

/// Signals a slow watcher may lag behind before it reads from the database again.
const SIGNALS: usize = 4096;
/// Signals that may wait for the disk.
const UNWRITTEN: usize = 4096;

/// The run that goes on.
pub(super) struct LiveRun {
    id: RunId,
    cancel: CancellationToken,
    /// What its download is held to, under the steps that are under way.
    download: LiveLimits,
    signals: broadcast::Sender<RunSignal>,
}

/// What a run is started to do.
enum Direction {
    Forward,
    Backward,
}

impl App {
    pub(super) fn live_id(&self) -> Option<RunId> {
        lock(&self.inner.live).as_ref().map(|run| run.id.clone())
    }

    /// The set-up with sensible choices.
    pub async fn propose_setup(&self) -> Result<PlanView, Problem> {
        let workspace = self.workspace().await;
        let ids: Vec<MachineId> = workspace
            .machines()
            .await?
            .into_iter()
            .map(|m| m.id)
            .collect();
        if ids.is_empty() {
            return Err(Problem::new(Code::BadInput, "There is no machine yet.")
                .fix("Add your Spark first."));
        }
        let recipe = catalog::proposed(ids.len());
        self.propose(recipe, ids).await
    }

    /// The set-up of one recipe as it is proposed, over as many of the machines as it can be served over.
    pub async fn propose_recipe(&self, id: &RecipeId) -> Result<PlanView, Problem> {
        let workspace = self.workspace().await;
        let recipe = self.recipe(id).await?;
        let ids = workspace.machines().await?.into_iter().map(|m| m.id);
        let ids = ids.take(recipe.nodes.most as usize).collect();
        self.propose(&recipe, ids).await
    }

    async fn propose(&self, recipe: &Recipe, ids: Vec<MachineId>) -> Result<PlanView, Problem> {
        let workspace = self.workspace().await;
        let machines = workspace.setup_machines(&ids).await?;
        let endpoint = self.endpoint(&workspace).await?;
        let request = SetupRequest::proposed(recipe, ids, &machines, endpoint)?;
        self.plan_setup(request).await
    }

    /// The plan of what another run was asked for, for the machines as they are now.
    pub async fn plan_again(&self, id: &RunId) -> Result<PlanView, Problem> {
        let workspace = self.workspace().await;
        match self.setup_of(&workspace, id).await? {
            Some(setup) => self.plan_setup(setup.request).await,
            None => Err(
                Problem::new(Code::BadInput, "This run cannot be planned again.")
                    .cause("It serves no model.")
                    .fix("Choose a model."),
            ),
        }
    }

    /// What these choices would do.
    pub async fn plan_setup(&self, request: SetupRequest) -> Result<PlanView, Problem> {
        let workspace = self.workspace().await;
        let recipe = self.recipe(&request.recipe).await?;
        let machines = workspace.setup_machines(&request.machines).await?;
        let planned = request.planned(&recipe, &machines);
        let variants = recipe.variants.iter().map(|v| VariantView {
            id: v.id.clone(),
            label: v.label.clone(),
            what: v.what.clone(),
        });
        Ok(PlanView {
            plan: setup_plan(&planned.setup, &machines, &workspace.public_key),
            request: planned.setup.request,
            problems: planned.problems,
            title: recipe.title.clone(),
            variants: variants.collect(),
            settings: planned.settings,
        })
    }

    /// Writes the run down and starts it.
    pub async fn start_setup(&self, request: SetupRequest) -> Result<RunId, Problem> {
        let workspace = self.workspace().await;
        let recipe = self.recipe(&request.recipe).await?;
        let machines = workspace.setup_machines(&request.machines).await?;
        let Planned {
            setup, problems, ..
        } = request.planned(&recipe, &machines);
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem);
        }
        let plan = setup_plan(&setup, &machines, &workspace.public_key);
        self.begin(workspace, Procedure::Setup(Box::new(setup)), plan)
            .await
    }

    /// Writes a run of this procedure down and starts it.
    pub(super) async fn begin(
        &self,
        workspace: Arc<Workspace>,
        procedure: Procedure,
        plan: Plan,
    ) -> Result<RunId, Problem> {
        let run = NewRun {
            id: RunId(super::new_id()[..12].to_owned()),
            title: plan.summary.trim_end_matches('.').to_owned(),
            params: procedure.choices(),
            plan,
            started_at: self.now(),
            simulated: workspace.simulated(),
        };
        let live = self.claim(&run.id)?;
        let leases = self.leases(&workspace, &procedure, &run.id).await?;
        if let Err(e) = workspace.store.create_run(&run).await {
            leases.give_back().await;
            self.release();
            return Err(e.problem());
        }
        self.launch(workspace, procedure, live, leases, Direction::Forward)
            .await?;
        Ok(run.id)
    }

    /// Goes on with a run.
    pub async fn resume_run(&self, id: &RunId) -> Result<(), Problem> {
        self.again(id, Direction::Forward).await
    }

    /// Takes a run back.
    pub async fn undo_run(&self, id: &RunId) -> Result<(), Problem> {
        self.again(id, Direction::Backward).await
    }

    async fn again(&self, id: &RunId, direction: Direction) -> Result<(), Problem> {
        let workspace = self.workspace().await;
        let detail = self.run_detail(id).await?;
        let stale = |why: &str| {
            Problem::new(Code::PlanStale, "This run cannot be resumed.")
                .cause(why)
                .fix("Undo it, or start a new run; a new run finds what is done.")
        };
        let params = stored(workspace.store.run_params(id).await)?.unwrap_or_default();
        let planned = (
            detail.plan.procedure.as_str(),
            detail.plan.procedure_version,
        );
        let procedure = Procedure::read(planned.0, params)
            .map_err(|e| stale("Its choices cannot be read.").detail(e.to_string()))?
            .filter(|r| r.name() == planned || matches!(direction, Direction::Backward))
            .ok_or_else(|| stale("It was planned by another version of Tandem."))?;
        let live = self.claim(id)?;
        if matches!(direction, Direction::Backward)
            && let Err(problem) = self.free_to_undo(&workspace, id).await
        {
            self.release();
            return Err(problem);
        }
        let leases = self.leases(&workspace, &procedure, id).await?;
        self.launch(workspace, procedure, live, leases, direction)
            .await
    }

    /// The leases of a claimed run's machines. Where there are none to have, the run is not claimed any more.
    async fn leases(
        &self,
        workspace: &Workspace,
        procedure: &Procedure,
        id: &RunId,
    ) -> Result<Leases, Problem> {
        let taken = async {
            let mut machines = Vec::new();
            for id in procedure.machines() {
                let saved = workspace.machine(id).await?;
                let machine = workspace.services(&saved)?;
                machines.push((saved.facts.unwrap_or_default().machine_id, machine));
            }
            let word = leases::word(&workspace.store).await?;
            Leases::take(machines, id, word).await
        }
        .await;
        if taken.is_err() {
            self.release();
        }
        taken
    }

    /// Makes this the live run, or says which one is.
    fn claim(&self, id: &RunId) -> Result<LiveRun, Problem> {
        let mut live = lock(&self.inner.live);
        if live.is_some() {
            return Err(Problem::new(Code::Locked, "The run was not started.")
                .cause("Another run is going on.")
                .fix("Cancel it or wait for its end."));
        }
        let cancel = CancellationToken::new();
        let download = LiveLimits::default();
        let (signals, _) = broadcast::channel(SIGNALS);
        let run = || LiveRun {
            id: id.clone(),
            cancel: cancel.clone(),
            download: download.clone(),
            signals: signals.clone(),
        };
        *live = Some(run());
        Ok(run())
    }

    /// No run is live from now on.
    fn release(&self) {
        *lock(&self.inner.live) = None;
        self.changed();
    }

    async fn launch(
        &self,
        workspace: Arc<Workspace>,
        procedure: Procedure,
        live: LiveRun,
        leases: Leases,
        direction: Direction,
    ) -> Result<(), Problem> {
        let prepared = async {
            let facts = workspace.setup_machines(procedure.machines()).await?;
            let machines = workspace.services_of(procedure.machines()).await?;
            let measured = self.last_measured(&workspace, procedure.machines()).await?;
            let steps = procedure.steps(&facts, &workspace.public_key, measured);
            let held = stored(workspace.store.run_download(&live.id).await)?;
            // What was asked for since the run was claimed is newer than what was read.
            if let Some(held) = held.filter(|_| live.download.now().is_none()) {
                live.download.set(held);
            }
            Ok::<_, Problem>((steps, machines))
        }
        .await;
        // It is written down by now, and what was looked at for it is kept.
        self.changed();
        let (steps, machines) = match prepared {
            Ok(prepared) => prepared,
            Err(problem) => {
                leases.give_back().await;
                self.release();
                return Err(problem);
            }
        };
        leases.keep(live.cancel.clone());
        let id = live.id.clone();
        let (to_disk, from_run) = signal_queue(UNWRITTEN);
        let writer = tokio::spawn(keep(workspace.clone(), id.clone(), from_run, self.clone()));
        let signals = live.signals.clone();
        let listener = move |signal: RunSignal| {
            // The end is told once what it left is noted: who hears it may go on at once.
            if !is_end(&signal) {
                // Nobody watching is no error.
                let _ = signals.send(signal.clone());
            }
            to_disk.send(signal);
        };
        let driver = Driver {
            run: id.clone(),
            steps,
            machines,
            journal: Arc::new(workspace.store.clone()),
            clock: self.inner.clock.clone(),
            services: Services {
                bench: Arc::new(workspace.store.clone()),
                hub_token: self.hub_token(&workspace).await,
                download: live.download.clone(),
                registry: (!workspace.simulated()).then(|| Arc::new(Registries::default()) as _),
            },
            cancel: live.cancel.clone(),
            listener: Arc::new(listener),
        };
        let app = self.clone();
        tokio::spawn(async move {
            let guarded = tokio::spawn(async move {
                match direction {
                    Direction::Forward => driver.go().await,
                    Direction::Backward => driver.undo().await,
                }
            });
            let ended = guarded.await;
            match &ended {
                Ok(Outcome::Finished(outcome)) => tracing::info!(run = %id, ?outcome, "run ended"),
                // It shows as interrupted, with its last written step, and can be resumed or undone.
                Ok(Outcome::JournalLost(why)) => tracing::error!(run = %id, %why, "journal lost"),
                Err(e) => tracing::error!(run = %id, error = %e, "run panicked"),
            }
            let end = writer.await.ok().flatten();
            if let Err(problem) = app.note_serving(&workspace, &id, &procedure).await {
                tracing::error!(run = %id, %problem, "what is served was not noted");
            }
            if let Ok(Outcome::Finished(RunOutcome::Completed | RunOutcome::Undone)) = ended {
                app.refresh_machines_of(&workspace, &id, &procedure).await;
            }
            leases.give_back().await;
            app.release();
            if let Some(end) = end {
                let _ = live.signals.send(end);
            }
        });
        Ok(())
    }

    /// Looks at the machines of a run that has changed their addresses, so that the next plan is made of
    /// what is there now. What cannot be read stays as it was seen last.
    async fn refresh_machines_of(&self, workspace: &Workspace, id: &RunId, procedure: &Procedure) {
        let Ok(state) = self.run_state(workspace, id).await else {
            return;
        };
        let network = state.step(&StepId::from(ids::NETWORK)).status;
        if !matches!(network, Status::Verified | Status::Undone) {
            return;
        }
        for machine in procedure.machines() {
            let looked = match workspace.machine(machine).await {
                Ok(saved) => self.refresh_facts(workspace, &saved).await.map(drop),
                Err(problem) => Err(problem),
            };
            if let Err(problem) = looked {
                tracing::warn!(run = %id, %problem, "a machine was not looked at again");
            }
        }
    }

    /// Replays a run and goes on with what happens; ends with the run.
    pub async fn watch_run(
        &self,
        id: &RunId,
        after_seq: u64,
        mut hear: impl FnMut(RunSignal) -> bool + Send + 'static,
    ) -> Result<(), Problem> {
        let workspace = self.workspace().await;
        // Subscribed first, so that nothing falls between the replay and what follows.
        let live = lock(&self.inner.live)
            .as_ref()
            .filter(|r| r.id == *id)
            .map(|r| r.signals.subscribe());
        let mut seq = after_seq;
        let events = self.events(&workspace, id).await?;
        if !replay(events, &mut seq, &mut hear) {
            return Ok(());
        }
        let Some(mut signals) = live else {
            return Ok(());
        };
        let (app, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            loop {
                let signal = match signals.recv().await {
                    Ok(signal) => signal,
                    Err(broadcast::error::RecvError::Closed) => break,
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        let Ok(events) = app.events(&workspace, &id).await else {
                            break;
                        };
                        if replay(events, &mut seq, &mut hear) {
                            continue;
                        }
                        break;
                    }
                };
                if let RunSignal::Event { event } = &signal {
                    if event.seq <= seq {
                        continue;
                    }
                    seq = event.seq;
                }
                if !hear(signal) {
                    break;
                }
            }
        });
        Ok(())
    }

    async fn events(&self, workspace: &Workspace, id: &RunId) -> Result<Vec<RunEvent>, Problem> {
        workspace.store.events(id).await.map_err(|e| {
            Problem::new(Code::JournalWrite, "The run's history could not be read.")
                .cause(format!("{e}."))
        })
    }

    /// Asks the run to stop.
    pub async fn cancel_run(&self, id: &RunId) -> Result<(), Problem> {
        if let Some(run) = lock(&self.inner.live).as_ref().filter(|r| r.id == *id) {
            run.cancel.cancel();
        }
        Ok(())
    }

    /// Holds the download of a run to other limits: at once where it is under way, and for every later
    /// start of it. Kept before the machines are told, so that a machine which cannot be told now is held to
    /// it by the next start.
    pub async fn hold_download(&self, id: &RunId, limits: FetchLimits) -> Result<(), Problem> {
        limits.check()?;
        let workspace = self.workspace().await;
        let detail = self.run_detail(id).await?;
        let params = stored(workspace.store.run_params(id).await)?.unwrap_or_default();
        let Ok(Some(Procedure::Setup(setup))) = Procedure::read(&detail.plan.procedure, params)
        else {
            return Err(Problem::new(Code::BadInput, "Nothing was changed.")
                .cause("This run downloads nothing."));
        };
        stored(workspace.store.hold_run_download(id, &limits).await)?;
        if let Some(run) = lock(&self.inner.live).as_ref().filter(|r| r.id == *id) {
            run.download.set(limits.clone());
        }
        let state = self.run_state(&workspace, id).await?;
        // A worker goes on without the app, so it is told whether or not the run is gone on with here.
        if state.step(&download_step()).status == Status::Applying {
            let machines = workspace.services_of(&setup.request.machines).await?;
            limit_download(&machines, id, &limits).await?;
        }
        Ok(())
    }

    /// All runs of this workspace.
    pub async fn list_runs(&self) -> Result<Vec<RunSummary>, Problem> {
        let live = self.live_id();
        let mut runs = stored(self.workspace().await.store.runs().await)?;
        for run in &mut runs {
            run.live = Some(&run.id) == live.as_ref();
        }
        Ok(runs)
    }

    /// One run.
    pub async fn run_detail(&self, id: &RunId) -> Result<RunDetail, Problem> {
        let detail = stored(self.workspace().await.store.run(id).await)?;
        let mut detail = detail.ok_or_else(|| {
            Problem::new(Code::BadInput, "This run is not here.")
                .cause(format!("No run is named {id}."))
        })?;
        detail.summary.live = self.live_id().as_ref() == Some(id);
        Ok(detail)
    }

    /// A step's log.
    pub async fn step_log(&self, id: &RunId, step: &str) -> Result<Vec<String>, Problem> {
        let lines = self
            .workspace()
            .await
            .store
            .step_log(id, &StepId(step.to_owned()))
            .await;
        let lines = stored(lines)?.into_iter().map(|l| match l.machine {
            Some(machine) => format!("{machine}  {}", l.line),
            None => l.line,
        });
        Ok(lines.collect())
    }

    /// A text for a forum post.
    pub async fn run_report(&self, id: &RunId) -> Result<String, Problem> {
        let detail = self.run_detail(id).await?;
        let workspace = self.workspace().await;
        let machines = workspace.machines().await?;
        let facts: Vec<_> = machines.into_iter().filter_map(|m| m.facts).collect();
        Ok(report::text(&detail, &facts, env!("CARGO_PKG_VERSION")))
    }

    /// A run's folded state.
    pub(super) async fn run_state(
        &self,
        workspace: &Workspace,
        id: &RunId,
    ) -> Result<RunState, Problem> {
        let events = self.events(workspace, id).await?;
        Ok(RunState::fold(&events))
    }
}

/// Hands over the events after `seq`; `false` once nobody listens.
fn replay(
    events: Vec<RunEvent>,
    seq: &mut u64,
    hear: &mut (impl FnMut(RunSignal) -> bool + ?Sized),
) -> bool {
    events.into_iter().all(|event| {
        if event.seq <= *seq {
            return true;
        }
        *seq = event.seq;
        hear(RunSignal::Event { event })
    })
}

/// Keeps what may be lost, the log and the latest progress, away from the run's own pace. Gives back
/// the run's last signal.
async fn keep(
    workspace: Arc<Workspace>,
    id: RunId,
    mut signals: signal_queue::Receiver,
    app: App,
) -> Option<RunSignal> {
    let mut batch = Vec::new();
    while signals.recv_many(&mut batch, 512).await > 0 {
        let mut lines = Vec::new();
        let mut progress = std::collections::BTreeMap::new();
        let mut end = None;
        for signal in batch.drain(..) {
            if is_end(&signal) {
                end = Some(signal);
                continue;
            }
            match signal {
                RunSignal::Log {
                    step,
                    machine,
                    line,
                } => {
                    lines.push(LogLine {
                        step,
                        machine,
                        line,
                        at: app.now(),
                    });
                }
                RunSignal::Progress { step, progress: p } => {
                    progress.insert(step, p);
                }
                RunSignal::Event { .. } | RunSignal::Stopped { .. } => {}
            }
        }
        if let Err(e) = workspace.store.append_log(&id, &lines).await {
            tracing::warn!(error = %e, "log lines were not kept");
        }
        for (step, p) in &progress {
            if let Err(e) = workspace.store.progress(&id, step, p).await {
                tracing::warn!(error = %e, "progress was not kept");
            }
        }
        if end.is_some() {
            return end;
        }
    }
    None
}

/// Whether it is the last thing a run says.
fn is_end(signal: &RunSignal) -> bool {
    match signal {
        RunSignal::Event { event } => matches!(event.event, Event::Finished { .. }),
        RunSignal::Stopped { .. } => true,
        RunSignal::Progress { .. } | RunSignal::Log { .. } => false,
    }
}
