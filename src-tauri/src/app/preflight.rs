//! What lies ahead of a set-up: what is on the disks already, how long the rest will take, and whether
//! the model fits the memory. Asked before the start; nothing changes.

use futures::future::join_all;
use tandem_domain::checkpoint::config;
use tandem_domain::engine;
use tandem_domain::fit::{self, Fit};
use tandem_domain::ids::MachineId;
use tandem_domain::node::{NodeRequest, NodeWork, Survey, SurveyRequest};
use tandem_domain::problem::Problem;
use tandem_domain::procedure::request::SetupRequest;
use tandem_domain::recipe::Variant;
use tandem_domain::recipe::plan::LaunchPlan;

use super::App;
use super::workspace::Workspace;
use crate::wire::MachineAhead;

/// Ranges asked for at once while the line is measured; as many as a fetch uses.
const PROBE: u16 = 8;

impl App {
    /// Looks at every machine at once. The line is measured on the head alone, so that the two do not
    /// take it from each other.
    pub async fn ahead(
        &self,
        request: SetupRequest,
        measure: bool,
    ) -> Result<Vec<MachineAhead>, Problem> {
        let workspace = self.workspace().await;
        let machines = workspace.setup_machines(&request.machines).await?;
        let recipe = self.recipe(&request.recipe).await?;
        let launch = request.resolve(&recipe, &machines).launch;
        let token = self.hub_token(&workspace).await;
        let looks = request.machines.iter().enumerate().map(|(n, id)| {
            let (workspace, launch) = (&workspace, &launch);
            let work = NodeRequest {
                token: token.as_ref().map(|t| t.reveal().to_owned()),
                work: NodeWork::Survey(SurveyRequest {
                    endpoint: launch.hub_endpoint.clone(),
                    repositories: launch.repositories(),
                    hf_home: None,
                    probe: if measure && n == 0 { PROBE } else { 0 },
                }),
            };
            async move { one(workspace, id, launch, &work).await }
        });
        join_all(looks).await.into_iter().collect()
    }
}

async fn one(
    workspace: &Workspace,
    id: &MachineId,
    launch: &LaunchPlan,
    work: &NodeRequest,
) -> Result<MachineAhead, Problem> {
    let saved = workspace.machine(id).await?;
    let machine = workspace.services(&saved)?;
    let looked: Result<Survey, Problem> = workspace.run_node(&machine, "survey", work).await;
    let mut ahead = MachineAhead {
        id: id.clone(),
        name: saved.name,
        survey: None,
        fit: None,
        problem: None,
    };
    match looked {
        Ok(survey) => {
            let memory = saved.facts.map(|f| (f.memory_total, f.memory_available));
            ahead.fit = memory.and_then(|(all, free)| forecast(launch, &survey, all, free));
            ahead.survey = Some(survey);
        }
        Err(problem) => ahead.problem = Some(problem),
    }
    Ok(ahead)
}

/// `None` where nobody could read the model's configuration.
fn forecast(launch: &LaunchPlan, survey: &Survey, memory: u64, free: u64) -> Option<Fit> {
    let config = config::parse(config::FILE, survey.config.as_deref()?.as_bytes()).ok()?;
    let engine = engine::of(launch.engine);
    let drafts = launch
        .last()
        .and_then(Variant::speculative_tokens)
        .is_some();
    let attention = engine.attention(&config, drafts);
    let grafted = match (survey.mtp_built_in, &launch.graft) {
        (Some(false), Some(graft)) => graft.layer_bytes,
        _ => 0,
    };
    let ask = engine.memory(launch, survey.weights, grafted);
    Some(fit::fit(&ask, &attention, memory, free))
}
