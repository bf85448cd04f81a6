//! Machines that could be added: what the network and `~/.ssh/config` tell, one entry for each machine.
//!
//! A Spark answers on its management port, on its radio and on both twins of the cable, so plain
//! listening finds it up to four times.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::machine::Facts;
use crate::network::address::Network;

/// A machine that was found on the network or in `~/.ssh/config`. One machine seen at several addresses
/// is one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Neighbour {
    /// What it calls itself, without `.local`.
    pub name: String,
    /// Where it answers, the one to use first: its name in `~/.ssh/config` if it has one, because the
    /// user and the key hang on that; link-local and private-link addresses last.
    pub addresses: Vec<String>,
    /// The SSH port.
    pub port: u16,
    /// The user, where `~/.ssh/config` names one.
    pub user: Option<String>,
    /// Whether its name is one that a Spark or an OEM twin carries from the factory.
    pub spark: bool,
    /// How it was found.
    pub by: FoundBy,
    /// Whether it was added already.
    pub added: bool,
}

/// See [`Neighbour`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum FoundBy {
    /// It announces itself by mDNS.
    Mdns,
    /// It stands in `~/.ssh/config`.
    SshConfig,
}

/// A service that one host announces by mDNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The host, with or without `.local.`
    pub host: String,
    /// Where it announces SSH; `None` if it announces only that it is there.
    pub ssh: Option<u16>,
    /// Its addresses, in no order.
    pub addresses: Vec<IpAddr>,
}

/// A name of `~/.ssh/config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The name.
    pub alias: String,
    /// Where it leads: a host name or an address.
    pub address: String,
    /// The SSH port.
    pub port: u16,
    /// The user, where given.
    pub user: Option<String>,
}

/// How interfaces begin that have the same address on many machines.
const VIRTUAL: &[&str] = &["docker", "br-", "virbr", "veth", "cni"];

/// A machine that was added already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Added {
    names: BTreeSet<String>,
    addresses: BTreeSet<Ipv4Addr>,
    links: Vec<Network>,
}

impl Added {
    /// By the address it was added with (and what `~/.ssh/config` makes of it), its port aside, and by
    /// its facts where they are known.
    pub fn new(address: &str, leads_to: &str, facts: Option<&Facts>) -> Self {
        let mut added = Self::default();
        for known in [address, leads_to] {
            match known.parse() {
                Ok(IpAddr::V4(ip)) => _ = added.addresses.insert(ip),
                _ => _ = added.names.insert(plain(known)),
            }
        }
        let Some(facts) = facts else {
            return added;
        };
        if !facts.hostname.is_empty() {
            added.names.insert(plain(&facts.hostname));
        }
        let real = |name: &str| !VIRTUAL.iter().any(|v| name.starts_with(v));
        for interface in facts.interfaces.iter().filter(|i| real(&i.name)) {
            for (ip, network) in interface.ipv4.iter().filter_map(|a| Network::parse(a)) {
                if interface.fabric {
                    added.links.push(network);
                } else {
                    added.addresses.insert(ip);
                }
            }
        }
        added
    }
}

/// How a Spark and its twins by ASUS, HP, Acer, Dell, MSI and others are named in the factory: a word and the last four
/// digits of the management port's MAC. People rename them, so this is a hint and never a condition.
pub fn factory_name(name: &str) -> bool {
    let name = plain(name);
    let Some((word, tail)) = name.rsplit_once('-') else {
        return false;
    };
    matches!(
        word,
        "spark" | "gx10" | "zgx" | "gn100" | "promaxgb10" | "edgexpert"
    ) && tail.len() == 4
        && tail.bytes().all(|b| b.is_ascii_hexdigit())
}

/// One entry for each machine: Sparks first, then by name. `ours` says whether an address is one of this
/// computer's own, which is left out.
pub fn neighbours(
    seen: &[Sighting],
    configured: &[Configured],
    added: &[Added],
    ours: &dyn Fn(IpAddr) -> bool,
) -> Vec<Neighbour> {
    let links: Vec<Network> = added.iter().flat_map(|a| a.links.iter().copied()).collect();
    let mut machines: Vec<Found> = Vec::new();
    for sighting in seen {
        join(&mut machines, Found::seen(sighting, &links));
    }
    machines.retain_mut(|f| f.worth_showing(ours));
    for host in configured {
        let entry = Found::configured(host, &links);
        let here = entry.ips.iter().any(|ip| ours(*ip) || ip.is_loopback());
        if !here && !host.address.eq_ignore_ascii_case("localhost") {
            join(&mut machines, entry);
        }
    }
    let machines = mark(machines, added);
    let mut list: Vec<_> = machines.into_iter().map(|f| f.show(&links)).collect();
    list.sort_by(|a, b| (!a.spark, &a.name).cmp(&(!b.spark, &b.name)));
    list
}

/// Puts an entry to the one it is the same machine as; it may turn out that several are.
fn join(machines: &mut Vec<Found>, mut entry: Found) {
    while let Some(at) = machines.iter().position(|f| f.is(&entry)) {
        let mut known = machines.remove(at);
        known.absorb(entry);
        entry = known;
    }
    machines.push(entry);
}

/// Says which machines were added, and makes one of those that are one. An address says it for certain;
/// a host name only counts where no address does, because a second machine of the same name calls itself
/// differently by mDNS.
fn mark(mut machines: Vec<Found>, added: &[Added]) -> Vec<Found> {
    for known in added {
        let by_address = |f: &Found| {
            let here = |ip: &IpAddr| matches!(ip, IpAddr::V4(ip) if known.addresses.contains(ip));
            f.ordinary.iter().any(here)
        };
        let by_name = |f: &Found| f.names.union(&f.aliases()).any(|n| known.names.contains(n));
        let (mut its, mut rest): (Vec<_>, Vec<_>) = machines.into_iter().partition(by_address);
        if its.is_empty() {
            (its, rest) = rest.into_iter().partition(by_name);
        }
        let one = its.into_iter().reduce(|mut one, other| {
            one.absorb(other);
            one
        });
        rest.extend(one.map(|one| Found { added: true, ..one }));
        machines = rest;
    }
    machines
}

/// A machine while it is put together.
struct Found {
    /// What to call it: the mDNS name, or the first alias.
    name: String,
    /// The host names it answers to.
    names: BTreeSet<String>,
    aliases: Vec<String>,
    /// A host name that `~/.ssh/config` leads to.
    leads_to: Option<String>,
    ips: BTreeSet<IpAddr>,
    /// Those of the addresses that belong to one machine only.
    ordinary: BTreeSet<IpAddr>,
    port: Option<u16>,
    user: Option<String>,
    by: FoundBy,
    added: bool,
}

impl Found {
    fn seen(sighting: &Sighting, links: &[Network]) -> Self {
        let name = plain(&sighting.host);
        Self {
            names: BTreeSet::from([name.clone()]),
            name,
            aliases: Vec::new(),
            leads_to: None,
            ips: sighting.addresses.iter().copied().collect(),
            ordinary: ordinary(&sighting.addresses, links),
            port: sighting.ssh,
            user: None,
            by: FoundBy::Mdns,
            added: false,
        }
    }

    fn configured(host: &Configured, links: &[Network]) -> Self {
        let ip: Option<IpAddr> = host.address.parse().ok();
        let elsewhere = ip.is_none() && host.address != host.alias;
        Self {
            name: host.alias.clone(),
            // Not the alias: where it leads elsewhere, it says nothing about who is called so.
            names: ip
                .is_none()
                .then(|| plain(&host.address))
                .into_iter()
                .collect(),
            aliases: vec![host.alias.clone()],
            leads_to: elsewhere.then(|| host.address.clone()),
            ips: ip.into_iter().collect(),
            ordinary: ordinary(ip.as_slice(), links),
            port: Some(host.port),
            user: host.user.clone(),
            by: FoundBy::SshConfig,
            added: false,
        }
    }

    /// Whether both are one machine. On a network a host name is one machine's, whereas virtual bridges
    /// have the same address on many; what `~/.ssh/config` leads to is said by the address alone.
    fn is(&self, other: &Self) -> bool {
        let written = !self.aliases.is_empty() || !other.aliases.is_empty();
        self.names.intersection(&other.names).next().is_some()
            || written && self.ordinary.intersection(&other.ordinary).next().is_some()
    }

    /// The names of `~/.ssh/config`, as host names are compared.
    fn aliases(&self) -> BTreeSet<String> {
        self.aliases.iter().map(|a| plain(a)).collect()
    }

    fn absorb(&mut self, other: Self) {
        self.names.extend(other.names);
        self.ips.extend(other.ips);
        self.ordinary.extend(other.ordinary);
        // What the person wrote down about a machine counts before what it announces, and the first
        // name that was written down before later ones.
        if self.aliases.is_empty() && !other.aliases.is_empty() {
            self.port = other.port;
            self.user = other.user;
        } else {
            self.port = self.port.or(other.port);
            self.user = self.user.take().or(other.user);
        }
        self.leads_to = self.leads_to.take().or(other.leads_to);
        self.aliases.extend(other.aliases);
    }

    /// Takes out what leads nowhere or to this computer. False if nothing is left, or if this is no
    /// machine to offer.
    fn worth_showing(&mut self, ours: &dyn Fn(IpAddr) -> bool) -> bool {
        if self.port.is_none() && !factory_name(&self.name) {
            return false;
        }
        self.ips.retain(|ip| !everywhere(*ip));
        // A host with IPv4 is judged by that: whether a link-local IPv6 address is this computer's own
        // cannot be asked without the interface.
        if self.ips.iter().any(IpAddr::is_ipv4) {
            self.ips.retain(IpAddr::is_ipv4);
        }
        self.ips.retain(|ip| !ours(*ip));
        !self.ips.is_empty()
    }

    fn show(self, links: &[Network]) -> Neighbour {
        let aliases = self.aliases();
        let mut ips: Vec<IpAddr> = self.ips.into_iter().collect();
        ips.sort_by_key(|ip| (last(*ip, links), *ip));
        let ips = ips.into_iter().map(|ip| match ip {
            // Without the interface such an address leads nowhere; the name does.
            IpAddr::V6(v6) if v6.is_unicast_link_local() => format!("{}.local", self.name),
            ip => ip.to_string(),
        });
        let mut addresses = Vec::new();
        for address in self.aliases.into_iter().chain(ips).chain(self.leads_to) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Neighbour {
            spark: self.names.iter().chain(&aliases).any(|n| factory_name(n)),
            name: self.name,
            addresses,
            port: self.port.unwrap_or(22),
            user: self.user,
            by: self.by,
            added: self.added,
        }
    }
}

fn plain(name: &str) -> String {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.strip_suffix(".local").unwrap_or(&name).to_owned()
}

/// Addresses that many machines have at once, so that they say nothing: loopback and Docker's bridge.
fn everywhere(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified() || ip == IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1))
}

/// The addresses that belong to one machine only. Those of cables are used again behind each cable.
fn ordinary(ips: &[IpAddr], links: &[Network]) -> BTreeSet<IpAddr> {
    let one = |ip: &&IpAddr| ip.is_ipv4() && !everywhere(**ip) && last(**ip, links) == 0;
    ips.iter().filter(one).copied().collect()
}

/// How far back an address stands: ordinary ones, those of a cable, link-local ones, IPv6.
fn last(ip: IpAddr, links: &[Network]) -> u8 {
    match ip {
        IpAddr::V4(v4) if v4.is_link_local() => 2,
        IpAddr::V4(v4) => {
            let alone = Network::of(v4, 32);
            let cable = alone.is_some_and(|a| links.iter().any(|l| l.overlaps(a)));
            u8::from(cable)
        }
        IpAddr::V6(v6) if v6.is_unicast_link_local() => 4,
        IpAddr::V6(_) => 3,
    }
}

#[cfg(test)]
mod tests;
