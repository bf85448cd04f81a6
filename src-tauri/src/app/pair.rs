//! What is known about the machines together.

use tandem_domain::network::{coach, health};
use tandem_domain::problem::Problem;

use super::App;
use crate::wire::PairView;

impl App {
    /// Findings, cable and the last measurement, from the facts as they were read last.
    pub async fn pair(&self) -> Result<PairView, Problem> {
        let machines = self.world().await.machines().await?;
        let facts: Vec<_> = machines.iter().filter_map(|m| m.facts.as_ref()).collect();
        Ok(PairView {
            findings: health::findings(&facts),
            cabling: coach::cabling(&facts),
            link: None,
        })
    }
}
