//! From what a command printed to a [`Tree`].

use tandem_node::facts::parse;

use super::tree::{FUNCTIONS, Tree};

/// A capture without the lines that say where it comes from.
pub(crate) fn capture(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
    let text = std::fs::read_to_string(format!("{root}{path}")).expect(path);
    assert!(
        text.starts_with("#% PROVENANCE"),
        "{path} says where it is from"
    );
    text.lines()
        .filter(|line| !line.starts_with("#%"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// `ibdev2netdev`.
pub(crate) fn ibdev2netdev(text: &str) -> Tree {
    if parse::ibdev2netdev(text).is_empty() {
        return Tree::asleep();
    }
    let tree = Tree::linked(&[]);
    for ((device, name), line) in parse::ibdev2netdev(text).iter().zip(text.lines()) {
        assert!(FUNCTIONS.iter().any(|(n, d, _)| n == name && d == device));
        tree.interface(name, line.ends_with("(Up)"));
    }
    tree
}

/// `rdma link`.
pub(crate) fn rdma_link(text: &str) -> Tree {
    let tree = Tree::linked(&[]);
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[2], words[6]), ("state", "netdev"), "{line}");
        tree.interface(words[7], words[3] == "ACTIVE");
    }
    tree
}

/// `ip a` and `ip addr show`, over a machine that is linked in port 1 where it shows only some interfaces.
pub(crate) fn ip_a(text: &str) -> Tree {
    let mut tree = if text.contains("enP2p1s0f1np1") {
        Tree::asleep()
    } else {
        port1()
    };
    let mut name = "";
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') {
            name = words[1].trim_end_matches(':');
            tree.interface(name, words[2].contains("LOWER_UP"));
            tree.put(&format!("net/{name}/mtu"), words[4]);
        } else if words[0] == "inet" && name != "lo" {
            tree.address(name, words[1]);
        }
    }
    tree
}

/// `ip -br link` and `ip -br addr`.
pub(crate) fn ip_br(text: &str) -> Tree {
    let mut tree = Tree::asleep();
    for line in text.lines().filter(|l| !l.starts_with("lo ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        tree.interface(words[0], words[1] == "UP");
        for address in words[2..].iter().filter(|w| w.contains('.')) {
            tree.address(words[0], address);
        }
    }
    tree
}

/// `ip -j addr show`.
pub(crate) fn ip_json(text: &str) -> Tree {
    let mut tree = Tree::asleep();
    let list: Vec<serde_json::Value> = serde_json::from_str(text).expect("JSON");
    for entry in list.iter().filter(|e| e["ifname"] != "lo") {
        let name = entry["ifname"].as_str().expect("a name");
        tree.interface(name, entry["operstate"] == "UP");
        tree.put(&format!("net/{name}/mtu"), &entry["mtu"].to_string());
    }
    tree.addressed(parse::ip_addresses(text));
    tree
}

/// `ethtool` of one interface; its twin shows the same.
pub(crate) fn ethtool(text: &str) -> Tree {
    let tree = Tree::linked(&[]);
    let of = |key: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find_map(|l| l.strip_prefix(key)).expect(key).trim()
    };
    let port = &of("Settings for").trim_end_matches(':')["enp1s0f1".len()..];
    for (name, ..) in FUNCTIONS.iter().filter(|(n, ..)| n.ends_with(port)) {
        tree.interface(name, of("Link detected:") == "yes");
        let speed = of("Speed:").strip_suffix("Mb/s").unwrap_or("-1");
        tree.put(&format!("net/{name}/speed"), speed);
    }
    tree
}

/// `path   content` of sysfs.
pub(crate) fn sysfs(text: &str) -> Tree {
    let mut tree = port1();
    for line in text.lines() {
        let (path, content) = line.split_once(' ').expect("two columns");
        let path = path.strip_prefix("/sys/class/").expect("a path of sysfs");
        match path.strip_suffix('/') {
            Some(folder) => tree.put(&format!("{folder}/{}/name", content.trim()), content.trim()),
            None => tree.put(path, content.trim()),
        }
    }
    // The address that its GID carries.
    tree.address("enp1s0f1np1", "192.168.100.10/24");
    tree
}

/// `show_gids`.
pub(crate) fn show_gids(text: &str) -> Tree {
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|l| l.split_whitespace().collect())
        .filter(|w: &Vec<&str>| w.len() >= 6 && w[0].starts_with("roce"))
        .collect();
    let mut addressed: Vec<(&str, &str)> = rows
        .iter()
        .filter(|w| w.len() == 7)
        .map(|w| (w[6], w[4]))
        .collect();
    addressed.dedup();
    let linked: Vec<&str> = addressed.iter().map(|(name, _)| *name).collect();
    let mut tree = Tree::linked(&linked);
    for (name, address) in addressed {
        tree.address(name, &format!("{address}/24"));
    }
    for row in rows {
        let version = row[row.len() - 2];
        let kind = if version == "v2" {
            "RoCE v2"
        } else {
            "IB/RoCE v1"
        };
        tree.gid(row[0], row[2].parse().expect("an index"), row[3], kind);
    }
    tree
}

/// A table of one device: `gid 5   0000:…:640a  RoCE v2`.
pub(crate) fn gid_table(text: &str) -> Tree {
    let mut tree = Tree::linked(&["enp1s0f0np0", "enP2p1s0f0np0"]);
    let device = text.split_whitespace().next().expect("a device");
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("gid"));
        let index = words.next().expect("an index").parse().expect("a number");
        let gid = words.next().expect("a GID");
        let kind: Vec<&str> = words.collect();
        tree.gid(device, index, gid, &kind.join(" "));
        if let Some(address) = parse::gid_ipv4(gid).filter(|_| kind == ["RoCE", "v2"]) {
            tree.address("enp1s0f0np0", &format!("{address}/24"));
        }
    }
    tree
}

/// `lspci | grep Mellanox`, with these lanes on the functions of the second PCIe domain.
pub(crate) fn lspci(text: &str, second_domain: &str) -> Tree {
    let tree = port1();
    let functions: Vec<&str> = text
        .lines()
        .filter(|l| l.contains("ConnectX-7"))
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    for (name, _, address) in FUNCTIONS {
        assert!(functions.contains(&address), "{address} is there");
        let now = if address.starts_with("0002") {
            second_domain
        } else {
            "4"
        };
        tree.put(&format!("net/{name}/device/current_link_width"), now);
        tree.put(&format!("net/{name}/device/max_link_width"), "4");
    }
    tree
}

/// A netplan file, as a machine linked in the port it names would be after `netplan apply`; `last` is added
/// to the last number of each address, for the machine at the other end.
pub(crate) fn netplan(text: &str, last: u8) -> Tree {
    let named: Vec<&str> = FUNCTIONS
        .iter()
        .map(|(name, ..)| *name)
        .filter(|name| text.contains(&format!("{name}:")))
        .collect();
    let port = named.last().map_or("np1", |n| &n[n.len() - 3..]);
    let linked: Vec<&str> = FUNCTIONS
        .iter()
        .map(|(name, ..)| *name)
        .filter(|name| name.ends_with(port))
        .collect();
    let mut tree = Tree::linked(&linked);
    for name in &linked {
        tree.put(&format!("net/{name}/mtu"), "1500");
    }
    let mut name = "";
    for line in text.lines().map(str::trim) {
        let key = line.trim_end_matches(':');
        if named.contains(&key) {
            name = key;
        } else if let Some(mtu) = line.strip_prefix("mtu: ") {
            tree.put(&format!("net/{name}/mtu"), mtu);
        } else if line == "link-local: [ ipv4 ]" && linked.contains(&name) {
            tree.address(name, &format!("169.254.35.{}/16", 62 + last));
        } else if let Some(address) = line
            .strip_prefix("- ")
            .or_else(|| line.strip_prefix("addresses: [")?.strip_suffix(']'))
        {
            let (ip, prefix) = address.split_once('/').expect("a prefix");
            let (net, host) = ip.rsplit_once('.').expect("an address");
            let host: u8 = host.parse().expect("a number");
            tree.address(name, &format!("{net}.{}/{prefix}", host + last));
        }
    }
    tree
}

/// The power and the load that the table of `nvidia-smi` shows, as its queries would print them.
pub(crate) fn nvidia_smi_table(text: &str) -> String {
    let line = text.lines().find(|l| l.contains("W /")).expect("a GPU");
    let word = |unit: &str| {
        let mut words = line.split_whitespace();
        words.find_map(|w| w.strip_suffix(unit)).expect(unit)
    };
    format!("{}.00 W, [N/A], {} %\n", word("W"), word("%"))
}

/// `nmcli con show` as `nmcli -t -f DEVICE,STATE,CON-UUID,CONNECTION device status` would say it.
pub(crate) fn nmcli(text: &str) -> String {
    let head = text.lines().next().expect("a head");
    let at = |title: &str| head.find(title).expect(title);
    let (uuid, kind, device) = (at("UUID"), at("TYPE"), at("DEVICE"));
    text.lines()
        .skip(1)
        .map(|line| {
            let device = line[device..].trim();
            let name = line[..uuid].trim();
            format!("{device}:connected:{}:{name}\n", line[uuid..kind].trim())
        })
        .filter(|line| !line.starts_with("--"))
        .collect()
}

/// A healthy machine linked in port 1.
pub(crate) fn port1() -> Tree {
    Tree::linked(&["enp1s0f1np1", "enP2p1s0f1np1"])
}
