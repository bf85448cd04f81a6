//! What speaks against undoing a run: later runs that stand on what it brought.

use tandem_domain::ids::MachineId;
use tandem_domain::problem::Problem;
use tandem_domain::procedure::Procedure;
use tandem_domain::procedure::later::{PastRun, needed_by_a_later_run};
use tandem_domain::run::{RunId, RunSummary};

use super::workspace::Workspace;
use super::{App, stored};

impl App {
    /// An error that names the later runs which use what this one brought.
    pub(super) async fn free_to_undo(
        &self,
        workspace: &Workspace,
        id: &RunId,
    ) -> Result<(), Problem> {
        let all = self.past_runs(workspace).await?;
        let own = all.iter().find(|(run, _)| run.id == *id);
        let others = all.iter().filter(|(run, _)| run.id != *id);
        let others: Vec<PastRun> = others.map(|(_, past)| past.clone()).collect();
        match own.and_then(|(_, own)| needed_by_a_later_run(own, &others, self.now())) {
            Some(problem) => Err(problem),
            None => Ok(()),
        }
    }

    /// The runs that have left something on this machine: undo needs it here.
    pub async fn undos_of_machine(&self, id: &MachineId) -> Result<Vec<RunSummary>, Problem> {
        let workspace = self.workspace().await;
        let all = self.past_runs(&workspace).await?;
        let left = |past: &PastRun| past.procedure.machines().contains(id) && past.has_left();
        let of_machine = all.into_iter().filter(|(_, past)| left(past));
        Ok(of_machine.map(|(run, _)| run).collect())
    }

    /// All runs of a procedure that is known here, the newest first.
    async fn past_runs(
        &self,
        workspace: &Workspace,
    ) -> Result<Vec<(RunSummary, PastRun)>, Problem> {
        let mut all = Vec::new();
        for run in stored(workspace.store.runs().await)? {
            let params = stored(workspace.store.run_params(&run.id).await)?.unwrap_or_default();
            // A procedure of another version of Tandem is not known, and neither is what it left.
            let Ok(Some(procedure)) = Procedure::read(&run.procedure, params) else {
                continue;
            };
            let past = PastRun {
                title: run.title.clone(),
                started_at: run.started_at,
                procedure,
                state: self.run_state(workspace, &run.id).await?,
            };
            all.push((run, past));
        }
        Ok(all)
    }
}
