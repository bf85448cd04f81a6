//! Addresses that somebody gave the ports before, and that are good as they are.

use std::net::Ipv4Addr;

use crate::machine::{Facts, Interface};
use crate::network::address::Network;
use crate::network::{NetworkPlan, Rail, RailEnd, faults, netplan};

/// What is on the ports if it is good: every twin has an address, both ends of a rail lie in one
/// subnet, each rail in its own, and nothing stands against it. Link-local addresses may share theirs,
/// for there is only one.
pub(super) fn adopt(machines: [&Facts; 2], twins: [&[&Interface]; 2]) -> Option<NetworkPlan> {
    let [a, b] = twins;
    let mut rails: Vec<Rail> = Vec::new();
    let mut networks = Vec::new();
    for on_a in a {
        let left = b
            .iter()
            .filter(|i| !rails.iter().any(|r| r.ends[1].interface == i.name));
        let (rail, network) = left
            .flat_map(|on_b| addresses(on_a).map(move |of_a| (on_b, of_a)))
            .find_map(|(on_b, (at_a, network))| {
                let (at_b, _) = addresses(on_b).find(|(at, n)| *n == network && *at != at_a)?;
                let rail = Rail {
                    prefix: network.prefix(),
                    ends: vec![end(on_a, at_a), end(on_b, at_b)],
                };
                Some((rail, network))
            })?;
        rails.push(rail);
        networks.push(network);
    }
    // What is kept is kept as it is. Ends that differ lose large packets without a word, so they are planned.
    let mtu = a.first()?.mtu;
    let same = a.iter().chain(b).all(|i| i.mtu == mtu);
    let plan = NetworkPlan {
        rails,
        mtu: u16::try_from(mtu).ok().filter(|_| same)?,
        adopted: Some(whose(machines, &networks)),
    };
    faults::faults(&plan, &machines).is_empty().then_some(plan)
}

fn addresses(interface: &Interface) -> impl Iterator<Item = (Ipv4Addr, Network)> {
    interface.ipv4.iter().filter_map(|t| Network::parse(t))
}

fn end(interface: &Interface, address: Ipv4Addr) -> RailEnd {
    RailEnd {
        interface: interface.name.clone(),
        address: address.to_string(),
        rdma: interface.rdma.clone(),
    }
}

/// Whose work the addresses look like. Nothing is decided by it; it is for people to recognise.
fn whose(machines: [&Facts; 2], networks: &[Network]) -> String {
    let file = |name: &str| {
        machines
            .iter()
            .any(|m| m.netplan.iter().any(|f| f.path.ends_with(name)))
    };
    let within = |ranges: &[&str]| {
        let ranges: Vec<Network> = ranges
            .iter()
            .filter_map(|r| Network::parse(r).map(|(_, n)| n))
            .collect();
        networks.iter().all(|n| {
            ranges
                .iter()
                .any(|r| r.overlaps(*n) && r.prefix() <= n.prefix())
        })
    };
    let who = if file(netplan::FILE) {
        "what Tandem wrote"
    } else if file("98-spark-vllm-docker.yaml") || within(&["10.20.0.0/16"]) {
        "what the set-up program of eugr's spark-vllm-docker writes"
    } else if within(&["192.168.100.0/24", "192.168.101.0/24"]) {
        "those of NVIDIA's guide for two Sparks"
    } else if within(&["192.168.200.0/24", "192.168.201.0/24"]) {
        "those of NVIDIA's guide for measuring"
    } else if within(&["192.168.177.0/24", "192.168.178.0/24"]) {
        "those that eugr's spark-vllm-docker and sparkrun use"
    } else if within(&["169.254.0.0/16"]) {
        "link-local ones, as NVIDIA's older guide has the ports choose them"
    } else {
        "some that a person or another program gave, perhaps NVIDIA Sync"
    };
    format!(
        "The ports have addresses already. They look like {who}. They stay as they are if packets cross between them."
    )
}
