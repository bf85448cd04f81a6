//! Network interfaces by sysfs, with their addresses and RDMA devices.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use tandem_domain::machine::{Interface, Lanes};

use super::{parse, run};

/// A cable has one neighbour, a switch some; more are of no use.
const NEIGHBOURS: usize = 16;

/// The vendor of ConnectX cards.
const MELLANOX: &str = "0x15b3";

/// All interfaces but loopback, in name order.
pub fn interfaces(class: &Path) -> Vec<Interface> {
    let said = run("ip", &["-j", "addr", "show"]).unwrap_or_default();
    let mut list = interfaces_with(class, &parse::ip_addresses(&said));
    let said = run("ip", &["-j", "neigh", "show"]).unwrap_or_default();
    let met = parse::neighbours(&said);
    for interface in list.iter_mut().filter(|i| i.fabric) {
        let here = met.iter().filter(|(device, _)| *device == interface.name);
        interface.neighbours = here.map(|(_, mac)| mac.clone()).take(NEIGHBOURS).collect();
    }
    list
}

/// All interfaces but loopback, in name order, with the addresses that `ip` told of.
pub fn interfaces_with(class: &Path, addresses: &[parse::Addressed]) -> Vec<Interface> {
    let net = class.join("net");
    let rdma = rdma_devices(class);
    let mut list: Vec<Interface> = names(&net)
        .into_iter()
        .filter(|name| name != "lo")
        // Files such as `bonding_masters` lie among the interfaces.
        .filter(|name| net.join(name).is_dir())
        .map(|name| {
            let here = net.join(&name);
            // Reading a carrier or a speed fails while the interface is down; that means no.
            let read = |file: &str| {
                std::fs::read_to_string(here.join(file))
                    .ok()
                    .map(|t| t.trim().to_owned())
                    .filter(|t| !t.is_empty())
            };
            let number = |file: &str| read(file).and_then(|t| t.parse::<u32>().ok());
            let by_name = parse::fabric_port(&name);
            let ipv4 = addresses
                .iter()
                .find(|a| a.name == name)
                .map(|a| a.ipv4.clone())
                .unwrap_or_default();
            let device = rdma.get(&name);
            let port_of_device = device.map(|d| class.join("infiniband").join(d).join("ports/1"));
            Interface {
                port: read("phys_port_name").or_else(|| by_name.clone()),
                fabric: by_name.is_some() || read("device/vendor").as_deref() == Some(MELLANOX),
                carrier: read("carrier").as_deref() == Some("1"),
                speed: read("speed")
                    .and_then(|s| s.parse::<i64>().ok())
                    .and_then(|s| u32::try_from(s).ok())
                    .filter(|s| *s > 0 && *s != u32::MAX),
                mtu: number("mtu").unwrap_or(0),
                mac: read("address").unwrap_or_default(),
                rdma_state: port_of_device
                    .as_ref()
                    .and_then(|p| std::fs::read_to_string(p.join("state")).ok())
                    .and_then(|t| parse::rdma_state(&t)),
                gid: port_of_device.as_ref().and_then(|p| gid(p, &name, &ipv4)),
                rdma: device.cloned(),
                wireless: here.join("wireless").exists() || here.join("phy80211").exists(),
                up: read("flags").is_some_and(|f| parse::is_up(&f)),
                lanes: number("device/current_link_width")
                    .zip(number("device/max_link_width"))
                    .map(|(now, most)| Lanes { now, most }),
                owner: None,
                master: std::fs::read_link(here.join("master"))
                    .ok()
                    .and_then(|to| Some(to.file_name()?.to_string_lossy().into_owned())),
                virtual_function: here.join("device/physfn").exists(),
                neighbours: Vec::new(),
                ipv4,
                name,
            }
        })
        .collect();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    list
}

/// Firmware of the adapter, the same for all its functions.
pub fn firmware(class: &Path) -> Option<String> {
    let devices = class.join("infiniband");
    let mut all = names(&devices);
    all.sort();
    all.iter().find_map(|device| {
        let text = std::fs::read_to_string(devices.join(device).join("fw_ver")).ok()?;
        Some(text.trim().to_owned()).filter(|t| !t.is_empty())
    })
}

/// The smallest index that is RoCE v2, on this interface and of one of its IPv4 addresses. It moves with
/// the number of addresses, so it is looked for each time.
fn gid(port: &Path, interface: &str, ipv4: &[String]) -> Option<u32> {
    let wanted: Vec<Ipv4Addr> = ipv4
        .iter()
        .filter_map(|a| a.split('/').next()?.parse().ok())
        .collect();
    let mut indices: Vec<u32> = names(&port.join("gids"))
        .iter()
        .filter_map(|n| n.parse().ok())
        .collect();
    indices.sort_unstable();
    // Reading the attributes of an empty entry fails; that means no.
    let read = |folder: &str, index: u32| {
        std::fs::read_to_string(port.join(folder).join(index.to_string()))
            .map(|t| t.trim().to_owned())
            .unwrap_or_default()
    };
    indices.into_iter().find(|&i| {
        read("gid_attrs/types", i) == "RoCE v2"
            && read("gid_attrs/ndevs", i) == interface
            && parse::gid_ipv4(&read("gids", i)).is_some_and(|a| wanted.contains(&a))
    })
}

/// Interface to RDMA device, by sysfs or, where the kernel shows none there, by the vendor's tool.
fn rdma_devices(class: &Path) -> BTreeMap<String, String> {
    let devices = class.join("infiniband");
    let mut map = BTreeMap::new();
    for device in names(&devices) {
        for interface in names(&devices.join(&device).join("device/net")) {
            map.insert(interface, device.clone());
        }
    }
    if map.is_empty() {
        let said = run("ibdev2netdev", &[]).unwrap_or_default();
        for (device, interface) in parse::ibdev2netdev(&said) {
            map.insert(interface, device);
        }
    }
    map
}

fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .map(|list| {
            list.flatten()
                .map(|e| e.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cabled_port_in_sysfs() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        // As the samples of a cabled port show the tree.
        put("net/enp1s0f1np1/phys_port_name", "p1\n");
        put("net/enp1s0f1np1/carrier", "1\n");
        put("net/enp1s0f1np1/speed", "200000\n");
        put("net/enp1s0f1np1/mtu", "9000\n");
        put("net/enp1s0f1np1/address", "4c:bb:47:2f:fb:99\n");
        put("net/enp1s0f0np0/speed", "-1\n");
        put("net/enp1s0f0np0/mtu", "1500\n");
        put("net/enp1s0f0v0/device/physfn/vendor", "0x15b3\n");
        put("net/bond0/mtu", "9000\n");
        let master = dir.path().join("net/enp1s0f0np0/master");
        std::os::unix::fs::symlink("../bond0", master).unwrap();
        put("net/lo/mtu", "65536\n");
        put("net/bonding_masters", "");
        put("infiniband/rocep1s0f1/device/net/enp1s0f1np1/mtu", "9000\n");
        let list = interfaces(dir.path());
        let names: Vec<&str> = list.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["bond0", "enp1s0f0np0", "enp1s0f0v0", "enp1s0f1np1"]);
        assert!(list[2].virtual_function && !list[3].virtual_function);
        assert_eq!(list[1].master.as_deref(), Some("bond0"));
        let cabled = &list[3];
        assert!(cabled.fabric && cabled.carrier);
        assert_eq!(cabled.speed, Some(200_000));
        assert_eq!(cabled.rdma.as_deref(), Some("rocep1s0f1"));
        assert_eq!(cabled.port.as_deref(), Some("p1"));
        let down = &list[1];
        assert!(down.fabric && !down.carrier);
        assert_eq!(down.speed, None, "-1 is no speed");
        assert_eq!(down.port.as_deref(), Some("p0"), "by its name");
    }
}
