//! Networks that a machine uses already, with which a plan must not collide.

use crate::machine::Facts;
use crate::network::address::Network;

/// A network that something on a machine uses already.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    /// The network.
    pub network: Network,
    interface: String,
    machine: String,
}

impl std::fmt::Display for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} on `{}` of `{}`",
            self.network, self.interface, self.machine
        )
    }
}

/// All networks of a machine but those of the ports that the plan is for.
pub(super) fn taken(facts: &Facts, ours: &[&str]) -> Vec<Taken> {
    let is_ours = |name: &str| ours.contains(&name);
    let addresses = facts
        .interfaces
        .iter()
        .flat_map(|i| i.ipv4.iter().map(move |a| (i.name.as_str(), a.as_str())));
    let routes = facts
        .routes
        .iter()
        .map(|r| (r.interface.as_str(), r.to.as_str()));
    addresses
        .chain(routes)
        .filter(|(interface, _)| !is_ours(interface))
        // Docker's default bridge comes with Docker, even while it has no address.
        .chain([("docker0", "172.17.0.1/16")])
        .filter_map(|(interface, text)| {
            let (_, network) = Network::parse(text)?;
            // The default route, whole or in the two halves that VPNs use, gives way to any other.
            (network.prefix() > 1).then(|| Taken {
                network,
                interface: interface.to_owned(),
                machine: facts.hostname.clone(),
            })
        })
        .collect()
}
