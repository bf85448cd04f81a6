//! What is served, as the runs left it and as the machines answer.

use std::sync::Arc;

use tandem_domain::chat::Sampling;
use tandem_domain::chat::controls::LevelsOfReasoning;
use tandem_domain::container::SERVER;
use tandem_domain::ports::{MachineServices, ModelApi};
use tandem_domain::problem::Problem;
use tandem_domain::procedure::Procedure;
use tandem_domain::procedure::request::Setup;
use tandem_domain::recipe::Variant;
use tandem_domain::recipe::plan::LaunchPlan;
use tandem_domain::run::{RunId, RunState, Status, StepId};
use tandem_domain::step::firewall;
use tandem_domain::step::ids;
use tandem_domain::step::launch::{LaunchReceipt, fallen};
use tandem_domain::step::owned;
use tandem_domain::step::validate::Validated;

use super::workspace::Workspace;
use super::{App, nothing_served, stored};
use crate::wire::Serving;

const SETTING: &str = "serving";

impl App {
    /// What the last run left.
    pub(super) async fn serving(&self, workspace: &Workspace) -> Result<Option<Serving>, Problem> {
        let serving: Option<Option<Serving>> = stored(workspace.store.setting(SETTING).await)?;
        Ok(serving.flatten().map(|mut serving| {
            // An earlier Tandem noted no variant, and knew two.
            if serving.variant.is_empty() {
                let (id, label) = match serving.speculative_tokens {
                    None => ("plain", "Plain"),
                    Some(_) => ("mtp", "MTP"),
                };
                serving.variant = id.into();
                serving.label = label.into();
            }
            serving
        }))
    }

    /// Notes what a run that has just ended left.
    pub(super) async fn note_serving(
        &self,
        workspace: &Workspace,
        id: &RunId,
        procedure: &Procedure,
    ) -> Result<(), Problem> {
        let state = self.run_state(workspace, id).await?;
        let Procedure::Setup(setup) = procedure else {
            if restarted(&state) {
                stored(workspace.store.put_setting(SETTING, &None::<Serving>).await)?;
            }
            return Ok(());
        };
        let serving = match left_by(&state, &setup.launch) {
            Some((variant, launch, validated)) => {
                let head = workspace.machine(&setup.request.machines[0]).await?;
                let sampling = own_sampling(workspace.services(&head)?, &state).await;
                let can = &setup.launch.can;
                Some(Serving {
                    model: launch.model,
                    machine: head.id,
                    machine_name: head.name,
                    port: launch.api_port,
                    recipe: Some(setup.request.recipe.clone()),
                    engine: setup.launch.engine,
                    variant: variant.id.0.clone(),
                    label: variant.full_label(),
                    speculative_tokens: launch.speculative_tokens,
                    run: id.clone(),
                    tg_tps: validated.as_ref().map(|v| v.tg_tps),
                    against_plain: validated.and_then(|v| v.against_plain),
                    max_model_len: setup.launch.context,
                    reasoning: can.reasoning.as_ref().map(|r| LevelsOfReasoning {
                        switch: r.switch.clone(),
                        levels: r.levels.clone(),
                    }),
                    pictures: Some(can.pictures),
                    tools: can.tools,
                    sampling,
                })
            }
            // A run that never got to the servers leaves what served before alone.
            None if !touched(&state, &setup.launch) => return Ok(()),
            None => None,
        };
        stored(workspace.store.put_setting(SETTING, &serving).await)
    }

    /// The head of what is served, with its API.
    pub(super) async fn served(
        &self,
    ) -> Result<(Arc<Workspace>, Serving, MachineServices, Arc<dyn ModelApi>), Problem> {
        let workspace = self.workspace().await;
        let serving = self.serving(&workspace).await?.ok_or_else(nothing_served)?;
        let head = workspace.machine(&serving.machine).await?;
        let machine = workspace.services(&head)?;
        let api = machine.tunnels.api(serving.port);
        Ok((workspace, serving, machine, api))
    }

    /// Asks the server whether it is there, and the machines whether every rank of it runs.
    pub async fn check_serving(&self) -> Result<Option<Serving>, Problem> {
        let workspace = self.workspace().await;
        let Some(serving) = self.serving(&workspace).await? else {
            return Ok(None);
        };
        if let Some(setup) = self.setup_of(&workspace, &serving.run).await? {
            let mut ranks = Vec::new();
            for id in &setup.request.machines {
                ranks.push(workspace.services(&workspace.machine(id).await?)?);
            }
            if let Some(problem) = fallen(&setup.launch, &ranks).await? {
                return Err(problem);
            }
        }
        let (_, _, machine, api) = self.served().await?;
        match api.models().await {
            Ok(models) if models.iter().any(|m| m.id == serving.model) => Ok(Some(serving)),
            Ok(_) => Err(nothing_served()
                .cause("Another model answers at its port.")
                .on(machine.name)),
            Err(e) => Err(nothing_served()
                .cause(format!("The server does not answer: {e}."))
                .on(machine.name)),
        }
    }

    /// The set-up that a run carried out; `None` where it is none, or cannot be read any more.
    pub(super) async fn setup_of(
        &self,
        workspace: &Workspace,
        id: &RunId,
    ) -> Result<Option<Setup>, Problem> {
        let planned = self.run_detail(id).await?.plan.procedure;
        let params = stored(workspace.store.run_params(id).await)?.unwrap_or_default();
        Ok(match Procedure::read(&planned, params) {
            Ok(Some(Procedure::Setup(setup))) => Some(*setup),
            _ => None,
        })
    }

    /// Stops what Tandem serves on all machines. A container of the server's name that Tandem did not make stays.
    pub async fn stop_serving(&self) -> Result<(), Problem> {
        let workspace = self.workspace().await;
        let machines = workspace.machines().await?;
        let machines: Result<Vec<MachineServices>, Problem> = machines
            .iter()
            .map(|saved| workspace.services(saved))
            .collect();
        let machines = machines?;
        self.close_local();
        owned::stop(&machines, SERVER).await?;
        for machine in &machines {
            firewall::end_with_server(machine).await;
        }
        stored(workspace.store.put_setting(SETTING, &None::<Serving>).await)?;
        self.changed();
        Ok(())
    }
}

/// The sampling that the served checkpoint brings. Nothing where it brings none: it is shown, and decides nothing.
async fn own_sampling(head: MachineServices, state: &RunState) -> Sampling {
    let weights = state.step(&StepId::from(ids::WEIGHTS)).receipt;
    let snapshot = weights.as_ref().and_then(|r| r[0]["snapshot"].as_str());
    let Some(snapshot) = snapshot else {
        return Sampling::default();
    };
    let path = format!("{snapshot}/generation_config.json");
    match head.shell.read(&path, false).await {
        Ok(Some(bytes)) => sampling_of(&bytes),
        _ => Sampling::default(),
    }
}

/// What a `generation_config.json` says of it.
fn sampling_of(config: &[u8]) -> Sampling {
    let config: serde_json::Value = serde_json::from_slice(config).unwrap_or_default();
    let number = |name: &str| config[name].as_f64();
    Sampling {
        temperature: number("temperature"),
        top_p: number("top_p"),
        top_k: config["top_k"].as_u64().and_then(|k| k.try_into().ok()),
        min_p: number("min_p"),
        repetition_penalty: number("repetition_penalty"),
        ..Sampling::default()
    }
}

/// The launch that stands at the end of a run, with its variant and validation.
fn left_by<'a>(
    state: &RunState,
    launch: &'a LaunchPlan,
) -> Option<(&'a Variant, LaunchReceipt, Option<Validated>)> {
    for variant in launch.variants.iter().rev() {
        let launched = state.step(&ids::launch(&variant.id));
        match launched.status {
            Status::Waiting | Status::Undone => {}
            status if status.is_done() => {
                let receipt: LaunchReceipt = serde_json::from_value(launched.receipt?).ok()?;
                let check = state.step(&ids::validate(&variant.id));
                let validated = check.receipt.and_then(|r| serde_json::from_value(r).ok());
                return (!receipt.superseded).then_some((variant, receipt, validated));
            }
            // It cleared the one before away and did not come up itself.
            _ => return None,
        }
    }
    None
}

/// Whether the machines have been restarted, which no server survives.
fn restarted(state: &RunState) -> bool {
    let step = state.step(&StepId::from(ids::RESTART));
    step.receipt.is_some() && step.status.is_ours()
}

fn touched(state: &RunState, launch: &LaunchPlan) -> bool {
    let mut ids = launch.variants.iter().map(|v| ids::launch(&v.id));
    ids.any(|id| state.step(&id).status != Status::Waiting)
}
