//! What stands against a plan of addresses.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use crate::machine::{Facts, Interface, Owner};
use crate::network::address::{Network, is_private};
use crate::network::netplan::{self, Claim};
use crate::network::{NetworkPlan, Rail, taken};
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
            found.0.push(default_route(facts, name));
            continue;
        }
        let Some(interface) = facts.interfaces.iter().find(|i| i.name == *name) else {
            found.add(
                format!("`{}` has no interface `{name}`.", facts.hostname),
                "Plan again; the cable may have moved to another port.",
            );
            continue;
        };
        found.0.extend(member(facts, interface));
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
            .find_map(|i| Some((i, netplan::claim(text, &i.name, &i.mac)?)));
        if let Some((port, claim)) = named {
            found
                .0
                .push(foreign(&file.path, &port.name, &claim).on(facts.hostname.clone()));
        }
    }
}

/// Another netplan file that has something to say about a port of ours. Who writes the file decides what helps.
pub(crate) fn foreign(path: &str, port: &str, claim: &Claim) -> Problem {
    let problem = Problem::new(Code::NetworkPlan, "The addresses cannot be used.");
    let file = path.rsplit('/').next().unwrap_or_default();
    match claim {
        Claim::Member(upper) => problem
            .cause(format!(
                "`{path}` makes `{port}` a member of `{upper}`, and a member gets no address of its own."
            ))
            .fix(give_up(upper)),
        Claim::Profile { uuid, name } => problem
            .cause(format!(
                "`{path}` holds the NetworkManager profile `{name}` for `{port}`, and netplan would mix both."
            ))
            .fix(format!(
                "Remove the profile with `sudo nmcli connection delete uuid {uuid}`, or give it another port with `sudo nmcli connection modify uuid {uuid} connection.interface-name NAME`; then plan again."
            )),
        Claim::Port if file.contains("cloud-init") => problem
            .cause(format!(
                "`{path}` names `{port}` as well, and netplan would mix both files. cloud-init writes that file again at a start."
            ))
            .fix(
                "Write `network: {config: disabled}` into `/etc/cloud/cloud.cfg.d/99-disable-network-config.cfg`, take the port out of the file, then plan again.",
            ),
        Claim::Port => problem
            .cause(format!(
                "`{path}` names `{port}` as well, and netplan would mix both files."
            ))
            .fix("Take the port out of that file, or the file away, if you no longer need it; then plan again."),
        Claim::Unreadable => problem
            .cause(format!(
                "`{path}` is not YAML that Tandem can read, and `{port}` stands in it."
            ))
            .fix("Run `sudo netplan get`, which names the line that is wrong; mend it, then plan again."),
    }
}

/// A port that the default route leads through. Where another port has one too, this one has it from a profile that
/// nobody made for it, as a rule by DHCP from what the cable leads to.
fn default_route(facts: &Facts, port: &str) -> Problem {
    let problem = Problem::new(Code::NetworkPlan, "The addresses cannot be used.");
    let other = facts
        .routes
        .iter()
        .find(|r| r.to == "0.0.0.0/0" && r.interface != port);
    let owner = facts.interfaces.iter().find(|i| i.name == port);
    let profile = owner.and_then(|i| match &i.owner {
        Some(Owner::NetworkManager {
            profile: Some(uuid),
            name,
        }) => Some((uuid, name.as_deref().unwrap_or("without a name"))),
        _ => None,
    });
    match (other, profile) {
        (Some(other), Some((uuid, name))) => problem
            .cause(format!(
                "The default route of `{}` leads through `{port}`, by the NetworkManager profile `{name}`; `{}` has one too.",
                facts.hostname, other.interface
            ))
            .fix(format!(
                "If you reach the machine by `{}`, run `sudo nmcli connection modify uuid {uuid} ipv4.never-default yes` and `sudo nmcli connection up uuid {uuid}`; then plan again.",
                other.interface
            )),
        _ => problem
            .cause(format!(
                "`{port}` on `{}` is how you reach the machine.",
                facts.hostname
            ))
            .fix("Use the ports of the private cable; Tandem never touches the management link."),
    }
}

/// Why a port that belongs to a bond or a bridge gets no address.
pub(crate) fn member(facts: &Facts, port: &Interface) -> Option<Problem> {
    let upper = facts.upper(port)?;
    let has = facts.interfaces.iter().find(|i| i.name == upper);
    let addresses = has.map(|i| i.ipv4.join(" and ")).unwrap_or_default();
    Some(
        Problem::new(Code::NetworkPlan, "The addresses cannot be used.")
            .cause(format!(
                "`{}` of `{}` belongs to `{upper}`{}. A member gets no address of its own.",
                port.name,
                facts.hostname,
                match addresses.as_str() {
                    "" => String::new(),
                    all => format!(", which has {all}"),
                }
            ))
            .fix(give_up(upper))
            .on(facts.hostname.clone()),
    )
}

/// What to do about a bond or a bridge.
pub(in crate::network) fn give_up(upper: &str) -> String {
    format!(
        "Give up `{upper}` on both machines, where it was made, so that each rail can have addresses of its own; then \
         plan again. Or keep it: Tandem then serves on one machine at a time."
    )
}
