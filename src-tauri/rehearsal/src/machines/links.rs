//! The network of a simulated machine: its interfaces in a file, and the tools that change them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tandem_domain::machine::{Interface, Lanes, NetplanFile, Owner, Route};
use tandem_domain::network::address::Network;

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SimulatedPort {
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    pub(crate) mac: String,
    /// `a.b.c.d/n`
    pub(crate) addresses: Vec<String>,
    /// The RDMA device, on the two ends of the cable.
    pub(crate) rdma: Option<String>,
}

/// All interfaces of one machine.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    file: PathBuf,
    netplan: PathBuf,
}

/// The MAC address of the same interface of the other machine: they differ in the machine's number.
fn other_end(mac: &str) -> String {
    match mac.contains(":01:") {
        true => mac.replacen(":01:", ":02:", 1),
        false => mac.replacen(":02:", ":01:", 1),
    }
}

/// What a tool printed and how it ended.
pub(crate) type CommandResult = (i32, String, String);

impl Links {
    pub(crate) fn new(machine: &Path) -> Self {
        Self {
            file: machine.join("links.json"),
            netplan: machine.join("root/etc/netplan"),
        }
    }

    /// Lays them out as on a machine that was never set up: a cable in port 1, no addresses on it.
    pub(crate) fn lay_out(&self, number: u8) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.netplan)?;
        if self.file.exists() {
            return Ok(());
        }
        let link =
            |name: &str, last: u8, rdma: Option<&str>, addresses: Vec<String>| SimulatedPort {
                name: name.into(),
                up: true,
                mtu: 1500,
                mac: format!("4c:bb:47:00:0{number}:{last:02x}"),
                addresses,
                rdma: rdma.map(str::to_owned),
            };
        self.save(&[
            link(
                "enP7s7",
                1,
                None,
                vec![format!("192.168.77.{}/24", 10 + number)],
            ),
            link("enp1s0f1np1", 2, Some("rocep1s0f1"), Vec::new()),
            link("enP2p1s0f1np1", 3, Some("roceP2p1s0f1"), Vec::new()),
        ])
    }

    pub(crate) fn read(&self) -> Vec<SimulatedPort> {
        let text = std::fs::read(&self.file).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn save(&self, links: &[SimulatedPort]) -> std::io::Result<()> {
        let draft = self.file.with_extension("draft");
        std::fs::write(&draft, serde_json::to_vec_pretty(links)?)?;
        std::fs::rename(draft, &self.file)
    }

    /// Whether an address stands on one of the ends of the cable here.
    pub(crate) fn has(&self, address: &str) -> bool {
        address.parse::<std::net::Ipv4Addr>().is_ok()
            && self.read().iter().any(|link| {
                let own = |a: &String| a.split('/').next() == Some(address);
                link.rdma.is_some() && link.up && link.addresses.iter().any(own)
            })
    }

    /// As `tandem-node facts` reports them.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        let as_interface = |link: SimulatedPort| {
            let fabric = link.rdma.is_some();
            Interface {
                port: fabric.then(|| "p1".to_owned()),
                fabric,
                carrier: link.up,
                speed: Some(if fabric { 200_000 } else { 10_000 }),
                mtu: link.mtu,
                mac: link.mac.clone(),
                rdma_state: fabric.then(|| if link.up { "ACTIVE" } else { "DOWN" }.to_owned()),
                // With the link-local entries before it, as on a Spark with one address.
                gid: (fabric && !link.addresses.is_empty()).then_some(3),
                // Whoever has an address there has sent the other end a packet.
                neighbours: match fabric && !link.addresses.is_empty() {
                    true => vec![other_end(&link.mac)],
                    false => Vec::new(),
                },
                master: None,
                virtual_function: false,
                wireless: false,
                lanes: fabric.then_some(Lanes { now: 4, most: 4 }),
                owner: Some(Owner::Unmanaged),
                ipv4: link.addresses,
                rdma: link.rdma,
                name: link.name,
                up: link.up,
            }
        };
        self.read().into_iter().map(as_interface).collect()
    }

    /// The routes that the addresses bring, and the default route over the first interface.
    pub(crate) fn routes(&self) -> Vec<Route> {
        let links = self.read();
        let default = links.first().map(|l| Route {
            to: "0.0.0.0/0".into(),
            interface: l.name.clone(),
        });
        let mut routes: Vec<Route> = default.into_iter().collect();
        for link in links.iter().filter(|l| l.up) {
            routes.extend(link.addresses.iter().filter_map(|a| {
                Some(Route {
                    to: Network::parse(a)?.1.to_string(),
                    interface: link.name.clone(),
                })
            }));
        }
        routes
    }

    /// The names of the netplan files; on a Spark only root reads them.
    pub(crate) fn netplan_files(&self) -> Vec<NetplanFile> {
        let mut names: Vec<String> = std::fs::read_dir(&self.netplan)
            .into_iter()
            .flatten()
            .flatten()
            .map(|f| f.file_name().to_string_lossy().into_owned())
            .filter(|n| n.ends_with(".yaml"))
            .collect();
        names.sort();
        names
            .into_iter()
            .map(|name| NetplanFile {
                path: format!("/etc/netplan/{name}"),
                text: None,
            })
            .collect()
    }

    /// `ip …`: showing, and the few changes that an undo makes.
    pub(crate) fn ip(&self, args: &[&str]) -> CommandResult {
        let mut links = self.read();
        let refused = |why: &str| (2, String::new(), format!("{why}\n"));
        let words: Vec<&str> = args
            .iter()
            .copied()
            .filter(|a| !a.starts_with('-'))
            .collect();
        let named = |name: &str| links.iter().position(|l| l.name == name);
        match words.as_slice() {
            [] | ["addr" | "address" | "a" | "link", ..]
                if words.len() < 2 || words[1] == "show" =>
            {
                return (0, show(&links), String::new());
            }
            [
                "addr" | "address",
                act @ ("add" | "replace" | "del"),
                address,
                "dev",
                name,
            ] => {
                let Some(at) = named(name) else {
                    return refused(&format!("Cannot find device \"{name}\""));
                };
                let there = links[at].addresses.iter().position(|a| a == address);
                match (*act, there) {
                    ("del", Some(i)) => drop(links[at].addresses.remove(i)),
                    ("del", None) => {
                        return refused("RTNETLINK answers: Cannot assign requested address");
                    }
                    ("add", Some(_)) => return refused("RTNETLINK answers: File exists"),
                    (_, Some(_)) => {}
                    (_, None) => links[at].addresses.push((*address).to_owned()),
                }
            }
            ["link", "set", rest @ ..] => {
                let rest = rest.strip_prefix(&["dev"]).unwrap_or(rest);
                let Some(at) = rest.first().and_then(|name| named(name)) else {
                    return refused("Cannot find device");
                };
                match rest.get(1..) {
                    Some(["up"]) => links[at].up = true,
                    Some(["down"]) => links[at].up = false,
                    Some(["mtu", mtu]) if mtu.parse::<u32>().is_ok() => {
                        links[at].mtu = mtu.parse().unwrap_or(1500);
                    }
                    _ => return refused("Error: either \"dev\" is duplicate, or not understood."),
                }
            }
            _ => return refused("Object or command is unknown here."),
        }
        self.saved(&links)
    }

    fn saved(&self, links: &[SimulatedPort]) -> CommandResult {
        match self.save(links) {
            Ok(()) => (0, String::new(), String::new()),
            Err(error) => (1, String::new(), format!("{error}\n")),
        }
    }

    /// The same interfaces with the netplan files of a scratch folder.
    pub(crate) fn in_scratch(&self, root: &Path) -> Self {
        Self {
            file: self.file.clone(),
            netplan: root.join("etc/netplan"),
        }
    }

    /// `netplan generate` and `netplan apply`. As the real one, it leaves what no file names.
    pub(crate) fn netplan(&self, act: &str) -> CommandResult {
        let mut links = self.read();
        let Ok(files) = std::fs::read_dir(&self.netplan) else {
            return (0, String::new(), String::new());
        };
        let mut files: Vec<PathBuf> = files
            .flatten()
            .map(|f| f.path())
            .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
            .collect();
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if let Err(why) = apply(&text, &mut links) {
                return (78, String::new(), format!("{}:{why}\n", file.display()));
            }
        }
        if act == "generate" {
            return (0, String::new(), String::new());
        }
        self.saved(&links)
    }

    /// Whether a packet of this size reaches `target` on `other` over this machine's `interface`.
    pub(crate) fn reaches(
        &self,
        other: &Self,
        interface: Option<&str>,
        target: &str,
        size: u32,
    ) -> bool {
        let whole = size + 28;
        let address = |text: &str| text.split('/').next().map(str::to_owned);
        let there = other.read().into_iter().find(|l| {
            l.addresses
                .iter()
                .any(|a| address(a).as_deref() == Some(target))
        });
        let Some(there) = there else {
            return false;
        };
        self.read().iter().any(|here| {
            interface.is_none_or(|i| {
                i == here.name
                    || here
                        .addresses
                        .iter()
                        .any(|a| address(a).as_deref() == Some(i))
            }) && here.name == there.name
                && here.up
                && there.up
                && whole <= here.mtu.min(there.mtu)
                && here.addresses.iter().any(|a| same_subnet(a, target))
        })
    }
}

/// Whether `target` lies in the subnet of `address`.
fn same_subnet(address: &str, target: &str) -> bool {
    let Some((ip, prefix)) = address.split_once('/') else {
        return false;
    };
    let (Ok(ip), Ok(target), Ok(prefix)) = (
        ip.parse::<std::net::Ipv4Addr>(),
        target.parse::<std::net::Ipv4Addr>(),
        prefix.parse::<u32>(),
    ) else {
        return false;
    };
    let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
    u32::from(ip) & mask == u32::from(target) & mask
}

/// `ip -j addr show`.
fn show(links: &[SimulatedPort]) -> String {
    let all: Vec<_> = links
        .iter()
        .enumerate()
        .map(|(i, l)| {
            let addresses: Vec<_> = l
                .addresses
                .iter()
                .filter_map(|a| a.split_once('/'))
                .map(|(ip, n)| json!({"family": "inet", "local": ip, "prefixlen": n.parse::<u32>().unwrap_or(32), "scope": "global", "label": l.name}))
                .collect();
            let mut flags = vec!["BROADCAST", "MULTICAST"];
            if l.up {
                flags.extend(["UP", "LOWER_UP"]);
            }
            json!({
                "ifindex": i + 2, "ifname": l.name, "flags": flags, "mtu": l.mtu,
                "operstate": if l.up { "UP" } else { "DOWN" }, "link_type": "ether",
                "address": l.mac, "addr_info": addresses,
            })
        })
        .collect();
    json!(all).to_string()
}

/// Takes over what a netplan file says of addresses and MTU. Only the plain form is understood.
fn apply(text: &str, links: &mut [SimulatedPort]) -> Result<(), String> {
    let mut current: Option<usize> = None;
    let mut listing = false;
    for (number, line) in text.lines().enumerate() {
        let code = line.split('#').next().unwrap_or_default();
        if code.contains('\t') {
            return Err(format!(
                "{}:1: Invalid YAML: tabs are not allowed for indent",
                number + 1
            ));
        }
        let code = code.trim();
        let bare = |value: &str| value.trim().trim_matches(['"', '\'']).to_owned();
        if let Some(item) = code.strip_prefix("- ") {
            if let (true, Some(at)) = (listing, current) {
                add(&mut links[at], bare(item));
            }
            continue;
        }
        let Some((key, value)) = code.split_once(':') else {
            if code.is_empty() {
                continue;
            }
            return Err(format!(
                "{}:1: Invalid YAML: expected a mapping",
                number + 1
            ));
        };
        let key = bare(key);
        listing = key == "addresses";
        if let Some(at) = links.iter().position(|l| l.name == key) {
            current = Some(at);
            links[at].up = true;
        } else if let Some(at) = current {
            if listing {
                for item in value
                    .trim()
                    .trim_matches(['[', ']'])
                    .split(',')
                    .map(bare)
                    .filter(|i| !i.is_empty())
                {
                    add(&mut links[at], item);
                }
            } else if key == "mtu" {
                links[at].mtu = bare(value)
                    .parse()
                    .map_err(|_| format!("{}:1: invalid mtu", number + 1))?;
            }
        }
    }
    Ok(())
}

fn add(link: &mut SimulatedPort, address: String) {
    if !link.addresses.contains(&address) {
        link.addresses.push(address);
    }
}

/// Two machines as they are delivered, each in a folder of its own.
#[cfg(test)]
pub(super) fn pair(dir: &Path) -> Vec<Links> {
    let one = |n: u8| {
        let folder = dir.join(n.to_string());
        std::fs::create_dir_all(&folder).expect("made");
        let links = Links::new(&folder);
        links.lay_out(n).expect("laid out");
        links
    };
    [1, 2].map(one).into()
}

#[cfg(test)]
mod tests {
    use super::pair;

    #[test]
    fn a_file_addresses_the_twins_and_large_packets_pass_then() {
        let dir = tempfile::tempdir().expect("folder");
        let machines = pair(dir.path());
        for (i, links) in machines.iter().enumerate() {
            let text = format!(
                "network:\n  version: 2\n  ethernets:\n    enp1s0f1np1:\n      dhcp4: false\n      mtu: 9000\n      addresses:\n        - 10.100.10.{}/30\n",
                i + 1
            );
            std::fs::write(links.netplan.join("90-x.yaml"), text).expect("written");
        }
        assert!(!machines[0].reaches(&machines[1], Some("enp1s0f1np1"), "10.100.10.2", 8972));
        assert_eq!(machines[0].netplan("apply").0, 0);
        assert_eq!(machines[1].netplan("apply").0, 0);
        assert!(machines[0].reaches(&machines[1], Some("enp1s0f1np1"), "10.100.10.2", 8972));
        assert!(
            !machines[0].reaches(&machines[1], Some("enp1s0f1np1"), "10.100.10.2", 8973),
            "one byte too many"
        );
        assert_eq!(
            machines[0]
                .ip(&["addr", "del", "10.100.10.1/30", "dev", "enp1s0f1np1"])
                .0,
            0
        );
        assert!(
            !machines[0].reaches(&machines[1], None, "10.100.10.2", 10),
            "undone"
        );
        std::fs::write(
            machines[0].netplan.join("91-bad.yaml"),
            "network:\n\tversion: 2\n",
        )
        .expect("written");
        assert_eq!(machines[0].netplan("generate").0, 78);
    }
}
