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
}
