//! Steps `launch-plain` and `launch-mtp`: the server over all machines, without MTP and with it.

mod wait;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::container::command::as_command;
use crate::container::{ContainerSpec, ContainerState};
use crate::engine::vllm::launch::{CONTAINER, Launch};
use crate::graft::way::MtpWay;
use crate::ports::Station;
use crate::problem::{Code, Problem, Retry};
use crate::procedure::request::SetupRequest;
use crate::run::{Found, Step, StepError, StepId, StepPlan};
use crate::step::drop_caches;
use crate::step::facts::FactsReceipt;
use crate::step::graft::GraftsReceipt;
use crate::step::image::ImageReceipt;
use crate::step::machines::{on_all, value};
use crate::step::owned::{self, label};
use crate::step::services::{Services, StepContext};
use crate::step::weights::WeightsReceipt;

/// See the module.
pub(crate) struct LaunchServer {
    /// What was chosen.
    pub request: SetupRequest,
    /// Whether it drafts with the MTP layers.
    pub mtp: bool,
}

/// What a launch leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchReceipt {
    /// Identity of the launch: the same choices on the same image have the same.
    pub identity: String,
    /// The image's id.
    pub image_id: String,
    /// The API's port on the head's loopback.
    pub api_port: u16,
    /// The name that requests use.
    pub model: String,
    /// Tokens drafted at a time.
    pub speculative_tokens: Option<u32>,
    /// A later launch stands in this one's place.
    #[serde(default)]
    pub superseded: bool,
}

impl LaunchServer {
    pub(crate) fn id(mtp: bool) -> StepId {
        StepId(if mtp { "launch-mtp" } else { "launch-plain" }.into())
    }

    fn containers(
        &self,
        cx: &StepContext,
        mtp: bool,
    ) -> Result<(Vec<ContainerSpec>, LaunchReceipt), StepError> {
        let FactsReceipt(facts) = cx.receipt()?;
        let ImageReceipt(image) = cx.receipt()?;
        let WeightsReceipt(fetched) = cx.receipt()?;
        let paths: Vec<String> = fetched.into_iter().map(|r| r.snapshot).collect();
        let GraftsReceipt(grafts) = if mtp {
            cx.receipt()?
        } else {
            GraftsReceipt::default()
        };
        let speculative_tokens = mtp.then_some(self.request.speculative_tokens);
        let launch = Launch {
            request: &self.request,
            machines: &facts,
            paths: &paths,
            grafts: &grafts,
            image_id: &image.id,
            speculative_tokens,
        };
        let (specs, identity) = launch.containers()?;
        let receipt = LaunchReceipt {
            identity,
            image_id: image.id,
            api_port: self.request.api_port,
            model: self.request.served_model_name.clone(),
            speculative_tokens,
            superseded: false,
        };
        Ok((specs, receipt))
    }

    async fn standing(&self, cx: &StepContext) -> Result<Vec<Option<ContainerState>>, StepError> {
        on_all(&cx.stations, |_, s| Box::pin(owned::standing(s, CONTAINER))).await
    }

    /// Whether all machines run this launch and the API lists the model.
    async fn serves(
        &self,
        cx: &StepContext,
        standing: &[Option<ContainerState>],
        identity: &str,
    ) -> bool {
        let all_run = standing.iter().all(|state| {
            state
                .as_ref()
                .is_some_and(|s| s.running && label(s) == Some(identity))
        });
        all_run && self.lists_model(cx).await
    }

    async fn lists_model(&self, cx: &StepContext) -> bool {
        let models = cx.stations[0]
            .tunnels
            .api(self.request.api_port)
            .models()
            .await;
        models.is_ok_and(|m| m.iter().any(|m| m.id == self.request.served_model_name))
    }

    /// Removes our own container on every machine; another's is a problem and stays.
    async fn clear(&self, cx: &StepContext) -> Result<(), StepError> {
        on_all(&cx.stations, |_, station| {
            Box::pin(async move {
                let state = owned::standing(station, CONTAINER).await?;
                if state.is_some_and(|s| label(&s).is_none()) {
                    return Err(foreign(station).into());
                }
                owned::remove(station, CONTAINER).await
            })
        })
        .await
        .map(|_| ())
    }

    async fn start(&self, cx: &StepContext, specs: &[ContainerSpec]) -> Result<(), StepError> {
        // The second rank first: it waits for the head, and a head that is up early serves nothing.
        for (station, spec) in cx.stations.iter().zip(specs).rev() {
            cx.safe_point()?;
            cx.log(Some(&station.name), as_command(spec));
            let started = station.containers.start(spec).await;
            started.map_err(|e| e.problem(&station.name, &station.user))?;
        }
        Ok(())
    }
}

fn foreign(station: &Station) -> Problem {
    owned::foreign(station, CONTAINER, "The model server was not started.")
}

#[async_trait]
impl Step<Services> for LaunchServer {
    fn plan(&self) -> StepPlan {
        let tokens = self.request.speculative_tokens;
        let mut exactly = vec![format!(
            "vllm serve --tensor-parallel-size {} --max-model-len {} --gpu-memory-utilization {} --host 127.0.0.1 --port {}{}",
            self.request.machines.len(),
            self.request.max_model_len,
            self.request.gpu_memory_utilization,
            self.request.api_port,
            if self.mtp {
                let draft = match self.request.mtp_way {
                    Some(MtpWay::Draft) => r#""model":"DRAFT","#,
                    _ => "",
                };
                format!(
                    r#" --speculative-config '{{"method":"mtp",{draft}"num_speculative_tokens":{tokens}}}'"#
                )
            } else {
                String::new()
            }
        )];
        if !self.request.engine_args.is_empty() {
            exactly.push(self.request.engine_args.join(" "));
        }
        exactly.insert(0, drop_caches::SHOWN.to_owned());
        let over = if self.request.machines.len() > 1 {
            "over both machines"
        } else {
            "on the machine"
        };
        StepPlan {
            id: Self::id(self.mtp),
            title: if self.mtp {
                "Serve with MTP"
            } else {
                "Serve plain"
            }
            .into(),
            will: if self.mtp {
                format!(
                    "Stops the plain server and starts it again {over} with MTP: {tokens} tokens drafted at a time."
                )
            } else {
                format!(
                    "Starts the model server {over}, first without MTP, so that a fault shows where it belongs. It is reached through SSH only."
                )
            },
            exactly,
            undo: "Stops and removes the container.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<Found, StepError> {
        let (_, receipt) = self.containers(cx, self.mtp)?;
        let standing = self.standing(cx).await?;
        for (station, state) in cx.stations.iter().zip(&standing) {
            if state.as_ref().is_some_and(|s| label(s).is_none()) {
                return Err(foreign(station).into());
            }
        }
        if self.serves(cx, &standing, &receipt.identity).await {
            return Ok(Found::AlreadyDone {
                found: "It serves already.".into(),
                receipt: value(&receipt),
            });
        }
        if !self.mtp && self.request.mtp {
            // The plain server makes way for the one with MTP; finding that one is finding this one done.
            let validated = cx
                .receipts
                .contains_key(&crate::step::validate::Validate::id(false));
            let (_, later) = self.containers(cx, true)?;
            let past = self.serves(cx, &standing, &later.identity).await;
            if validated || past {
                let receipt = LaunchReceipt {
                    superseded: true,
                    ..receipt
                };
                return Ok(Found::AlreadyDone {
                    found: "It was served before, and made way for the server with MTP.".into(),
                    receipt: value(&receipt),
                });
            }
        }
        Ok(Found::Needed { before: json!({}) })
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        let (specs, receipt) = self.containers(cx, self.mtp)?;
        self.clear(cx).await?;
        let FactsReceipt(facts) = cx.receipt()?;
        on_all(&cx.stations, |i, s| {
            Box::pin(drop_caches::let_go(cx, s, &facts[i]))
        })
        .await?;
        on_all(&cx.stations, |_, s| Box::pin(self.memory_back(cx, s))).await?;
        self.ports_free(&cx.stations[0]).await?;
        let result = match self.start(cx, &specs).await {
            Ok(()) => cx.unless_cancelled(self.ready(cx)).await,
            Err(e) => Err(e),
        };
        if let Err(error) = result {
            // Half a server holds memory and answers nobody. Its log has been read.
            if let Err(StepError::Problem(problem)) = self.clear(cx).await {
                cx.log(
                    problem.machine.as_deref(),
                    format!("Not removed yet: {problem}"),
                );
            }
            return Err(error);
        }
        Ok(value(&receipt))
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        if !self.lists_model(cx).await {
            return Err(
                Problem::new(Code::ServerAnswer, "The server does not offer the model.")
                    .cause(format!(
                        "Its list of models lacks `{}`.",
                        self.request.served_model_name
                    ))
                    .retry(Retry::Now)
                    .on(cx.stations[0].name.clone())
                    .into(),
            );
        }
        if self.mtp {
            // Arguments have been lost between shells before; the server's own words tell what it took.
            let head = &cx.stations[0];
            let log = head
                .containers
                .logs(CONTAINER, 4000)
                .await
                .unwrap_or_default();
            let args = log.iter().find(|l| l.contains("non-default args"));
            if args.is_some_and(|l| !l.contains("speculative_config")) {
                return Err(Problem::new(Code::MtpMissing, "The server runs without MTP.")
                    .cause("It started without a speculative configuration although one was given.")
                    .on(head.name.clone())
                    .into());
            }
        }
        Ok(format!(
            "The server answers as `{}`.",
            self.request.served_model_name
        ))
    }

    async fn undo(
        &self,
        cx: &StepContext,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        on_all(&cx.stations, |_, s| Box::pin(owned::remove(s, CONTAINER))).await?;
        Ok("The server is stopped and its container removed.".into())
    }
}
