//! Step `graft`: the MTP layers beside the snapshot, where the revision lacks them.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::node::{FetchReceipt, GraftKind, GraftReceipt, GraftRequest, NodeWork};
use crate::problem::{Code, Problem, bytes};
use crate::recipe::SetupRequest;
use crate::recipe::both::{on_all, stored, value};
use crate::recipe::job;
use crate::run::{Found, Step, StepContext, StepError, StepId, StepPlan};

/// See the module.
pub(super) struct GraftMtp {
    /// What was chosen.
    pub request: SetupRequest,
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
impl Step for GraftMtp {
    fn plan(&self) -> StepPlan {
        let r = &self.request;
        StepPlan {
            id: StepId("graft".into()),
            title: "MTP layers".into(),
            will: "Looks whether the weights already have the MTP layers (which draft several tokens at a time). If not, fetches just those, about 5 GB, and writes a checkpoint beside the original. The original stays as it is.".into(),
            exactly: vec![format!("from {}/{} at {}", r.hub_endpoint, r.source_repo, r.source_revision)],
            undo: "Removes the checkpoint beside the original.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<Found, StepError> {
        // Whether there is anything to do is read from the index on the machines, by the job itself,
        // which finds a finished graft by the hashes in its manifest and then writes nothing.
        if let Some(receipt) = cx.receipts.get(&cx.step) {
            let receipts: Vec<GraftReceipt> = stored(receipt)?;
            let mut standing = true;
            for (station, receipt) in cx.stations.iter().zip(&receipts) {
                let path = format!("{}/config.json", receipt.path);
                let there = super::both::exists(&*station.machine, &path).await;
                standing &= there.map_err(|e| e.problem(&station.name))?;
            }
            if standing {
                return Ok(Found::AlreadyDone {
                    found: sentence(&receipts[0]),
                    receipt: value(&receipts),
                });
            }
        }
        let fetched: Vec<FetchReceipt> = cx.receipt("weights")?;
        let looked: Vec<Option<GraftReceipt>> = on_all(&cx.stations, |i, station| {
            let commit = fetched[i].commit.clone();
            let work = crate::node::NodeWork::Graft(self.order(commit));
            Box::pin(async move {
                let request = crate::node::NodeRequest { token: None, work };
                let request = serde_json::to_vec(&request).expect("a request is plain data");
                let command =
                    crate::ports::Command::new(crate::node::PROGRAM, ["grafted"]).stdin(request);
                let what = "The checkpoint was not looked at.";
                let output = super::both::must(station, &command, Code::NodeProgram, what).await?;
                serde_json::from_slice(&output.stdout).map_err(|e| {
                    Problem::new(Code::NodeProgram, what)
                        .cause(format!("{e}."))
                        .on(station.name.clone())
                        .into()
                })
            })
        })
        .await?;
        let found: Vec<GraftReceipt> = looked.iter().flatten().cloned().collect();
        if found.len() == looked.len() {
            Self::same(&found)?;
            return Ok(Found::AlreadyDone {
                found: sentence(&found[0]),
                receipt: value(&found),
            });
        }
        Ok(Found::Needed { before: json!({}) })
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        let fetched: Vec<FetchReceipt> = cx.receipt("weights")?;
        let receipts: Vec<GraftReceipt> = on_all(&cx.stations, |i, station| {
            let work = NodeWork::Graft(self.order(fetched[i].commit.clone()));
            Box::pin(job::run(cx, station, work))
        })
        .await?;
        Self::same(&receipts)?;
        Ok(value(&receipts))
    }

    async fn verify(&self, cx: &StepContext, receipt: &Value) -> Result<String, StepError> {
        let receipts: Vec<GraftReceipt> = stored(receipt)?;
        for (station, receipt) in cx.stations.iter().zip(&receipts) {
            let path = format!("{}/model.safetensors.index.json", receipt.path);
            let index = station
                .machine
                .read(&path, false)
                .await
                .map_err(|e| e.problem(&station.name))?;
            let index: Option<Value> = index.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let map = index.as_ref().and_then(|i| i["weight_map"].as_object());
            let config = format!("{}/config.json", receipt.path);
            let config = station
                .machine
                .read(&config, false)
                .await
                .map_err(|e| e.problem(&station.name))?;
            let config: Value = config
                .and_then(|c| serde_json::from_slice(&c).ok())
                .unwrap_or_default();
            let first = crate::graft::config::layers(&config).map_or(u32::MAX, |l| l.hidden_layers);
            let is_mtp =
                |key: &&String| crate::graft::index::layer(key).is_some_and(|l| l >= first);
            let named = map.map_or(0, |m| m.keys().filter(is_mtp).count());
            if named != receipt.tensors as usize {
                return Err(Problem::new(
                    Code::MtpMissing,
                    "The checkpoint does not have all MTP tensors.",
                )
                .cause(format!("Its index names {named} of {}.", receipt.tensors))
                .fix("Undo this step and run it again.")
                .on(station.name.clone())
                .into());
            }
        }
        Ok(sentence(&receipts[0]))
    }

    async fn undo(
        &self,
        cx: &StepContext,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        let undone = on_all(&cx.stations, |_, s| Box::pin(job::undo(cx, s))).await?;
        let freed: u64 = undone.iter().map(|u| u.bytes).sum();
        Ok(format!(
            "The checkpoint beside the original is gone, {}.",
            bytes(freed)
        ))
    }
}

impl GraftMtp {
    fn order(&self, commit: String) -> GraftRequest {
        GraftRequest {
            endpoint: self.request.hub_endpoint.clone(),
            repo: self.request.repo.clone(),
            commit,
            source_repo: self.request.source_repo.clone(),
            source_revision: self.request.source_revision.clone(),
            hf_home: None,
        }
    }
}

fn sentence(receipt: &GraftReceipt) -> String {
    match receipt.kind {
        GraftKind::BuiltIn => format!(
            "The weights already have all {} MTP tensors; nothing was grafted.",
            receipt.tensors
        ),
        GraftKind::Overlay => format!(
            "{} MTP tensors, {}, stand beside the original, the same on every machine.",
            receipt.tensors,
            bytes(receipt.tensor_bytes)
        ),
    }
}
