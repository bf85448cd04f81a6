//! Sample machines: two Sparks with both rails of one cable between them, as they name their ports and folders.

use crate::machine::Facts;
use crate::network::{NetworkPlan, Rail, RailEnd};

/// What a launch reads of a machine's facts.
pub(super) fn facts() -> Facts {
    Facts {
        hf_home: "/home/nvidia/.cache/huggingface".into(),
        ..Facts::default()
    }
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
