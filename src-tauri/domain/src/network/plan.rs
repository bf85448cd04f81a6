//! Which addresses the twins of the cabled port get, and what stands against a plan.

use std::net::Ipv4Addr;

use crate::machine::{Facts, Interface};
use crate::network::address::{Network, is_private};
use crate::network::{NetworkPlan, Rail, RailEnd};
use crate::problem::{Code, Problem};

/// Subnets tried in turn, two for the two rails. The first pair is the one NVIDIA's own guide uses.
const CANDIDATES: [[[u8; 3]; 2]; 5] = [
    [[192, 168, 100], [192, 168, 101]],
    [[192, 168, 177], [192, 168, 178]],
    [[10, 20, 100], [10, 20, 101]],
    [[10, 137, 16], [10, 137, 17]],
    [[172, 30, 100], [172, 30, 101]],
];

/// Proposes addresses for the private link of two machines: what is there already if it is good,
/// otherwise the first pair of subnets that collides with nothing on either machine.
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
        .fix("Use one cable, in the same port of both machines, then look again."));
    }
    if let Some(plan) = adopt(&twins_a, &twins_b) {
        return Ok(plan);
    }
    let taken = taken(a, &twins_a)
        .into_iter()
        .chain(taken(b, &twins_b))
        .collect::<Vec<_>>();
    let free = CANDIDATES.iter().find(|pair| {
        pair.iter().all(|s| {
            let network = Network::of(Ipv4Addr::new(s[0], s[1], s[2], 0), 24);
            network.is_some_and(|n| taken.iter().all(|t| !t.overlaps(n)))
        })
    });
    let Some(pair) = free else {
        return Err(Problem::new(Code::NetworkPlan, "No subnet is free for the private link.")
            .cause("Every range that Tandem knows collides with an address of one of the machines.")
            .fix("Choose two private subnets yourself under Choices."));
    };
    let rails = twins_a
        .iter()
        .zip(&twins_b)
        .zip(pair)
        .map(|((on_a, on_b), s)| Rail {
            prefix: 24,
            ends: vec![end(on_a, s, 10), end(on_b, s, 11)],
        });
    Ok(NetworkPlan {
        rails: rails.collect(),
        mtu: 9000,
    })
}

/// Everything that stands against a plan on these machines; empty if nothing does.
pub fn faults(plan: &NetworkPlan, machines: &[&Facts]) -> Vec<Problem> {
    let mut all = Vec::new();
    let mut fault = |cause: String, fix: &str| {
        all.push(
            Problem::new(Code::NetworkPlan, "The addresses cannot be used.")
                .cause(cause)
                .fix(fix),
        );
    };
    if plan.rails.is_empty() {
        fault(
            "The plan has no rail.".into(),
            "Plug the cable in on both machines, then plan again.",
        );
    }
    if !(1280..=9216).contains(&plan.mtu) {
        fault(
            format!("The MTU {} is outside 1280 to 9216.", plan.mtu),
            "Use 9000.",
        );
    }
    let mut networks: Vec<Network> = Vec::new();
    for rail in &plan.rails {
        if rail.ends.len() != machines.len() {
            fault(
                "A rail does not have one end on each machine.".into(),
                "Plan again.",
            );
            continue;
        }
        let mut of_rail: Option<Network> = None;
        for (end, facts) in rail.ends.iter().zip(machines) {
            let Ok(address) = end.address.parse::<Ipv4Addr>() else {
                fault(
                    format!("`{}` is not an IPv4 address.", end.address),
                    "Use an address such as 192.168.100.10.",
                );
                continue;
            };
            let Some(network) = Network::of(address, rail.prefix).filter(|_| rail.prefix >= 8)
            else {
                fault(
                    format!("/{} is not a usable prefix.", rail.prefix),
                    "Use /24.",
                );
                continue;
            };
            if !is_private(address) && !address.is_link_local() {
                fault(
                    format!("{address} is a public address."),
                    "Use a private range, such as 192.168.100.0/24.",
                );
            }
            if network.is_edge(address) {
                fault(
                    format!("{address} is not a host's address in {network}."),
                    "Use another last number.",
                );
            }
            if of_rail.is_some_and(|other| other != network) {
                fault(
                    format!(
                        "The two ends on `{}` lie in different subnets.",
                        end.interface
                    ),
                    "Give both ends of a rail addresses of one subnet.",
                );
            }
            of_rail = Some(network);
            if facts.default_interface.as_deref() == Some(&end.interface) {
                fault(
                    format!(
                        "`{}` on `{}` is how you reach the machine.",
                        end.interface, facts.hostname
                    ),
                    "Use the ports of the private cable; Tandem never touches the management link.",
                );
            }
            match facts.interfaces.iter().find(|i| i.name == end.interface) {
                None => fault(
                    format!("`{}` has no interface `{}`.", facts.hostname, end.interface),
                    "Plan again; the cable may have moved to another port.",
                ),
                Some(_) => {
                    let planned: Vec<&str> = plan
                        .rails
                        .iter()
                        .flat_map(|r| r.ends.iter().map(|e| e.interface.as_str()))
                        .collect();
                    let clash = facts
                        .interfaces
                        .iter()
                        .filter(|i| !planned.contains(&i.name.as_str()))
                        .flat_map(|i| i.ipv4.iter().map(move |a| (i, a)))
                        .find(|(_, a)| Network::parse(a).is_some_and(|(_, n)| n.overlaps(network)));
                    if let Some((interface, theirs)) = clash {
                        fault(
                            format!(
                                "{network} collides with {theirs} on `{}` of `{}`.",
                                interface.name, facts.hostname
                            ),
                            "Choose another subnet.",
                        );
                    }
                }
            }
        }
        if rail.ends.len() == 2 && rail.ends[0].address == rail.ends[1].address {
            fault(
                format!("Both ends have {}.", rail.ends[0].address),
                "Give each end its own address.",
            );
        }
        if let Some(network) = of_rail {
            if let Some(other) = networks.iter().find(|n| n.overlaps(network)) {
                fault(
                    format!("Two rails share the subnet {other}."),
                    "Give each rail a subnet of its own; otherwise one rail carries all traffic.",
                );
            }
            networks.push(network);
        }
    }
    all
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
            .fix("Plug the cable into the same port of both machines, wait half a minute and look again.")
            .on(facts.hostname.clone())
    })
}

/// Addresses that are there and good: every twin has one, both ends in one subnet, each rail its own.
fn adopt(a: &[&Interface], b: &[&Interface]) -> Option<NetworkPlan> {
    let mut rails = Vec::new();
    let mut networks: Vec<Network> = Vec::new();
    for on_a in a {
        let (address_a, network) = on_a.ipv4.iter().find_map(|t| Network::parse(t))?;
        let prefix = on_a
            .ipv4
            .iter()
            .find_map(|t| t.split_once('/')?.1.parse().ok())?;
        let (on_b, address_b) = b.iter().find_map(|i| {
            let (address, _) = i
                .ipv4
                .iter()
                .filter_map(|t| Network::parse(t))
                .find(|(_, n)| *n == network)?;
            Some((i, address))
        })?;
        if networks.iter().any(|n| n.overlaps(network)) {
            return None;
        }
        networks.push(network);
        let end = |i: &Interface, address: Ipv4Addr| RailEnd {
            interface: i.name.clone(),
            address: address.to_string(),
            rdma: i.rdma.clone(),
        };
        rails.push(Rail {
            prefix,
            ends: vec![end(on_a, address_a), end(on_b, address_b)],
        });
    }
    let mtu = a.iter().chain(b).map(|i| i.mtu).min()?;
    Some(NetworkPlan {
        rails,
        mtu: u16::try_from(mtu.clamp(1500, 9000)).unwrap_or(9000),
    })
}

fn end(interface: &Interface, subnet: &[u8; 3], host: u8) -> RailEnd {
    RailEnd {
        interface: interface.name.clone(),
        address: Ipv4Addr::new(subnet[0], subnet[1], subnet[2], host).to_string(),
        rdma: interface.rdma.clone(),
    }
}

fn taken(facts: &Facts, ours: &[&Interface]) -> Vec<Network> {
    // Docker's default bridge exists on every machine with Docker, even while it has no address.
    let mut taken: Vec<Network> = Network::parse("172.17.0.1/16")
        .map(|(_, n)| n)
        .into_iter()
        .collect();
    taken.extend(
        facts
            .interfaces
            .iter()
            .filter(|i| !ours.iter().any(|o| o.name == i.name))
            .flat_map(|i| i.ipv4.iter())
            .filter_map(|t| Network::parse(t).map(|(_, n)| n)),
    );
    taken
}

fn names(interfaces: &[&Interface]) -> String {
    interfaces
        .iter()
        .map(|i| format!("`{}`", i.name))
        .collect::<Vec<_>>()
        .join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(host: &str, extra: &[(&str, &str)]) -> Facts {
        let twin = |name: &str| Interface {
            name: name.into(),
            port: Some("p1".into()),
            fabric: true,
            carrier: true,
            mtu: 1500,
            ..Interface::default()
        };
        let mut interfaces = vec![twin("enp1s0f1np1"), twin("enP2p1s0f1np1")];
        for (name, address) in extra {
            match interfaces.iter_mut().find(|i| i.name == *name) {
                Some(interface) => interface.ipv4.push((*address).into()),
                None => interfaces.push(Interface {
                    name: (*name).into(),
                    ipv4: vec![(*address).into()],
                    ..Interface::default()
                }),
            }
        }
        Facts {
            hostname: host.into(),
            interfaces,
            default_interface: Some("enP7s7".into()),
            ..Facts::default()
        }
    }

    #[test]
    fn bare_machines_get_two_subnets() {
        let (a, b) = (machine("a", &[]), machine("b", &[]));
        let plan = propose(&a, &b).unwrap();
        assert_eq!(plan.rails.len(), 2, "a rail for each twin");
        assert_eq!(plan.rails[0].ends[0].address, "192.168.100.10");
        assert_eq!(plan.rails[1].ends[1].address, "192.168.101.11");
        assert_eq!(faults(&plan, &[&a, &b]), vec![], "a proposal has no faults");
    }

    #[test]
    fn a_home_network_in_the_first_range_moves_the_plan() {
        let a = machine("a", &[("enP7s7", "192.168.100.23/24")]);
        let b = machine("b", &[("wlP9s9", "10.20.0.7/16")]);
        let plan = propose(&a, &b).unwrap();
        assert_eq!(
            plan.rails[0].ends[0].address, "192.168.177.10",
            "the first free pair"
        );
    }

    #[test]
    fn good_addresses_are_adopted() {
        let a = machine(
            "a",
            &[
                ("enp1s0f1np1", "10.1.2.1/30"),
                ("enP2p1s0f1np1", "10.1.3.1/30"),
            ],
        );
        let b = machine(
            "b",
            &[
                ("enp1s0f1np1", "10.1.2.2/30"),
                ("enP2p1s0f1np1", "10.1.3.2/30"),
            ],
        );
        let plan = propose(&a, &b).unwrap();
        assert_eq!(
            plan.rails[1].ends[1].address, "10.1.3.2",
            "what is there stays"
        );
        assert_eq!(plan.rails[0].prefix, 30);
    }

    #[test]
    fn no_cable_is_said_in_both_its_looks() {
        let mut off = machine("a", &[]);
        off.interfaces.clear();
        let problem = propose(&off, &machine("b", &[])).unwrap_err();
        assert!(
            problem.cause.unwrap().contains("switched off"),
            "no device at all is no fault"
        );
    }

    #[test]
    fn a_plan_on_the_management_link_is_refused() {
        let mut a = machine("a", &[]);
        let b = machine("b", &[]);
        let plan = propose(&a, &b).unwrap();
        a.default_interface = Some("enp1s0f1np1".into());
        let causes: Vec<_> = faults(&plan, &[&a, &b])
            .into_iter()
            .filter_map(|p| p.cause)
            .collect();
        assert_eq!(
            causes,
            vec!["`enp1s0f1np1` on `a` is how you reach the machine."]
        );
    }

    #[test]
    fn every_fault_of_a_plan_is_told_at_once() {
        let (a, b) = (machine("a", &[]), machine("b", &[]));
        let mut plan = propose(&a, &b).unwrap();
        plan.mtu = 100;
        plan.rails[0].ends[0].address = "fe80::1".into();
        plan.rails[1].ends[1].address = "8.8.8.8".into();
        assert_eq!(
            faults(&plan, &[&a, &b]).len(),
            4,
            "MTU, IPv6, public, two subnets"
        );
    }

    proptest::proptest! {
        #[test]
        fn a_proposal_collides_with_nothing(octets in proptest::collection::vec((0u8..=255, 0u8..=255, 8u8..=30), 0..12)) {
            let extra: Vec<(String, String)> = octets
                .iter()
                .enumerate()
                .map(|(i, (x, y, p))| (format!("eth{i}"), match i % 3 {
                    0 => format!("192.168.{x}.{y}/{p}"),
                    1 => format!("10.{x}.{y}.1/{p}"),
                    _ => format!("172.{}.{y}.1/{p}", 16 + x % 16),
                }))
                .collect();
            let list: Vec<(&str, &str)> = extra.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let (a, b) = (machine("a", &list), machine("b", &[]));
            match propose(&a, &b) {
                Ok(plan) => proptest::prop_assert_eq!(faults(&plan, &[&a, &b]), vec![]),
                Err(problem) => proptest::prop_assert_eq!(problem.code, Code::NetworkPlan),
            }
        }
    }
}
