//! What lies ahead of a set-up: what is on the disks already, how long the rest will take, and whether
//! the model fits the memory. Asked before the start; nothing changes.

use futures::future::join_all;
use tandem_domain::checkpoint::config;
use tandem_domain::fit::{self, Ask, Attention, Fit};
use tandem_domain::node::{NodeRequest, NodeWork, Survey, SurveyRequest};
use tandem_domain::problem::Problem;
use tandem_domain::procedure::request::SetupRequest;

use super::App;
use super::world::World;
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
        let world = self.world().await;
        let token = self.inner.hub_token.load().await;
        let looks = request.machines.iter().enumerate().map(|(n, id)| {
            let (world, request) = (&world, &request);
            let work = NodeRequest {
                token: token.as_ref().map(|t| t.reveal().to_owned()),
                work: NodeWork::Survey(SurveyRequest {
                    endpoint: request.hub_endpoint.clone(),
                    repo: request.repo.clone(),
                    revision: request.revision.clone(),
                    hf_home: None,
                    probe: if measure && n == 0 { PROBE } else { 0 },
                }),
            };
            async move { one(world, id, request, &work).await }
        });
        join_all(looks).await.into_iter().collect()
    }
}

async fn one(
    world: &World,
    id: &str,
    request: &SetupRequest,
    work: &NodeRequest,
) -> Result<MachineAhead, Problem> {
    let saved = world.machine(id).await?;
    let station = world.station(&saved)?;
    let looked: Result<Survey, Problem> = world.work_once(&station, "survey", work).await;
    let mut ahead = MachineAhead {
        id: id.to_owned(),
        name: saved.name,
        survey: None,
        fit: None,
        problem: None,
    };
    match looked {
        Ok(survey) => {
            let memory = saved.facts.map(|f| (f.memory_total, f.memory_available));
            ahead.fit = memory.and_then(|(all, free)| forecast(request, &survey, all, free));
            ahead.survey = Some(survey);
        }
        Err(problem) => ahead.problem = Some(problem),
    }
    Ok(ahead)
}

/// `None` where the model's configuration does not say what is needed.
fn forecast(request: &SetupRequest, survey: &Survey, memory: u64, free: u64) -> Option<Fit> {
    let config = config::parse(config::FILE, survey.config.as_deref()?.as_bytes()).ok()?;
    let attention = Attention::read(&config, request.mtp)?;
    let ask = Ask {
        tensor_parallel: request.machines.len() as u32,
        weights: survey.weights,
        mtp: match survey.mtp_built_in {
            Some(false) if request.mtp => fit::MTP_LAYERS,
            _ => 0,
        },
        max_model_len: request.max_model_len,
        utilization: request.gpu_memory_utilization,
        kv_element: fit::kv_element(&request.engine_args),
        batched_tokens: fit::batched_tokens(&request.engine_args),
    };
    Some(fit::fit(&ask, &attention, memory, free))
}
