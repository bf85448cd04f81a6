//! Step `graft`: the MTP layers, in the way that serves with this image and revision.

mod choose;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::graft::mtp_method::MtpMethod;
use crate::machine::Facts;
use crate::node::{FetchReceipt, GraftKind, GraftReceipt, GraftRequest, NodeWork};
use crate::problem::{Code, Problem, bytes};
use crate::recipe::plan::{GraftPlan, LaunchPlan};
use crate::run::{Receipt, Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::facts::FactsReceipt;
use crate::step::image::ImageReceipt;
use crate::step::machines::{failed_on, on_all};
use crate::step::services::{Services, StepContext};
use crate::step::stored::{stored, value};
use crate::step::weights::WeightsReceipt;
use crate::step::{ids, job};

/// What was grafted on each machine, head first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct GraftsReceipt(pub Vec<GraftReceipt>);

impl Receipt for GraftsReceipt {
    const STEP: &'static str = ids::GRAFT;
}

/// See the module.
pub(crate) struct GraftMtp {
    /// What is launched.
    pub launch: Arc<LaunchPlan>,
    /// Where the layers come from.
    pub graft: GraftPlan,
}

impl GraftMtp {
    /// An error unless every machine ended with the same bytes.
    fn same(receipts: &[GraftReceipt]) -> Result<(), StepError> {
        let first = &receipts[0];
        if receipts
            .iter()
            .all(|r| r.kind == first.kind && r.written == first.written)
        {
            return Ok(());
        }
        Err(Problem::new(
            Code::ResultsDiffer,
            "The graft came out differently on the two machines.",
        )
        .cause("The files' hashes do not agree.")
        .fix("Undo this run and start it again.")
        .into())
    }
}

#[async_trait]
impl Step<Services> for GraftMtp {
    fn plan(&self) -> StepPlan {
        let donor = &self.graft.donor;
        let will = match self.graft.way {
            None => {
                "Looks which vLLM the image has and whether the weights have the MTP layers (which draft several tokens at a time), and takes the way that serves. What is missing is fetched, about 5 GB, and put beside the original. The original stays as it is."
            }
            Some(MtpMethod::BuiltIn) => {
                "Looks whether the weights have the MTP layers (which draft several tokens at a time) and whether the vLLM of the image reads them. Nothing is fetched."
            }
            Some(MtpMethod::Overlay) => {
                "Looks whether the weights already have the MTP layers (which draft several tokens at a time). If not, fetches just those, about 5 GB, and writes a checkpoint beside the original. The original stays as it is."
            }
            Some(MtpMethod::Draft) => {
                "Fetches the MTP layers (which draft several tokens at a time) and the embedding, about 6 GB, as a draft of its own beside the original. The original stays as it is."
            }
        };
        let mut exactly = vec![format!(
            "from {}/{} at {}",
            self.launch.hub_endpoint, donor.repo, donor.revision
        )];
        exactly.push(format!(
            "docker run --name {} {} sh  (reads, and is removed)",
            choose::LOOKER,
            self.launch.image.name
        ));
        StepPlan {
            id: StepId::from(ids::GRAFT),
            title: "MTP layers".into(),
            will: will.into(),
            exactly,
            undo: "Removes what was put beside the original.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let WeightsReceipt(fetched) = cx.receipt()?;
        let folders = self.folders(cx, &fetched)?;
        let needed = StepCheck::Needed {
            before: value(&folders),
        };
        // What is there is read on the machines: the note of the choice, and by the job itself, which
        // finds what it made by the hashes in its manifest and writes nothing.
        if let Some(receipt) = cx.receipts.get(&cx.step) {
            let GraftsReceipt(receipts) = stored(receipt)?;
            let mut standing = true;
            for (machine, receipt) in cx.machines.iter().zip(&receipts) {
                let path = format!("{}/config.json", receipt.path);
                let there = crate::step::machines::exists(&*machine.shell, &path).await;
                standing &= there.map_err(failed_on(machine))?;
                if let Some(patch) = &receipt.patch {
                    standing &= choose::is_whole(machine, patch).await?;
                }
            }
            if standing {
                return Ok(StepCheck::AlreadyDone {
                    found: sentence(&receipts[0]),
                    receipt: value(&GraftsReceipt(receipts)),
                });
            }
        }
        let folders = &folders;
        let notes = on_all(&cx.machines, |i, machine| {
            Box::pin(choose::kept(machine, &folders[i]))
        })
        .await?;
        let notes: Vec<choose::Note> = notes.into_iter().flatten().collect();
        if notes.len() < cx.machines.len() || notes.iter().any(|n| n.way != notes[0].way) {
            return Ok(needed);
        }
        let looked: Vec<Option<GraftReceipt>> = on_all(&cx.machines, |i, machine| {
            let work = NodeWork::Graft(self.order(fetched[i].first.commit.clone(), notes[i].way));
            Box::pin(async move {
                let request = crate::node::NodeRequest { token: None, work };
                let request = serde_json::to_vec(&request).expect("a request is plain data");
                let command =
                    crate::ports::Command::new(crate::node::PROGRAM, ["grafted"]).stdin(request);
                let what = "The checkpoint was not looked at.";
                let output =
                    crate::step::machines::must(machine, &command, Code::NodeProgram, what).await?;
                serde_json::from_slice(&output.stdout).map_err(|e| {
                    Problem::new(Code::NodeProgram, what)
                        .cause(format!("{e}."))
                        .on(machine.name.clone())
                        .into()
                })
            })
        })
        .await?;
        let mut found: Vec<GraftReceipt> = looked.into_iter().flatten().collect();
        if found.len() < notes.len() {
            return Ok(needed);
        }
        for (receipt, note) in found.iter_mut().zip(notes) {
            receipt.patch = note.patch;
        }
        Self::same(&found)?;
        Ok(StepCheck::AlreadyDone {
            found: sentence(&found[0]),
            receipt: value(&GraftsReceipt(found)),
        })
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        let WeightsReceipt(fetched) = cx.receipt()?;
        let folders = self.folders(cx, &fetched)?;
        let choice =
            choose::choose(cx, &self.launch, self.graft.way, &fetched[0].first.snapshot).await?;
        let receipts: Vec<GraftReceipt> = on_all(&cx.machines, |i, machine| {
            let order = self.order(fetched[i].first.commit.clone(), choice.way);
            let (folder, choice) = (&folders[i], &choice);
            Box::pin(async move {
                let mut receipt: GraftReceipt =
                    job::run(cx, machine, NodeWork::Graft(order)).await?;
                receipt.patch = choose::keep(machine, folder, choice).await?.patch;
                Ok(receipt)
            })
        })
        .await?;
        Self::same(&receipts)?;
        Ok(value(&GraftsReceipt(receipts)))
    }

    async fn verify(&self, cx: &StepContext, receipt: &Value) -> Result<String, StepError> {
        let GraftsReceipt(receipts) = stored(receipt)?;
        for (machine, receipt) in cx.machines.iter().zip(&receipts) {
            if let Some(patch) = &receipt.patch
                && !choose::is_whole(machine, patch).await?
            {
                return Err(Problem::new(
                    Code::HashMismatch,
                    "The changed file of vLLM is not whole.",
                )
                .cause(format!("`{}` has another content.", patch.source))
                .fix("Undo this step and run it again.")
                .on(machine.name.clone())
                .into());
            }
            let path = format!("{}/model.safetensors.index.json", receipt.path);
            let index = machine
                .shell
                .read(&path, false)
                .await
                .map_err(failed_on(machine))?;
            let index: Option<Value> = index.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let map = index.as_ref().and_then(|i| i["weight_map"].as_object());
            let config = format!("{}/config.json", receipt.path);
            let config = machine
                .shell
                .read(&config, false)
                .await
                .map_err(failed_on(machine))?;
            let config: Value = config
                .and_then(|c| serde_json::from_slice(&c).ok())
                .unwrap_or_default();
            let first =
                crate::checkpoint::config::layers(&config).map_or(u32::MAX, |l| l.hidden_layers);
            let is_mtp =
                |key: &&String| crate::checkpoint::index::layer(key).is_some_and(|l| l >= first);
            let named = map.map_or(0, |m| m.keys().filter(is_mtp).count());
            if named != receipt.tensors as usize {
                return Err(Problem::new(
                    Code::MtpMissing,
                    "The checkpoint does not have all MTP tensors.",
                )
                .cause(format!("Its index names {named} of {}.", receipt.tensors))
                .fix("Undo this step and run it again.")
                .on(machine.name.clone())
                .into());
            }
        }
        Ok(sentence(&receipts[0]))
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        let folders: Vec<String> = stored(before).unwrap_or_default();
        let folders = &folders;
        let undone = on_all(&cx.machines, |i, machine| {
            Box::pin(async move {
                crate::step::owned::remove(machine, choose::LOOKER).await?;
                if let Some(folder) = folders.get(i) {
                    choose::forget(machine, folder).await?;
                }
                job::undo(cx, machine).await
            })
        })
        .await?;
        let freed: u64 = undone.iter().map(|u| u.bytes).sum();
        Ok(format!(
            "What was put beside the original is gone, {}.",
            bytes(freed)
        ))
    }
}

impl GraftMtp {
    fn order(&self, commit: String, way: MtpMethod) -> GraftRequest {
        GraftRequest {
            endpoint: self.launch.hub_endpoint.clone(),
            repo: self.launch.served().repo.clone(),
            commit,
            source_repo: self.graft.donor.repo.clone(),
            source_revision: self.graft.donor.revision.clone(),
            hf_home: None,
            way,
            draft_repo: self.graft.published_draft.clone(),
        }
    }

    /// The folder of the choice on each machine.
    fn folders(
        &self,
        cx: &StepContext,
        fetched: &[FetchReceipt],
    ) -> Result<Vec<String>, StepError> {
        let FactsReceipt(facts) = cx.receipt()?;
        let ImageReceipt(image) = cx.receipt()?;
        let of = |(facts, fetched): (&Facts, &FetchReceipt)| {
            let asked = self.graft.way;
            choose::folder(&facts.hf_home, &image.id, &fetched.first.commit, asked)
        };
        Ok(facts.iter().zip(fetched).map(of).collect())
    }
}

fn sentence(receipt: &GraftReceipt) -> String {
    let mut said = match receipt.kind {
        GraftKind::BuiltIn => format!(
            "The weights already have all {} MTP tensors; nothing was grafted.",
            receipt.tensors
        ),
        GraftKind::Overlay => format!(
            "{} MTP tensors, {}, stand beside the original, the same on every machine.",
            receipt.tensors,
            bytes(receipt.tensor_bytes)
        ),
        GraftKind::Draft => format!(
            "A draft of {} MTP tensors and the embedding, {}, stands beside the original, the same on every machine.",
            receipt.tensors,
            bytes(receipt.tensor_bytes)
        ),
    };
    if let Some(patch) = &receipt.patch {
        said.push_str(&format!(
            " One file of the image's vLLM is replaced from outside: it {}.",
            patch.kind.purpose()
        ));
    }
    said
}
