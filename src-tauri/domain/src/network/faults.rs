//! What stands against a plan of addresses.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::machine::Facts;
use crate::network::address::{Network, is_private};
use crate::network::{NetworkPlan, Rail, netplan, taken};
use crate::problem::{Code, Problem};

/// Bytes of a frame: what IPv6 needs at least, and what the ports can do at most.
pub const MTU: RangeInclusive<u16> = 1280..=9216;
/// Bits that the addresses of a rail have in common: a wider subnet would swallow other networks, a narrower one
/// has no room for two.
pub const PREFIXES: RangeInclusive<u8> = 8..=31;

/// Everything that stands against a plan on these machines; empty if nothing does.
pub fn faults(plan: &NetworkPlan, machines: &[&Facts]) -> Vec<Problem> {
    let mut found = PlanFaults::default();
    if machines.len() > 2 {
        found.add(
            format!(
                "{} machines were chosen, in a ring or at a switch; Tandem addresses the one cable between two.",
                machines.len()
            ),
            "Choose two of them, joined by one cable.",
        );
        return found.0;
    }
    if plan.rails.is_empty() {
        found.add(
            "The plan has no rail.",
            "Plug the cable in on both machines, then plan again.",
        );
    }
    if !MTU.contains(&plan.mtu) {
        found.add(
            format!(
                "The MTU {} is outside {} to {}.",
                plan.mtu,
                MTU.start(),
                MTU.end()
            ),
            "Use 9000.",
        );
    }
    let mut networks: Vec<Network> = Vec::new();
    for rail in &plan.rails {
        if rail.ends.len() != machines.len() {
            found.add(
                "A rail does not have one end on each machine.",
                "Plan again.",
            );
            continue;
        }
        let Some(network) = of_rail(rail, &mut found) else {
            continue;
        };
        let shared = |n: &&Network| n.overlaps(network) && !network.is_link_local();
        if let Some(other) = networks.iter().find(shared) {
            found.add(
                format!("Two rails share the subnet {other}."),
                "Give each rail a subnet of its own; otherwise one rail carries all traffic.",
            );
        }
        networks.push(network);
    }
    twice(plan, &mut found);
    for (position, facts) in machines.iter().enumerate() {
        on_machine(plan, position, facts, &networks, &mut found);
    }
    found.0
}

#[derive(Default)]
struct PlanFaults(Vec<Problem>);

impl PlanFaults {
    fn add(&mut self, cause: impl Into<String>, fix: &str) {
        let problem = Problem::new(Code::NetworkPlan, "The addresses cannot be used.")
            .cause(cause.into())
            .fix(fix);
        self.0.push(problem);
    }
}

/// Looks at the addresses of one rail alone and gives back the subnet they lie in.
fn of_rail(rail: &Rail, found: &mut PlanFaults) -> Option<Network> {
    let mut of_rail: Option<Network> = None;
    for end in &rail.ends {
        let Ok(address) = end.address.parse::<Ipv4Addr>() else {
            found.add(
                format!("`{}` is not an IPv4 address.", end.address),
                "Use an address such as 192.168.100.10.",
            );
            continue;
        };
        let usable = PREFIXES.contains(&rail.prefix);
        let Some(network) = Network::of(address, rail.prefix).filter(|_| usable) else {
            found.add(
                format!("/{} is not a usable prefix.", rail.prefix),
                "Use /24.",
            );
            continue;
        };
        if !is_private(address) && !address.is_link_local() {
            found.add(
                format!("{address} is a public address."),
                "Use a private range, such as 192.168.100.0/24.",
            );
        }
        if network.is_edge(address) {
            found.add(
                format!("{address} is not a host's address in {network}."),
                "Use another last number.",
            );
        }
        if of_rail.is_some_and(|other| other != network) {
            found.add(
                format!(
                    "The two ends on `{}` lie in different subnets.",
                    end.interface
                ),
                "Give both ends of a rail addresses of one subnet.",
            );
        }
        of_rail = Some(network);
    }
    of_rail
}

/// Addresses and ports that are named twice.
fn twice(plan: &NetworkPlan, found: &mut PlanFaults) {
    let mut addresses: Vec<&str> = Vec::new();
    let mut ports: Vec<(usize, &str)> = Vec::new();
    for rail in &plan.rails {
        for (position, end) in rail.ends.iter().enumerate() {
            if addresses.contains(&end.address.as_str()) {
                found.add(
                    format!("{} is given to two ports.", end.address),
                    "Give each end its own address.",
                );
            }
            addresses.push(&end.address);
            let port = (position, end.interface.as_str());
            if ports.contains(&port) {
                found.add(
                    format!("`{}` is in two rails of one machine.", end.interface),
                    "Plan again; each port belongs to one rail.",
                );
            }
            ports.push(port);
        }
    }
}

/// What stands against the plan on one machine.
fn on_machine(
    plan: &NetworkPlan,
    position: usize,
    facts: &Facts,
    networks: &[Network],
    found: &mut PlanFaults,
) {
    let ends: Vec<(&str, String)> = plan
        .rails
        .iter()
        .filter_map(|r| Some((r.prefix, r.ends.get(position)?)))
        .map(|(prefix, end)| (end.interface.as_str(), format!("{}/{prefix}", end.address)))
        .collect();
    let ours: Vec<&str> = ends.iter().map(|(name, _)| *name).collect();
    let mut in_place = true;
    for (name, address) in &ends {
        if facts.default_interface.as_deref() == Some(name) {
            found.add(
                format!(
                    "`{name}` on `{}` is how you reach the machine.",
                    facts.hostname
                ),
                "Use the ports of the private cable; Tandem never touches the management link.",
            );
            continue;
        }
        let Some(interface) = facts.interfaces.iter().find(|i| i.name == *name) else {
            found.add(
                format!("`{}` has no interface `{name}`.", facts.hostname),
                "Plan again; the cable may have moved to another port.",
            );
            continue;
        };
        if !interface.fabric {
            found.add(
                format!(
                    "`{name}` of `{}` is no port of the private cable.",
                    facts.hostname
                ),
                "Use the ports of the ConnectX-7; Tandem touches no other.",
            );
        }
        in_place &= interface.ipv4.contains(address) && interface.mtu == u32::from(plan.mtu);
    }
    let taken = taken::taken(facts, &ours);
    for network in networks {
        if let Some(theirs) = taken.iter().find(|t| t.network.overlaps(*network)) {
            found.add(
                format!("{network} collides with {theirs}."),
                "Choose another subnet.",
            );
        }
    }
    if in_place {
        // Nothing will be written, so it does not matter which file it comes from.
        return;
    }
    for file in facts.netplan.iter().filter(|f| f.path != netplan::FILE) {
        let Some(text) = &file.text else { continue };
        let named = facts
            .interfaces
            .iter()
            .filter(|i| ours.contains(&i.name.as_str()))
            .find(|i| netplan::names(text, &i.name, &i.mac));
        if let Some(port) = named {
            found
                .0
                .push(foreign(&file.path, &port.name).on(facts.hostname.clone()));
        }
    }
}

/// Another netplan file that has something to say about a port of ours.
pub(crate) fn foreign(path: &str, port: &str) -> Problem {
    Problem::new(Code::NetworkPlan, "The addresses cannot be used.")
        .cause(format!(
            "`{path}` names `{port}` as well, and netplan would mix both files."
        ))
        .fix("Take the port out of that file, or the file away, if you no longer need it; then plan again.")
}
