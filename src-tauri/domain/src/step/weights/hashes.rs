//! What crossed the private link is hashed where it arrived, before anything reads it: until then its hash is the other
//! machine's word.

use super::FetchWeights;
use crate::node::disk::{CheckReceipt, CheckRequest, FaultKind};
use crate::node::{FetchReceipt, NodeWork, RepoFiles};
use crate::ports::MachineServices;
use crate::problem::{Code, Problem};
use crate::run::StepError;
use crate::step::job;
use crate::step::machines::on_all;
use crate::step::services::StepContext;

impl FetchWeights {
    /// A check of one repository of the launch, against what the Hub says of this revision.
    pub(super) fn check_of(&self, what: &RepoFiles, revision: &str) -> CheckRequest {
        CheckRequest {
            endpoint: self.launch.hub_endpoint.clone(),
            repo: what.repo.clone(),
            commit: revision.to_owned(),
            files: Some(what.files.clone()),
            hf_home: None,
            deep: false,
            only_copied: false,
            repair: false,
            online: true,
        }
    }

    /// Hashes on every machine the files that came from the other one and were not hashed there yet. What was hashed
    /// stays so, whenever it ends.
    pub(super) async fn hash_copied(
        &self,
        cx: &StepContext,
        receipts: &[FetchReceipt],
    ) -> Result<(), StepError> {
        on_all(&cx.machines, |i, machine| {
            Box::pin(async move {
                let repositories = self.launch.repositories();
                let snapshots = receipts.get(i).into_iter().flat_map(|r| r.snapshots());
                for (what, snapshot) in repositories.iter().zip(snapshots) {
                    let request = CheckRequest {
                        deep: true,
                        only_copied: true,
                        ..self.check_of(what, &snapshot.commit)
                    };
                    let work = NodeWork::Check(request);
                    let looked: CheckReceipt = job::watched(cx, machine, work).await?;
                    refuse_wrong(machine, &looked)?;
                }
                Ok(())
            })
        })
        .await?;
        Ok(())
    }
}

/// Refuses files whose hash is another than the one that the other machine told.
fn refuse_wrong(machine: &MachineServices, looked: &CheckReceipt) -> Result<(), StepError> {
    let mut faults = looked.faults.iter();
    let Some(fault) = faults.find(|fault| fault.kind == FaultKind::Content) else {
        return Ok(());
    };
    Err(Problem::new(
        Code::HashMismatch,
        "A file that came from the other machine is not the one that the Hub has.",
    )
    .cause(format!(
        "`{}` was hashed where it arrived, and its hash is another. The disk of one of the machines is damaged, or somebody changed the file on the other one.",
        fault.name
    ))
    .fix("Check the weights of both machines and repair them, then resume: a repair fetches what is wrong from the Hub.")
    .on(machine.name.clone())
    .into())
}
