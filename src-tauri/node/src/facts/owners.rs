//! Who manages each interface, asked by device and never by the name of a profile.

use std::path::Path;

use tandem_domain::machine::{Interface, Owner};

use super::{parse, run};

/// Where networkd keeps what it knows of each link, readable by everyone.
const NETWORKD: &str = "/run/systemd/netif/links";

/// Fills in the owners.
pub(super) fn add(list: Vec<Interface>) -> Vec<Interface> {
    let said = run(
        "nmcli",
        &[
            "-t",
            "-f",
            "DEVICE,STATE,CON-UUID,CONNECTION",
            "device",
            "status",
        ],
    );
    with(list, said.as_deref(), Path::new(NETWORKD), |name| {
        let text = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?;
        text.trim().parse().ok()
    })
}

/// NetworkManager answers first, then networkd; nobody is said only where one of them was there to ask.
fn with(
    mut list: Vec<Interface>,
    nmcli: Option<&str>,
    networkd: &Path,
    number: impl Fn(&str) -> Option<u32>,
) -> Vec<Interface> {
    let managed = parse::nmcli_devices(nmcli.unwrap_or_default());
    let asked = nmcli.is_some() || networkd.is_dir();
    for interface in &mut list {
        let by_manager = managed.iter().find(|(device, _)| *device == interface.name);
        let by_networkd = || {
            let file = networkd.join(number(&interface.name)?.to_string());
            let text = std::fs::read_to_string(file).ok()?;
            parse::networkd_manages(&text).then_some(Owner::Networkd)
        };
        interface.owner = by_manager
            .map(|(_, owner)| owner.clone())
            .or_else(by_networkd)
            .or(asked.then_some(Owner::Unmanaged));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str) -> Interface {
        Interface {
            name: name.into(),
            ..Interface::default()
        }
    }

    #[test]
    fn each_is_asked_in_turn() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("3"),
            "ADMIN_STATE=configured\nOPER_STATE=routable\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("4"), "ADMIN_STATE=unmanaged\n").unwrap();
        let nmcli = "enP7s7:connected:fc66a9f2-9f93-388b-b8a8-3e36f21c6947:Wired connection 3\n\
            enp1s0f0np0:unmanaged:--:\n";
        let list = ["enP7s7", "enp1s0f0np0", "enp1s0f1np1"]
            .map(interface)
            .to_vec();
        let number = |name: &str| match name {
            "enp1s0f0np0" => Some(3),
            "enp1s0f1np1" => Some(4),
            _ => None,
        };
        let list = with(list, Some(nmcli), dir.path(), number);
        assert_eq!(
            list[0].owner,
            Some(Owner::NetworkManager {
                profile: Some("fc66a9f2-9f93-388b-b8a8-3e36f21c6947".into()),
                name: Some("Wired connection 3".into()),
            })
        );
        assert_eq!(list[1].owner, Some(Owner::Networkd));
        assert_eq!(list[2].owner, Some(Owner::Unmanaged));
        let list = with(
            vec![interface("eth0")],
            None,
            &dir.path().join("none"),
            |_| Some(1),
        );
        assert_eq!(list[0].owner, None, "nobody was there to ask");
    }
}
