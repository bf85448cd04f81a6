//! Machines that could be added.

use tandem_adapters::discover::{self, discover};
use tandem_adapters::ssh::config;
use tandem_domain::neighbours::{Added, Configured, Neighbour, neighbours};
use tandem_domain::problem::Problem;

use super::App;
use super::workspace::{resolve, ssh_config};

impl App {
    /// Machines on the network and in `~/.ssh/config`. None in a rehearsal, which has its own two.
    pub async fn neighbours(&self) -> Result<Vec<Neighbour>, Problem> {
        let workspace = self.workspace().await;
        if workspace.simulated() {
            return Ok(Vec::new());
        }
        let seen = discover(discover::PORT, discover::LONG_ENOUGH).await;
        // Asked after the listening, so that a machine that was added meanwhile counts.
        let machines = workspace.machines().await?;
        let added: Vec<_> = machines
            .iter()
            .map(|m| {
                let host = resolve(&m.address, Some(&m.user)).map(|h| h.host_name);
                let leads_to = host.unwrap_or_else(|_| m.address.clone());
                Added::new(&m.address, &leads_to, m.facts.as_ref())
            })
            .collect();
        Ok(neighbours(&seen, &configured(), &added, &discover::ours))
    }
}

/// The hosts of `~/.ssh/config` that are reached directly. A file that cannot be read offers none.
fn configured() -> Vec<Configured> {
    let hosts = ssh_config().map_or_else(|| Ok(Vec::new()), |path| config::hosts(&path));
    let hosts = hosts.unwrap_or_else(|error| {
        tracing::warn!(%error, "could not read the SSH configuration");
        Vec::new()
    });
    let direct = hosts.into_iter().filter(|h| h.reachable().is_ok());
    direct
        .map(|h| Configured {
            alias: h.alias,
            address: h.host_name,
            port: h.port.unwrap_or(22),
            user: h.user,
        })
        .collect()
}
