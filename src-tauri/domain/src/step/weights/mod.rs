//! Step `weights`: the checkpoint in every machine's Hugging Face cache, over the line once where a private
//! link can carry it on, by one machine or by each its share.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use source::{WeightsInputs, WeightsSource, choose, is_open};

use crate::node::{
    FetchLimits, FetchReceipt, FetchRequest, NodeWork, VerifyReceipt, VerifyRequest,
};
use crate::ports::MachineServices;
use crate::problem::{Code, Problem, bytes};
use crate::recipe::plan::LaunchPlan;
use crate::run::{Receipt, Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::link_test::LinkTestReceipt;
use crate::step::machines::on_all;
use crate::step::services::{Services, StepContext};
use crate::step::stored::{stored, value};
use crate::step::{ids, job, serve_copy};

mod cable;
mod measure;
mod source;
#[cfg(test)]
mod tests;
mod uplink;

/// Ranges fetched at once.
const CONNECTIONS: u16 = 8;

/// What was there before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct WeightsBefore {
    /// For each machine whether it had everything.
    #[serde(default)]
    complete: Vec<bool>,
}

/// What came to each machine, head first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct WeightsReceipt(pub Vec<FetchReceipt>);

impl Receipt for WeightsReceipt {
    const STEP: &'static str = ids::WEIGHTS;
}

/// See the module.
pub(crate) struct FetchWeights {
    /// What is launched.
    pub launch: Arc<LaunchPlan>,
}

impl FetchWeights {
    /// What every machine is to have in the end.
    fn fetch(&self) -> FetchRequest {
        FetchRequest {
            endpoint: self.launch.hub_endpoint.clone(),
            repo: self.launch.served().repo.clone(),
            revision: self.launch.served().revision.clone(),
            hf_home: None,
            connections: CONNECTIONS,
            limits: self.launch.download.clone(),
            proxy: None,
        }
    }

    /// What the download is held to now.
    fn limits(&self, cx: &StepContext) -> FetchLimits {
        let planned = || self.launch.download.clone();
        cx.services.download.now().unwrap_or_else(planned)
    }

    /// The source, after a measurement of a few seconds where that may change it.
    async fn source(
        &self,
        cx: &StepContext,
        before: &WeightsBefore,
        begun: &[Option<NodeWork>],
    ) -> Result<WeightsSource, StepError> {
        let proven = cx.receipt::<LinkTestReceipt>().ok();
        let mut known = WeightsInputs {
            names: cx.stations.iter().map(|s| s.name.as_str()).collect(),
            network: self.launch.network.as_ref(),
            measured: proven.as_ref().map(|p| &p.report.verdict),
            complete: &before.complete,
            begun,
            line: None,
            allowed: self.limits(cx).bytes_per_second,
        };
        let source = choose(&known);
        if !is_open(&source, &known) {
            return Ok(source);
        }
        let line = self.line(cx).await?;
        known.line = line.as_ref();
        Ok(choose(&known))
    }

    /// WeightsBefore anything was looked at it is known whether there is a link at all.
    fn words(&self) -> (String, Vec<String>) {
        let served = self.launch.served();
        let from = format!(
            "{}/{} at {}",
            self.launch.hub_endpoint, served.repo, served.revision
        );
        if !self.launch.is_linked() {
            let will = format!(
                "Fetches `{}` into the Hugging Face cache of every machine and checks every file's hash. It goes on by itself if the connection or a machine goes away.",
                served.repo
            );
            return (will, vec![from]);
        }
        let will = format!(
            "Fetches `{}` once over your line, into the head or not at all where a machine has it, and checks every file's hash. Finished files cross the private link meanwhile, so two machines take about as long as one. Where a short measurement shows that both get more from the Hub than one alone, each fetches its share. It goes on by itself if the connection or a machine goes away.",
            served.repo
        );
        let mut exactly = vec![from];
        let given = (0..self.launch.ranks)
            .map(|machine| serve_copy::shown(&self.serve_words(machine, None)));
        exactly.extend(given);
        exactly.push(measure::WORDS.to_owned());
        (will, exactly)
    }

    async fn verify_on(
        &self,
        cx: &StepContext,
        station: &MachineServices,
        revision: &str,
    ) -> Result<VerifyReceipt, StepError> {
        let work = NodeWork::Verify(VerifyRequest {
            endpoint: self.launch.hub_endpoint.clone(),
            repo: self.launch.served().repo.clone(),
            commit: revision.to_owned(),
            hf_home: None,
            deep: false,
        });
        job::foreground(cx, station, work).await
    }
}

#[async_trait]
impl Step<Services> for FetchWeights {
    fn plan(&self) -> StepPlan {
        let (will, exactly) = self.words();
        StepPlan {
            id: StepId::from(ids::WEIGHTS),
            title: "Weights".into(),
            will,
            exactly,
            undo: "Removes the files this step brought, and no others.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let looked = on_all(&cx.stations, |_, station| {
            Box::pin(self.verify_on(cx, station, &self.launch.served().revision))
        })
        .await?;
        let complete: Vec<bool> = looked.iter().map(|v| v.faults.is_empty()).collect();
        if complete.contains(&false) {
            return Ok(StepCheck::Needed {
                before: value(&WeightsBefore { complete }),
            });
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
        Ok(StepCheck::AlreadyDone {
            found: format!(
                "All {} files are there, {}.",
                receipts[0].files,
                bytes(receipts[0].bytes)
            ),
            receipt: value(&WeightsReceipt(receipts)),
        })
    }

    async fn apply(&self, cx: &StepContext, before: &Value) -> Result<Value, StepError> {
        let begun: Vec<Option<NodeWork>> = on_all(&cx.stations, |_, station| {
            Box::pin(async { Ok(job::asked(cx, station).await) })
        })
        .await?;
        let source = self.source(cx, &stored(before)?, &begun).await?;
        cx.log(None, source.why());
        let receipts: Vec<FetchReceipt> = match source {
            WeightsSource::OnceThenCable { from, .. } => self.once(cx, from, &begun).await?,
            WeightsSource::Halves { parts, .. } => self.halves(cx, &parts, &begun).await?,
            WeightsSource::EachFromHub { .. } => {
                on_all(&cx.stations, |_, station| {
                    Box::pin(async {
                        Ok(job::run(cx, station, NodeWork::Fetch(self.fetch())).await?)
                    })
                })
                .await?
            }
        };
        let first = &receipts[0];
        if receipts.iter().any(|r| r.commit != first.commit) {
            return Err(Problem::new(
                Code::ResultsDiffer,
                "The machines fetched different commits.",
            )
            .cause(format!(
                "`{}` moved on the Hub while it was fetched.",
                self.launch.served().revision
            ))
            .fix("Resume; the older one is fetched again.")
            .into());
        }
        Ok(value(&WeightsReceipt(receipts)))
    }

    async fn verify(&self, cx: &StepContext, receipt: &Value) -> Result<String, StepError> {
        let WeightsReceipt(receipts) = stored(receipt)?;
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
