//! What is served, as the runs left it and as the machines answer.

use std::sync::Arc;

use tandem_domain::engine::vllm::launch::CONTAINER;
use tandem_domain::ports::{ModelApi, Station};
use tandem_domain::problem::Problem;
use tandem_domain::procedure::Procedure;
use tandem_domain::run::{RunId, RunState, Status, StepId};
use tandem_domain::step::ids;
use tandem_domain::step::launch::LaunchReceipt;
use tandem_domain::step::owned;
use tandem_domain::step::validate::Validated;

use super::world::World;
use super::{App, nothing_served, stored};
use crate::wire::Serving;

const SETTING: &str = "serving";

impl App {
    /// What the last run left.
    pub(super) async fn serving(&self, world: &World) -> Result<Option<Serving>, Problem> {
        let serving: Option<Option<Serving>> = stored(world.store.setting(SETTING).await)?;
        Ok(serving.flatten())
    }

    /// Notes what a run that has just ended left.
    pub(super) async fn note_serving(
        &self,
        world: &World,
        id: &RunId,
        recipe: &Procedure,
    ) -> Result<(), Problem> {
        let state = self.run_state(world, id).await?;
        let Procedure::Setup(request) = recipe else {
            if restarted(&state) {
                stored(world.store.put_setting(SETTING, &None::<Serving>).await)?;
            }
            return Ok(());
        };
        let serving = match left_by(&state) {
            Some((launch, validated)) => {
                let head = world.machine(&request.machines[0]).await?;
                Some(Serving {
                    model: launch.model,
                    machine: head.id,
                    machine_name: head.name,
                    port: launch.api_port,
                    speculative_tokens: launch.speculative_tokens,
                    run: id.0.clone(),
                    tg_tps: validated.as_ref().map(|v| v.tg_tps),
                    against_plain: validated.and_then(|v| v.against_plain),
                    max_model_len: request.max_model_len,
                })
            }
            // A run that never got to the servers leaves what served before alone.
            None if !touched(&state) => return Ok(()),
            None => None,
        };
        stored(world.store.put_setting(SETTING, &serving).await)
    }

    /// The head of what is served, with its API.
    pub(super) async fn served(
        &self,
    ) -> Result<(Arc<World>, Serving, Station, Arc<dyn ModelApi>), Problem> {
        let world = self.world().await;
        let serving = self.serving(&world).await?.ok_or_else(nothing_served)?;
        let head = world.machine(&serving.machine).await?;
        let station = world.station(&head)?;
        let api = station.tunnels.api(serving.port);
        Ok((world, serving, station, api))
    }

    /// Asks the server whether it is there.
    pub async fn check_serving(&self) -> Result<Option<Serving>, Problem> {
        let world = self.world().await;
        let Some(serving) = self.serving(&world).await? else {
            return Ok(None);
        };
        let (_, _, station, api) = self.served().await?;
        match api.models().await {
            Ok(models) if models.iter().any(|m| m.id == serving.model) => Ok(Some(serving)),
            Ok(_) => Err(nothing_served()
                .cause("Another model answers at its port.")
                .on(station.name)),
            Err(e) => Err(nothing_served()
                .cause(format!("The server does not answer: {e}."))
                .on(station.name)),
        }
    }

    /// Stops what Tandem serves on all machines. A container of the server's name that Tandem did not make stays.
    pub async fn stop_serving(&self) -> Result<(), Problem> {
        let world = self.world().await;
        let machines = world.machines().await?;
        let stations: Result<Vec<Station>, Problem> =
            machines.iter().map(|saved| world.station(saved)).collect();
        owned::stop(&stations?, CONTAINER).await?;
        stored(world.store.put_setting(SETTING, &None::<Serving>).await)
    }
}

/// The launch that stands at the end of a run, with its validation.
fn left_by(state: &RunState) -> Option<(LaunchReceipt, Option<Validated>)> {
    for kind in ["mtp", "plain"] {
        let launch = state.step(&StepId(format!("launch-{kind}")));
        match launch.status {
            Status::Waiting | Status::Undone => {}
            status if status.is_done() => {
                let receipt: LaunchReceipt = serde_json::from_value(launch.receipt?).ok()?;
                let check = state.step(&StepId(format!("validate-{kind}")));
                let validated = check.receipt.and_then(|r| serde_json::from_value(r).ok());
                return (!receipt.superseded).then_some((receipt, validated));
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

fn touched(state: &RunState) -> bool {
    ["launch-plain", "launch-mtp"]
        .iter()
        .any(|id| state.step(&StepId((*id).to_owned())).status != Status::Waiting)
}
