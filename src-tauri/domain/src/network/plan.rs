//! Which addresses the twins of the cabled port get.

use std::net::Ipv4Addr;

use crate::machine::{Facts, Interface};
use crate::network::address::Network;
use crate::network::taken::{Taken, taken};
use crate::network::{NetworkPlan, Rail, RailEnd, adopt};
use crate::problem::{Code, Problem};

pub use super::faults::{MTU, PREFIXES, faults};

/// Subnets tried first, in turn, two for the two rails. The first pair is the one NVIDIA's own guide uses.
const CANDIDATES: [[[u8; 3]; 2]; 5] = [
    [[192, 168, 100], [192, 168, 101]],
    [[192, 168, 177], [192, 168, 178]],
    [[10, 20, 100], [10, 20, 101]],
    [[10, 137, 16], [10, 137, 17]],
    [[172, 30, 100], [172, 30, 101]],
];

/// Proposes addresses for the private link of two machines: what is there already if it is good,
/// otherwise a subnet a rail that collides with no address, route or Docker network of either machine.
pub fn propose(a: &Facts, b: &Facts) -> Result<NetworkPlan, Problem> {
    let twins_a = twins(a)?;
    let twins_b = twins(b)?;
    if twins_a.len() != twins_b.len() {
        return Err(Problem::new(
            Code::NetworkPlan,
            "The two machines do not see the same cable.",
        )
        .cause(format!(
            "`{}` has {} connected, `{}` has {}.",
            a.hostname,
            names(&twins_a),
            b.hostname,
            names(&twins_b)
        ))
        .fix("Use one cable, in the same port of both machines, then refresh."));
    }
    for (facts, twins) in [(a, &twins_a), (b, &twins_b)] {
        if let Some(problem) = twins
            .iter()
            .find_map(|twin| super::faults::member(facts, twin))
        {
            return Err(problem);
        }
    }
    if let Some(plan) = adopt::adopt([a, b], [&twins_a, &twins_b]) {
        return Ok(plan);
    }
    let of = |facts, twins: &[&Interface]| {
        let ours: Vec<&str> = twins.iter().map(|i| i.name.as_str()).collect();
        taken(facts, &ours)
    };
    let mut all = of(a, &twins_a);
    all.extend(of(b, &twins_b));
    let subnets = free(twins_a.len(), &all)?;
    let rails = twins_a
        .iter()
        .zip(&twins_b)
        .zip(subnets)
        .map(|((on_a, on_b), s)| Rail {
            prefix: 24,
            ends: vec![end(on_a, s, 10), end(on_b, s, 11)],
        });
    Ok(NetworkPlan {
        rails: rails.collect(),
        mtu: 9000,
        adopted: None,
    })
}

/// As many subnets as there are rails that no taken network overlaps.
fn free(rails: usize, taken: &[Taken]) -> Result<Vec<[u8; 3]>, Problem> {
    let is_free = |s: &[u8; 3]| {
        Network::of(Ipv4Addr::new(s[0], s[1], s[2], 0), 24)
            .is_some_and(|n| taken.iter().all(|t| !t.network.overlaps(n)))
    };
    let pair = CANDIDATES
        .iter()
        .map(|pair| &pair[..rails.min(2)])
        .find(|pair| pair.len() == rails && pair.iter().all(is_free));
    if let Some(pair) = pair {
        return Ok(pair.to_vec());
    }
    let found: Vec<[u8; 3]> = every_private().filter(is_free).take(rails).collect();
    if found.len() == rails {
        return Ok(found);
    }
    // The widest ones are those that a person would have to change.
    let mut widest: Vec<&Taken> = taken.iter().collect();
    widest.sort_by_key(|t| t.network.prefix());
    let widest: Vec<String> = widest.iter().take(3).map(|t| t.to_string()).collect();
    Err(
        Problem::new(Code::NetworkPlan, "No subnet is free for the private link.")
            .cause(format!(
                "Every private range collides with a network of one of the machines, first of all {}.",
                widest.join(", ")
            ))
            .fix("Remove a route that is wider than it need be, often one of a VPN or of Docker, then refresh."),
    )
}

/// Every private /24, the ranges first that homes and offices use least.
fn every_private() -> impl Iterator<Item = [u8; 3]> {
    let middle = (16..=31u8)
        .rev()
        .flat_map(|y| (0..=255u8).rev().map(move |z| [172, y, z]));
    let large = (0..=255u8)
        .rev()
        .flat_map(|y| (0..=255u8).rev().map(move |z| [10, y, z]));
    middle
        .chain(large)
        .chain((0..=255u8).rev().map(|z| [192, 168, z]))
}

/// The connected functions of the one port that is used: the port with the most of them.
fn twins(facts: &Facts) -> Result<Vec<&Interface>, Problem> {
    let cabled = facts.cabled();
    let mut ports: Vec<Vec<&Interface>> = Vec::new();
    for interface in cabled {
        match ports.iter_mut().find(|p| p[0].port == interface.port) {
            Some(port) => port.push(interface),
            None => ports.push(vec![interface]),
        }
    }
    // With two cables, the first port of equal ones: a second cable adds next to nothing.
    let best = ports.into_iter().rev().max_by_key(Vec::len);
    best.ok_or_else(|| {
        Problem::new(Code::NetworkPlan, "No cable is seen yet.")
            .cause(if facts.interfaces.iter().any(|i| i.fabric) {
                "None of the two ConnectX-7 ports has a link.".to_owned()
            } else {
                "The ConnectX-7 is switched off, as it is while no cable is plugged in.".to_owned()
            })
            .fix("Plug the cable into the same port of both machines, wait half a minute and refresh.")
            .on(facts.hostname.clone())
    })
}

fn end(interface: &Interface, subnet: [u8; 3], host: u8) -> RailEnd {
    RailEnd {
        interface: interface.name.clone(),
        address: Ipv4Addr::new(subnet[0], subnet[1], subnet[2], host).to_string(),
        rdma: interface.rdma.clone(),
    }
}

fn names(interfaces: &[&Interface]) -> String {
    interfaces
        .iter()
        .map(|i| format!("`{}`", i.name))
        .collect::<Vec<_>>()
        .join(" and ")
}

#[cfg(test)]
mod tests;
