//! Step `weights`: the files of every artifact in every machine's Hugging Face cache, over the line once where a private
//! link can carry it on, by one machine or by each its share.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use source::{WeightsInputs, WeightsSource, choose, is_open};

use crate::node::disk::{CheckReceipt, FaultKind};
use crate::node::{FetchLimits, FetchReceipt, FetchRequest, FetchedSnapshot, NodeWork, RepoFiles};
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
mod hashes;
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
    /// Whether some of it came from another machine and was not hashed where it is.
    #[serde(default)]
    copied: bool,
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
            repositories: self.launch.repositories(),
            hf_home: None,
            connections: CONNECTIONS,
            limits: self.launch.download.clone(),
            proxy: None,
        }
    }

    /// The limits of the download now.
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
            names: cx.machines.iter().map(|s| s.name.as_str()).collect(),
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

    /// Before anything was looked at it is known whether there is a link at all.
    fn words(&self) -> (String, Vec<String>) {
        let repositories = self.launch.repositories();
        let mut names: Vec<String> = Vec::new();
        for name in repositories.iter().map(|r| format!("`{}`", r.repo)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let names = names.join(" and ");
        let mut exactly: Vec<String> = repositories.iter().map(|r| self.shown(r)).collect();
        if !self.launch.is_linked() {
            let will = format!(
                "Fetches {names} into the Hugging Face cache of every machine and checks every file's hash. It goes on by itself if the connection or a machine goes away."
            );
            return (will, exactly);
        }
        let will = format!(
            "Fetches {names} once over your line, into the head or not at all where a machine has it, and checks every file's hash. Finished files cross the private link meanwhile, so two machines take about as long as one; what crossed it is hashed once more where it arrived. Where a short measurement shows that both get more from the Hub than one alone, each fetches its share. It goes on by itself if the connection or a machine goes away."
        );
        let given = (0..self.launch.ranks)
            .map(|machine| serve_copy::shown(&self.serve_words(machine, None)));
        exactly.extend(given);
        exactly.push(measure::WORDS.to_owned());
        (will, exactly)
    }

    /// What is fetched of a repository, on one line.
    fn shown(&self, what: &RepoFiles) -> String {
        let at = format!(
            "{}/{} at {}",
            self.launch.hub_endpoint, what.repo, what.revision
        );
        if what.files.is_all() {
            at
        } else {
            format!("{at}: {}", what.files.words())
        }
    }

    /// Compares each repository on a machine with the Hub's listing of these revisions, in order.
    async fn verify_on(
        &self,
        cx: &StepContext,
        machine: &MachineServices,
        revisions: &[String],
    ) -> Result<Vec<CheckReceipt>, StepError> {
        let mut found = Vec::new();
        for (what, revision) in self.launch.repositories().iter().zip(revisions) {
            let work = NodeWork::Check(self.check_of(what, revision));
            found.push(job::foreground(cx, machine, work).await?);
        }
        Ok(found)
    }
}

/// What there is of repositories that are complete without a fetch.
fn found(looked: Vec<CheckReceipt>) -> Option<FetchReceipt> {
    let snapshot = |v: CheckReceipt| FetchedSnapshot {
        commit: v.commit,
        snapshot: v.snapshot,
        files: v.files,
        bytes: v.bytes,
    };
    let mut snapshots = looked.into_iter().map(snapshot);
    Some(FetchReceipt {
        first: snapshots.next()?,
        others: snapshots.collect(),
        fetched: 0,
        made: Vec::new(),
    })
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
        let repositories = self.launch.repositories();
        let revisions: Vec<String> = repositories.iter().map(|r| r.revision.clone()).collect();
        let looked = on_all(&cx.machines, |_, machine| {
            Box::pin(self.verify_on(cx, machine, &revisions))
        })
        .await?;
        let complete: Vec<bool> = looked
            .iter()
            .map(|of_machine| of_machine.iter().all(|v| v.faults.is_empty()))
            .collect();
        let copied = looked.iter().flatten().any(|v| v.copied > 0);
        if complete.contains(&false) || copied {
            return Ok(StepCheck::Needed {
                before: value(&WeightsBefore { complete, copied }),
            });
        }
        let receipts: Vec<FetchReceipt> = looked.into_iter().filter_map(found).collect();
        Ok(StepCheck::AlreadyDone {
            found: format!(
                "All {} files are there, {}.",
                receipts[0].files(),
                bytes(receipts[0].bytes())
            ),
            receipt: value(&WeightsReceipt(receipts)),
        })
    }

    async fn apply(&self, cx: &StepContext, before: &Value) -> Result<Value, StepError> {
        let begun: Vec<Option<NodeWork>> = on_all(&cx.machines, |_, machine| {
            Box::pin(async { Ok(job::asked(cx, machine).await) })
        })
        .await?;
        let before: WeightsBefore = stored(before)?;
        let source = self.source(cx, &before, &begun).await?;
        cx.log(None, source.why());
        let receipts: Vec<FetchReceipt> = match source {
            WeightsSource::OnceThenCable { from, .. } => self.once(cx, from, &begun).await?,
            WeightsSource::Halves { parts, .. } => self.halves(cx, &parts, &begun).await?,
            WeightsSource::EachFromHub { .. } => {
                on_all(&cx.machines, |_, machine| {
                    Box::pin(async {
                        Ok(job::run(cx, machine, NodeWork::Fetch(self.fetch())).await?)
                    })
                })
                .await?
            }
        };
        let moved = |n: &usize| {
            let commits = receipts.iter().map(|r| r.snapshots().nth(*n));
            let commits: BTreeSet<&str> = commits.flatten().map(|s| s.commit.as_str()).collect();
            commits.len() > 1
        };
        let repositories = self.launch.repositories();
        let moved = (0..repositories.iter().count()).find(moved);
        if let Some(moved) = moved.and_then(|n| repositories.iter().nth(n)) {
            return Err(Problem::new(
                Code::ResultsDiffer,
                "The machines fetched different commits.",
            )
            .cause(format!(
                "`{}` moved on the Hub while it was fetched.",
                moved.revision
            ))
            .fix("Resume; the older one is fetched again.")
            .into());
        }
        if self.launch.is_linked() || before.copied {
            self.hash_copied(cx, &receipts).await?;
        }
        Ok(value(&WeightsReceipt(receipts)))
    }

    async fn verify(&self, cx: &StepContext, receipt: &Value) -> Result<String, StepError> {
        let WeightsReceipt(receipts) = stored(receipt)?;
        let commits: Vec<String> = receipts
            .first()
            .map(|r| r.snapshots().map(|s| s.commit.clone()).collect())
            .unwrap_or_default();
        let commits = &commits;
        let looked = on_all(&cx.machines, |_, s| {
            Box::pin(self.verify_on(cx, s, commits))
        })
        .await?;
        for (machine, looked) in cx.machines.iter().zip(&looked) {
            let faults = || looked.iter().flat_map(|v| &v.faults);
            if let Some(fault) = faults().find(|f| f.kind == FaultKind::Source) {
                return Err(Problem::new(
                    Code::CheckpointIncomplete,
                    "The weights cannot be used as the Hub has them.",
                )
                .cause(format!("`{}`: {}", fault.name, fault.fault))
                .fix("Take another revision of the repository: this one comes the same however often it is fetched.")
                .on(machine.name.clone())
                .into());
            }
            if let Some(fault) = faults().next() {
                return Err(Problem::new(
                    Code::CheckpointIncomplete,
                    "The weights are not complete.",
                )
                .cause(format!("`{}`: {}", fault.name, fault.fault))
                .fix("Resume; what is missing is fetched again.")
                .on(machine.name.clone())
                .into());
            }
        }
        let files = receipts.first().map_or(0, FetchReceipt::files);
        let size = receipts.first().map_or(0, FetchReceipt::bytes);
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
        let undone = on_all(&cx.machines, |_, s| Box::pin(job::undo(cx, s))).await?;
        let freed: u64 = undone.iter().map(|u| u.bytes).sum();
        Ok(format!("{} of weights removed.", bytes(freed)))
    }
}
