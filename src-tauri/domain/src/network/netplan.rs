//! The netplan file for one machine's end of the private link.

use crate::network::NetworkPlan;
use crate::pattern::fnmatch;

/// Where Tandem's file lies. Its name sorts after the ones DGX OS and NVIDIA's guides write.
pub const FILE: &str = "/etc/netplan/90-tandem.yaml";

/// Renders the file for the machine at `position` in the plan. The management link is not named, so
/// netplan leaves it as it is; no renderer is named, so the system's own is used.
pub fn render(plan: &NetworkPlan, position: usize) -> String {
    let mut text = String::from(
        "# Written by Tandem for the private link between two machines. Undo in Tandem removes it.\n\
         network:\n  version: 2\n  ethernets:\n",
    );
    for rail in &plan.rails {
        let Some(end) = rail.ends.get(position) else {
            continue;
        };
        text.push_str(&format!(
            "    {}:\n      addresses:\n        - {}/{}\n      mtu: {}\n      dhcp4: false\n      \
             dhcp6: false\n      link-local: []\n      optional: true\n",
            end.interface, end.address, rail.prefix, plan.mtu
        ));
    }
    text
}

/// Whether a netplan file has something to say about a port: by its name, by a pattern that fits it, or
/// by its MAC address. Comments do not count.
pub fn names(text: &str, port: &str, mac: &str) -> bool {
    text.lines().any(|line| {
        let code = line.split('#').next().unwrap_or_default();
        let by_mac = !mac.is_empty() && code.to_lowercase().contains(&mac.to_lowercase());
        let mut words = code.split(|c: char| c.is_whitespace() || ":,[]{}\"'".contains(c));
        by_mac || words.any(|word| fnmatch(word, port))
    })
}

/// Words after which a netplan file may hold a secret.
const SECRETS: [&str; 4] = ["password", "psk", "key", "secret"];

/// What of a netplan file says something about these ports, each a name and a MAC address: the names, patterns
/// and MAC addresses themselves, and nothing that stands beside them. The file may also hold the passwords of a
/// wireless network, and what is kept of it is kept for good.
pub fn naming<'a>(text: &str, ports: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> String {
    let mut kept = Vec::new();
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or_default();
        let lower = code.to_ascii_lowercase();
        let secret = SECRETS.iter().filter_map(|word| lower.find(word)).min();
        let code = secret.and_then(|at| code.get(..at)).unwrap_or(code);
        for (port, mac) in ports.clone() {
            let mut words = code.split(|c: char| c.is_whitespace() || ":,[]{}\"'".contains(c));
            if !mac.is_empty() && code.to_lowercase().contains(&mac.to_lowercase()) {
                kept.push(mac);
            }
            kept.extend(words.find(|word| fnmatch(word, port)));
        }
    }
    kept.dedup();
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Rail, RailEnd};

    #[test]
    fn the_file_names_only_our_ports() {
        let end = |i: &str, a: &str| RailEnd {
            interface: i.into(),
            address: a.into(),
            rdma: None,
        };
        let plan = NetworkPlan {
            rails: vec![Rail {
                prefix: 24,
                ends: vec![
                    end("enp1s0f1np1", "192.168.100.10"),
                    end("enp1s0f0np0", "192.168.100.11"),
                ],
            }],
            mtu: 9000,
            adopted: None,
        };
        assert_eq!(
            render(&plan, 1),
            "# Written by Tandem for the private link between two machines. Undo in Tandem removes it.\n\
             network:\n  version: 2\n  ethernets:\n    enp1s0f0np0:\n      addresses:\n        \
             - 192.168.100.11/24\n      mtu: 9000\n      dhcp4: false\n      dhcp6: false\n      \
             link-local: []\n      optional: true\n",
        );
    }

    #[test]
    fn a_port_is_named_by_name_pattern_or_mac_and_not_in_a_comment() {
        let mac = "4c:bb:47:2f:fb:99";
        let named = |text: &str| names(text, "enp1s0f1np1", mac);
        assert!(named("    enp1s0f1np1:\n      dhcp4: no"), "as a key");
        assert!(
            named("      match: {name: \"enp1s0f?np*\"}"),
            "by a pattern"
        );
        assert!(
            named("        macaddress: 4C:BB:47:2F:FB:99"),
            "by its MAC address"
        );
        assert!(!named("    # enp1s0f1np1:"), "a comment says nothing");
        assert!(
            !named("    enp1s0f1np10:\n    enp1s0f1:"),
            "another port is another"
        );
        assert!(
            !named("  renderer: NetworkManager"),
            "a renderer names no port"
        );
    }

    #[test]
    fn what_is_kept_of_a_file_names_the_same_ports_and_holds_no_secret() {
        let ports = [("enp1s0f1np1", "4c:bb:47:2f:fb:99"), ("wlP9s9", "")];
        let text = "# enp1s0f1np1 is cabled\nnetwork:\n  wifis:\n    wlP9s9:\n      access-points:\n        \"Home\": \
                    { password: \"correct-horse-battery\" }\n        wlP9s9: {auth: {key-management: psk, password: e*}}\n  \
                    wireguard:\n    key: {private: enp*, secret: wl*}\n  ethernets:\n    two: \
                    {match: {name: \"enp1s0f?np*\"}, dhcp4: false}\n    three:\n      match: {macaddress: 4C:BB:47:2F:FB:99}\n";
        let kept = naming(text, ports.iter().copied());
        assert_eq!(kept, "wlP9s9\nenp1s0f?np*\n4c:bb:47:2f:fb:99");
        for (port, mac) in ports {
            assert_eq!(names(&kept, port, mac), names(text, port, mac), "{port}");
        }
        let both = naming(
            "  eth0: {match: {name: \"*\"}}\n",
            [("eth0", ""), ("eth1", "")].into_iter(),
        );
        assert!(names(&both, "eth0", "") && names(&both, "eth1", ""));
        assert_eq!(
            naming(
                "network:\n  renderer: NetworkManager\n",
                ports.iter().copied()
            ),
            ""
        );
    }
}
