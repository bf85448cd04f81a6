//! Launch plans for the tests of other modules.

use super::{LaunchInput, resolve};
use crate::network::{NetworkPlan, Rail, RailEnd};
use crate::node::FetchLimits;
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{Choices, catalog};

/// The recipe that is proposed, in its last variant, over so many machines.
pub(crate) fn plan(ranks: usize, network: Option<&NetworkPlan>) -> LaunchPlan {
    let recipe = catalog::proposed(ranks);
    let input = LaunchInput {
        variant: &recipe.best().expect("it has a variant").id,
        choices: &Choices::default(),
        machines: &[],
        ranks,
        network,
        hub_endpoint: "http://hub",
        download: &FetchLimits::default(),
    };
    resolve(recipe, &input).launch
}

/// The link as it is proposed for two machines that have both rails of one cable.
pub(crate) fn link() -> NetworkPlan {
    let end = |interface: &str, rdma: &str, address: String| RailEnd {
        interface: interface.into(),
        address,
        rdma: Some(rdma.into()),
    };
    let rail = |net: u8, interface: &str, rdma: &str| Rail {
        prefix: 24,
        ends: (10..12)
            .map(|host| end(interface, rdma, format!("192.168.{net}.{host}")))
            .collect(),
    };
    NetworkPlan {
        rails: vec![
            rail(100, "enp1s0f1np1", "rocep1s0f1"),
            rail(101, "enP2p1s0f1np1", "roceP2p1s0f1"),
        ],
        mtu: 9000,
        adopted: None,
    }
}
