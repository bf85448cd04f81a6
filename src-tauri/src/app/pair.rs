//! What is known about the machines together.

use tandem_domain::network::verdict::LinkReport;
use tandem_domain::network::{coach, health};
use tandem_domain::problem::Problem;
use tandem_domain::recipe::ProveReceipt;
use tandem_domain::run::RunState;

use super::{App, stored};
use crate::wire::PairView;

impl App {
    /// Findings, cable and the last measurement, from the facts as they were read last.
    pub async fn pair(&self) -> Result<PairView, Problem> {
        let machines = self.world().await.machines().await?;
        let facts: Vec<_> = machines.iter().filter_map(|m| m.facts.as_ref()).collect();
        Ok(PairView {
            findings: health::findings(&facts),
            cabling: coach::cabling(&facts),
            link: self.last_report().await?,
        })
    }

    /// What the latest run that measured the link found. A run in between may have found the server at
    /// work and measured nothing.
    async fn last_report(&self) -> Result<Option<LinkReport>, Problem> {
        for run in stored(self.world().await.store.runs().await)? {
            let events = self.run_detail(&run.id).await?.events;
            let receipt = RunState::fold(&events)
                .ok()
                .and_then(|mut state| state.steps.remove(&ProveReceipt::step())?.receipt);
            if let Some(read) = receipt.and_then(|r| serde_json::from_value::<ProveReceipt>(r).ok())
            {
                return Ok(Some(read.report));
            }
        }
        Ok(None)
    }
}
