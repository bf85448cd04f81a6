//! The cable alone: planned, measured, and measured again after a restart.

use tandem_domain::problem::Problem;
use tandem_domain::procedure::Procedure;
use tandem_domain::procedure::link::LinkRequest;
use tandem_domain::run::RunId;

use super::App;
use super::workspace::Workspace;
use crate::wire::LinkView;

impl App {
    /// What a run for the cable alone would do. The machines are looked at again first, so that addresses
    /// that are on the ports already are found and kept.
    pub async fn propose_link(&self, restart: bool) -> Result<LinkView, Problem> {
        let workspace = self.workspace().await;
        let mut ids = Vec::new();
        for saved in workspace.machines().await? {
            self.refresh_facts(&workspace, &saved).await?;
            ids.push(saved.id);
        }
        let machines = workspace.setup_machines(&ids).await?;
        let request = LinkRequest::proposed(ids, &machines, restart)?;
        self.link_view(&workspace, request).await
    }

    /// Writes the run down and starts it.
    pub async fn start_link(&self, request: LinkRequest) -> Result<RunId, Problem> {
        let workspace = self.workspace().await;
        let view = self.link_view(&workspace, request).await?;
        if let Some(problem) = view.problems.into_iter().next() {
            return Err(problem);
        }
        self.begin(workspace, Procedure::Link(view.request), view.plan)
            .await
    }

    async fn link_view(
        &self,
        workspace: &Workspace,
        request: LinkRequest,
    ) -> Result<LinkView, Problem> {
        let machines = workspace.setup_machines(&request.machines).await?;
        let recipe = Procedure::Link(request.clone());
        let mut plan = recipe.plan(&machines, &workspace.public_key);
        if request.restart
            && let Some(serving) = self.serving(workspace).await?
        {
            let stops = format!(
                "`{}` is served now. It stops, and is started again by a set-up.",
                serving.model
            );
            plan.cautions.insert(0, stops);
        }
        Ok(LinkView {
            problems: request.faults(&machines),
            request,
            plan,
        })
    }
}
