//! The netplan file for one machine's end of the private link.

mod claim;

use crate::network::NetworkPlan;

pub use claim::{Claim, claim, outline};

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
}
