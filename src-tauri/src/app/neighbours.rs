//! Machines that could be added.

use tandem_domain::problem::Problem;

use super::App;
use crate::wire::Neighbour;

impl App {
    /// Machines on the network and in `~/.ssh/config`.
    pub async fn neighbours(&self) -> Result<Vec<Neighbour>, Problem> {
        Ok(Vec::new())
    }
}
