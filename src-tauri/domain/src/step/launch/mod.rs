//! Steps `launch-…`: the server over all machines, once for each variant of the plan.

mod rendezvous;
mod standing;
#[cfg(test)]
mod tests;
mod wait;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::ArtifactRole;
use crate::container::command::as_command;
use crate::container::{ContainerSpec, ContainerState, SERVER, fabric};
use crate::engine;
use crate::engine::{Engine, OnDisk};
use crate::node::FetchReceipt;
use crate::ports::{Command, MachineServices};
use crate::problem::{Code, Problem, Retry};
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{Variant, VariantId};
use crate::run::{Step, StepCheck, StepError, StepPlan};
use crate::step::facts::FactsReceipt;
use crate::step::graft::GraftsReceipt;
use crate::step::ids;
use crate::step::image::ImageReceipt;
use crate::step::machines::{failed_on, on_all};
use crate::step::owned::label;
use crate::step::services::{Services, StepContext};
use crate::step::stored::{stored, value};
use crate::step::weights::WeightsReceipt;
use crate::step::{firewall, owned, page_cache};

pub use standing::fallen;

/// What did not happen where a launch cannot begin.
const NOT_STARTED: &str = "The model server was not started.";

/// See the module.
pub struct LaunchServer {
    /// What is launched.
    pub launch: Arc<LaunchPlan>,
    /// Which of the plan's variants.
    pub variant: VariantId,
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

/// What is noted before a launch.
#[derive(Debug, Serialize, Deserialize)]
struct LaunchBefore {
    /// See [`LaunchReceipt::identity`].
    #[serde(default)]
    identity: Option<String>,
}

impl LaunchServer {
    fn engine(&self) -> &'static dyn Engine {
        engine::of(self.launch.engine)
    }

    /// This step's variant.
    fn own(&self) -> Result<&Variant, StepError> {
        self.launch.variant(&self.variant).ok_or_else(|| {
            Problem::new(Code::Broken, NOT_STARTED)
                .cause(format!("The plan has no variant `{}`.", self.variant))
                .into()
        })
    }

    async fn containers(
        &self,
        cx: &StepContext,
        variant: &Variant,
    ) -> Result<(Vec<ContainerSpec>, LaunchReceipt), StepError> {
        let FactsReceipt(facts) = cx.receipt()?;
        let ImageReceipt(image) = cx.receipt()?;
        let WeightsReceipt(fetched) = cx.receipt()?;
        let GraftsReceipt(grafts) = match &self.launch.graft {
            Some(_) if variant.drafting.is_some() => cx.receipt()?,
            _ => GraftsReceipt::default(),
        };
        let mut specs = Vec::new();
        let ranks = facts.iter().zip(&fetched).zip(&cx.machines);
        for (rank, ((facts, fetched), machine)) in ranks.enumerate() {
            let found = OnDisk {
                facts,
                snapshot: &fetched.first.snapshot,
                draft: self.launch.snapshot_of(ArtifactRole::Draft, fetched),
                tokenizer: self.launch.snapshot_of(ArtifactRole::Tokenizer, fetched),
                graft: grafts.get(rank),
                shared_store: shared_store(machine, fetched).await?,
            };
            let spec = self
                .engine()
                .container(&self.launch, variant, rank, &found)?;
            specs.push(spec);
        }
        let identity = fabric::label(&mut specs, &image.id);
        let receipt = LaunchReceipt {
            identity,
            image_id: image.id,
            api_port: self.launch.api_port,
            model: self.launch.served_name.clone(),
            speculative_tokens: variant.speculative_tokens(),
            superseded: false,
        };
        Ok((specs, receipt))
    }

    async fn states(&self, cx: &StepContext) -> Result<Vec<Option<ContainerState>>, StepError> {
        on_all(&cx.machines, |_, s| Box::pin(owned::find(s, SERVER))).await
    }

    /// Whether all machines run this launch and the API lists the model.
    async fn serves(
        &self,
        cx: &StepContext,
        states: &[Option<ContainerState>],
        identity: &str,
    ) -> bool {
        let all_run = states.iter().all(|state| {
            state
                .as_ref()
                .is_some_and(|s| s.running && label(s) == Some(identity))
        });
        all_run && self.lists_model(cx).await
    }

    /// Whether the API lists the model and says that it can answer: llama.cpp's server lists what it still loads.
    async fn lists_model(&self, cx: &StepContext) -> bool {
        let api = cx.machines[0].tunnels.api(self.launch.api_port);
        if api.health().await.is_err() {
            return false;
        }
        let models = api.models().await;
        models.is_ok_and(|m| m.iter().any(|m| m.id == self.launch.served_name))
    }

    /// Removes our own container on every machine; another's is a problem and stays.
    async fn clear(&self, cx: &StepContext) -> Result<(), StepError> {
        on_all(&cx.machines, |_, s| {
            Box::pin(owned::clear(s, SERVER, NOT_STARTED))
        })
        .await
        .map(|_| ())
    }

    async fn start(&self, cx: &StepContext, specs: &[ContainerSpec]) -> Result<(), StepError> {
        // The second rank first: it waits for the head, and a head that is up early serves nothing.
        for (rank, (machine, spec)) in cx.machines.iter().zip(specs).enumerate().rev() {
            cx.safe_point()?;
            cx.log(Some(&machine.name), as_command(spec));
            let started = firewall::start(cx, machine, &self.launch, rank, spec).await?;
            started.map_err(|e| e.problem(&machine.name, &machine.user))?;
        }
        Ok(())
    }
}

/// Prints the first blob of these repositories that is a link.
const FIND_LINK: &str =
    r#"for d; do find "${d%/snapshots/*}/blobs" -maxdepth 1 -type l 2>/dev/null; done | head -n 1"#;

/// Whether blobs of what was fetched are links into the store that all repositories share.
async fn shared_store(
    machine: &MachineServices,
    fetched: &FetchReceipt,
) -> Result<bool, StepError> {
    let all = std::iter::once(&fetched.first).chain(&fetched.others);
    let snapshots = all.map(|there| there.snapshot.clone());
    let words = ["-c", FIND_LINK, "sh"].map(str::to_owned);
    let find = Command::new("sh", words.into_iter().chain(snapshots));
    let found = machine.shell.exec(&find).await;
    Ok(!found.map_err(failed_on(machine))?.text().trim().is_empty())
}

/// What a first server is without.
fn first_words(tokens: Option<u32>, label: &str) -> String {
    match tokens {
        None => "without drafting".into(),
        Some(_) => format!("with {label}"),
    }
}

#[async_trait]
impl Step<Services> for LaunchServer {
    fn plan(&self) -> StepPlan {
        let variant = self.launch.variant(&self.variant);
        let command = variant.map(|v| self.engine().shown(&self.launch, v));
        let mut exactly = vec![page_cache::SHOWN.to_owned()];
        exactly.extend(command);
        let over = if self.launch.ranks > 1 {
            "over both machines"
        } else {
            "on the machine"
        };
        let first = self.launch.variants.first();
        let label = variant.map_or(self.variant.0.as_str(), |v| v.label.as_str());
        let tokens = variant.and_then(Variant::speculative_tokens);
        let is_first = first.is_some_and(|f| f.id == self.variant);
        StepPlan {
            id: ids::launch(&self.variant),
            title: match tokens {
                None => format!("Serve {}", label.to_lowercase()),
                Some(_) => format!("Serve with {label}"),
            },
            will: match (is_first, tokens) {
                (true, _) => format!(
                    "Starts the model server {over}, first {}, so that a fault shows where it belongs. It is reached through SSH only.",
                    first_words(tokens, label)
                ),
                (false, None) => format!("Stops the server and starts it again {over}: {label}."),
                (false, Some(tokens)) => format!(
                    "Stops the plain server and starts it again {over} with {label}: {tokens} tokens drafted at a time."
                ),
            },
            exactly,
            undo: "Stops and removes the container that this run started.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let own = self.own()?;
        let (_, receipt) = self.containers(cx, own).await?;
        let states = self.states(cx).await?;
        for (machine, state) in cx.machines.iter().zip(&states) {
            if state.as_ref().is_some_and(|s| label(s).is_none()) {
                return Err(owned::foreign(machine, SERVER, NOT_STARTED).into());
            }
        }
        if self.serves(cx, &states, &receipt.identity).await {
            return Ok(StepCheck::AlreadyDone {
                found: "It serves already.".into(),
                receipt: value(&receipt),
            });
        }
        for later in self.launch.after(&self.variant) {
            // This server makes way for the later one; finding that one is finding this one done.
            let validated = cx.receipts.contains_key(&ids::validate(&self.variant));
            let (_, later_receipt) = self.containers(cx, later).await?;
            let past = self.serves(cx, &states, &later_receipt.identity).await;
            if validated || past {
                let receipt = LaunchReceipt {
                    superseded: true,
                    ..receipt
                };
                return Ok(StepCheck::AlreadyDone {
                    found: format!(
                        "It was served before, and made way for the server with {}.",
                        later.label
                    ),
                    receipt: value(&receipt),
                });
            }
        }
        Ok(StepCheck::Needed {
            before: value(&LaunchBefore {
                identity: Some(receipt.identity),
            }),
        })
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        let (specs, receipt) = self.containers(cx, self.own()?).await?;
        self.clear(cx).await?;
        let FactsReceipt(facts) = cx.receipt()?;
        on_all(&cx.machines, |i, s| {
            Box::pin(page_cache::let_go(cx, s, &facts[i]))
        })
        .await?;
        on_all(&cx.machines, |_, s| Box::pin(self.memory_back(cx, s))).await?;
        self.ports_free(&cx.machines[0]).await?;
        let result = match self.start(cx, &specs).await {
            Ok(()) => cx.unless_cancelled(self.ready(cx)).await,
            Err(e) => Err(e),
        };
        if let Err(error) = result {
            // Half a server holds memory and answers nobody. Its log has been read.
            if let Some(problem) = self.clear(cx).await.err().and_then(StepError::into_problem) {
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
                        self.launch.served_name
                    ))
                    .retry(Retry::Now)
                    .on(cx.machines[0].name.clone())
                    .into(),
            );
        }
        if self.own()?.drafting.is_some() {
            // Arguments have been lost between shells before; the server's own words tell what it took.
            let head = &cx.machines[0];
            let log = head.containers.logs(SERVER, 4000).await.unwrap_or_default();
            if self.engine().drafts(&log) == Some(false) {
                return Err(Problem::new(
                    Code::MtpMissing,
                    "The server runs without drafting.",
                )
                .cause("It started without a speculative configuration although one was given.")
                .on(head.name.clone())
                .into());
            }
        }
        Ok(format!(
            "The server answers as `{}`.",
            self.launch.served_name
        ))
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        receipt: Option<&Value>,
    ) -> Result<String, StepError> {
        let noted = match receipt {
            Some(receipt) => Some(stored::<LaunchReceipt>(receipt)?.identity),
            None => stored::<LaunchBefore>(before)?.identity,
        };
        let identity = match noted {
            Some(identity) => identity,
            // An earlier Tandem noted it only at the end.
            None => self.containers(cx, self.own()?).await?.1.identity,
        };
        let identity = &identity;
        let others = on_all(&cx.machines, |_, s| {
            Box::pin(owned::remove_if(s, SERVER, identity))
        })
        .await?;
        Ok(if others.contains(&true) {
            "This run's server was gone; the one of another run stays.".into()
        } else {
            "The server is stopped and its container removed.".into()
        })
    }
}
