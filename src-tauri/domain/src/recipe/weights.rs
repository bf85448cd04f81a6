//! Step `weights`: the checkpoint in every machine's Hugging Face cache.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::node::{FetchReceipt, FetchRequest, NodeWork, VerifyReceipt, VerifyRequest};
use crate::ports::Station;
use crate::problem::{Code, Problem, bytes};
use crate::recipe::SetupRequest;
use crate::recipe::both::{on_all, stored, value};
use crate::recipe::job;
use crate::run::{Found, Step, StepContext, StepError, StepId, StepPlan};

/// See the module.
pub(super) struct FetchWeights {
    /// What was chosen.
    pub request: SetupRequest,
}

impl FetchWeights {
    async fn verify_on(
        &self,
        cx: &StepContext,
        station: &Station,
        revision: &str,
    ) -> Result<VerifyReceipt, StepError> {
        let work = NodeWork::Verify(VerifyRequest {
            endpoint: self.request.hub_endpoint.clone(),
            repo: self.request.repo.clone(),
            commit: revision.to_owned(),
            hf_home: None,
            deep: false,
        });
        job::foreground(cx, station, work).await
    }
}

#[async_trait]
impl Step for FetchWeights {
    fn plan(&self) -> StepPlan {
        let r = &self.request;
        StepPlan {
            id: StepId("weights".into()),
            title: "Weights".into(),
            will: format!(
                "Fetches `{}` into the Hugging Face cache of every machine and checks every file's hash. It goes on by itself if the connection or a machine goes away.",
                r.repo
            ),
            exactly: vec![format!("{}/{} at {}", r.hub_endpoint, r.repo, r.revision)],
            undo: "Removes the files this step brought, and no others.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<Found, StepError> {
        let looked = on_all(&cx.stations, |_, station| {
            Box::pin(self.verify_on(cx, station, &self.request.revision))
        })
        .await?;
        if !looked.iter().all(|v| v.faults.is_empty()) {
            return Ok(Found::Needed { before: json!({}) });
        }
        let receipts: Vec<FetchReceipt> = looked
            .into_iter()
            .map(|v| FetchReceipt {
                commit: v.commit,
                snapshot: v.snapshot,
                files: v.files,
                bytes: v.bytes,
                fetched: 0,
                made: Vec::new(),
            })
            .collect();
        Ok(Found::AlreadyDone {
            found: format!(
                "All {} files are there, {}.",
                receipts[0].files,
                bytes(receipts[0].bytes)
            ),
            receipt: value(&receipts),
        })
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        let receipts: Vec<FetchReceipt> = on_all(&cx.stations, |_, station| {
            let work = NodeWork::Fetch(FetchRequest {
                endpoint: self.request.hub_endpoint.clone(),
                repo: self.request.repo.clone(),
                revision: self.request.revision.clone(),
                hf_home: None,
                connections: 8,
                limits: Default::default(),
                proxy: None,
            });
            Box::pin(job::run(cx, station, work))
        })
        .await?;
        let first = &receipts[0];
        if receipts.iter().any(|r| r.commit != first.commit) {
            return Err(Problem::new(
                Code::ResultsDiffer,
                "The machines fetched different commits.",
            )
            .cause(format!(
                "`{}` moved on the Hub while it was fetched.",
                self.request.revision
            ))
            .fix("Resume; the older one is fetched again.")
            .into());
        }
        Ok(value(&receipts))
    }

    async fn verify(&self, cx: &StepContext, receipt: &Value) -> Result<String, StepError> {
        let receipts: Vec<FetchReceipt> = stored(receipt)?;
        let commit = receipts
            .first()
            .map(|r| r.commit.clone())
            .unwrap_or_default();
        let commit = &commit;
        let looked = on_all(&cx.stations, |_, s| Box::pin(self.verify_on(cx, s, commit))).await?;
        for (station, looked) in cx.stations.iter().zip(&looked) {
            if let Some(fault) = looked.faults.first() {
                return Err(Problem::new(
                    Code::CheckpointIncomplete,
                    "The weights are not complete.",
                )
                .cause(format!("`{}`: {}", fault.name, fault.fault))
                .fix("Resume; what is missing is fetched again.")
                .on(station.name.clone())
                .into());
            }
        }
        let files = receipts.first().map_or(0, |r| r.files);
        let size = receipts.first().map_or(0, |r| r.bytes);
        Ok(format!(
            "{files} files, {}, complete on every machine.",
            bytes(size)
        ))
    }

    async fn undo(
        &self,
        cx: &StepContext,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        let undone = on_all(&cx.stations, |_, s| Box::pin(job::undo(cx, s))).await?;
        let freed: u64 = undone.iter().map(|u| u.bytes).sum();
        Ok(format!("{} of weights removed.", bytes(freed)))
    }
}
