//! What a netplan file has to say about a port.
//!
//! As netplan reads it (netplan-yaml, `match`, `bonds`, `bridges`): without `match` a definition is for the interface of
//! its name; with it for every interface that meets all that it asks for, and an empty one for every interface at all.

use serde_json::{Map, Value};

use crate::pattern::fnmatch;

/// The driver of every ConnectX-7 function.
const DRIVER: &str = "mlx5_core";

/// Larger files are nobody's network configuration.
const LARGEST: usize = 1 << 20;

/// What a file has to say about a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It configures the port.
    Port,
    /// It makes the port a member of this bond or bridge.
    Member(String),
    /// It holds a profile of NetworkManager's for the port.
    Profile {
        /// What `nmcli` finds it by.
        uuid: String,
        /// What people call it.
        name: String,
    },
    /// It is no YAML, and the port's name or MAC address stands in it.
    Unreadable,
}

/// What of a file [`claim`] reads, for these ports, each a name and a MAC address. The file may also hold the passwords of
/// a wireless network or keys of a tunnel, and what is kept of it is kept for good.
pub fn outline<'a>(text: &str, ports: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let Some(file) = parse(text) else {
        let named = ports.filter(|(port, mac)| stands_in(text, port, mac));
        let names: Vec<&str> = named.map(|(port, _)| port).collect();
        // Still no YAML.
        return match names.as_slice() {
            [] => String::new(),
            names => format!("{{\n{}\n", names.join("\n")),
        };
    };
    let mut kept = Map::new();
    for kind in ["ethernets", "bonds", "bridges"] {
        let section: Map<String, Value> = file
            .get("network")
            .into_iter()
            .flat_map(|network| entries(network, kind))
            .map(|(id, definition)| (id.clone(), definition_of(definition)))
            .collect();
        if !section.is_empty() {
            kept.insert(kind.to_owned(), section.into());
        }
    }
    match kept.is_empty() {
        true => String::new(),
        false => serde_json::json!({ "network": kept }).to_string(),
    }
}

/// Whom a definition is for, and nothing else of it.
fn definition_of(definition: &Value) -> Value {
    let keep = |of: &Value, keys: &[&str]| -> Map<String, Value> {
        let all = of.as_object().into_iter().flat_map(Map::iter);
        let kept = all.filter(|(key, _)| keys.contains(&key.as_str()));
        kept.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let mut kept = keep(definition, &["match", "set-name", "interfaces"]);
    if let Some(profile) = definition.get("networkmanager") {
        let profile = keep(profile, &["uuid", "name"]);
        kept.insert("networkmanager".into(), profile.into());
    }
    kept.into()
}

fn parse(text: &str) -> Option<Value> {
    let small = text.len() <= LARGEST;
    small.then(|| serde_saphyr::from_str(text).ok()).flatten()
}

/// What a file has to say about a port of the adapter; `None` if nothing.
pub fn claim(text: &str, port: &str, mac: &str) -> Option<Claim> {
    let Some(file) = parse(text) else {
        return stands_in(text, port, mac).then_some(Claim::Unreadable);
    };
    let network = file.get("network")?;
    let ethernets = entries(network, "ethernets");
    let mut claimed = ethernets.filter(|(id, definition)| is_for(id, definition, port, mac));
    let first = claimed.next();
    // A member is named by the definition's name, which need not be the port's.
    let ids: Vec<&str> = std::iter::once(port)
        .chain(first.iter().map(|(id, _)| id.as_str()))
        .chain(claimed.map(|(id, _)| id.as_str()))
        .collect();
    for kind in ["bonds", "bridges"] {
        let member = entries(network, kind).find(|(_, upper)| {
            let members = upper.get("interfaces").and_then(Value::as_array);
            let names = members.into_iter().flatten().filter_map(Value::as_str);
            names.into_iter().any(|name| ids.contains(&name))
        });
        if let Some((upper, _)) = member {
            return Some(Claim::Member(upper.clone()));
        }
    }
    let (id, definition) = first?;
    let Some(profile) = definition.get("networkmanager") else {
        return Some(Claim::Port);
    };
    let said = |key: &str| profile.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(Claim::Profile {
        uuid: said("uuid").unwrap_or_else(|| id.trim_start_matches("NM-").to_owned()),
        name: said("name").unwrap_or_else(|| id.clone()),
    })
}

fn entries<'a>(network: &'a Value, kind: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let section = network.get(kind).and_then(Value::as_object);
    section.into_iter().flat_map(Map::iter)
}

fn is_for(id: &str, definition: &Value, port: &str, mac: &str) -> bool {
    let renamed = definition.get("set-name").and_then(Value::as_str) == Some(port);
    let Some(asked) = definition.get("match").and_then(Value::as_object) else {
        return renamed || id == port;
    };
    renamed
        || asked.iter().all(|(key, wanted)| match key.as_str() {
            "name" => any(wanted, |pattern| fnmatch(pattern, port)),
            "driver" => any(wanted, |pattern| fnmatch(pattern, DRIVER)),
            "macaddress" => any(wanted, |said| {
                !mac.is_empty() && said.eq_ignore_ascii_case(mac)
            }),
            // A condition of a later netplan: the port may meet it.
            _ => true,
        })
}

/// netplan takes one pattern, several in a list, and several in one text.
fn any(wanted: &Value, fits: impl Fn(&str) -> bool) -> bool {
    let words = |text: &str| text.split_whitespace().any(&fits);
    match wanted {
        Value::String(text) => words(text),
        Value::Array(list) => list.iter().filter_map(Value::as_str).any(words),
        _ => false,
    }
}

/// Whether the port's name or MAC address stands in a text, comments aside.
fn stands_in(text: &str, port: &str, mac: &str) -> bool {
    text.lines().any(|line| {
        let code = line.split('#').next().unwrap_or_default();
        let by_mac = !mac.is_empty() && code.to_lowercase().contains(&mac.to_lowercase());
        let mut words = code.split(|c: char| c.is_whitespace() || ":,[]{}\"'".contains(c));
        by_mac || words.any(|word| word == port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: &str = "enp1s0f1np1";
    const MAC: &str = "4c:bb:47:2f:fb:99";

    fn of(definitions: &str) -> Option<Claim> {
        let indented: String = definitions.lines().map(|l| format!("    {l}\n")).collect();
        claim(
            &format!("network:\n  version: 2\n  ethernets:\n{indented}"),
            PORT,
            MAC,
        )
    }

    #[test]
    fn a_port_is_claimed_by_name_pattern_driver_or_mac() {
        for claims in [
            "enp1s0f1np1:\n  dhcp4: no",
            "enp1s0f1np1: {}",
            "enp1s0f1np1:",
            "a:\n  match: {name: \"enp1s0f?np*\"}",
            "a:\n  match:\n    name: enp1s0f[01]np*",
            "a:\n  match: {name: [eth0, enp1s0*]}",
            "a:\n  match: {driver: mlx5_core}",
            "a:\n  match:\n    driver: [\"mlx5_core\", \"r8127\"]",
            "a:\n  match: {driver: mlx5*}",
            "a:\n  match: {macaddress: 4C:BB:47:2F:FB:99}",
            "a:\n  match: {macaddress: \"4c:bb:47:2f:fb:99\", driver: mlx5_core}",
            "a:\n  match: {}",
            "a:\n  match: {macaddress: \"00:00:00:00:00:01\"}\n  set-name: enp1s0f1np1",
        ] {
            assert_eq!(of(claims), Some(Claim::Port), "{claims}");
        }
    }

    #[test]
    fn what_is_for_other_ports_claims_nothing() {
        for other in [
            "# enp1s0f1np1:\neth0: {}",
            "enp1s0f1np10: {}\nenp1s0f1: {}",
            "enp1s0f1np1:\n  match: {name: enP7s7}",
            "a:\n  match: {name: enp1s0*, driver: r8127}",
            "a:\n  match: {macaddress: \"4c:bb:47:2f:fb:98\"}",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
        assert_eq!(
            claim("network:\n  renderer: NetworkManager\n", PORT, MAC),
            None
        );
        assert_eq!(claim("", PORT, MAC), None);
        assert_eq!(
            claim("network:\n  wifis:\n    enp1s0f1np1: {}\n", PORT, ""),
            None
        );
    }

    #[test]
    fn a_member_of_a_bond_is_one_by_whatever_name() {
        let bond = "network:\n  ethernets:\n    first:\n      match: {macaddress: \"4c:bb:47:2f:fb:99\"}\n  bonds:\n    bond7:\n      interfaces: [first, second]\n";
        assert_eq!(claim(bond, PORT, MAC), Some(Claim::Member("bond7".into())));
        let bridge = "network:\n  bridges:\n    br0:\n      interfaces: [enp1s0f1np1]\n";
        assert_eq!(claim(bridge, PORT, MAC), Some(Claim::Member("br0".into())));
    }

    #[test]
    fn a_profile_of_network_managers_is_told_by_what_nmcli_finds_it_by() {
        let file = "network:\n  version: 2\n  ethernets:\n    NM-77aa:\n      renderer: NetworkManager\n      match:\n        name: \"enp1s0f1np1\"\n      networkmanager:\n        uuid: \"77aa\"\n        name: \"cable\"\n        passthrough:\n          ethernet.mtu: \"9000\"\n";
        let profile = Claim::Profile {
            uuid: "77aa".into(),
            name: "cable".into(),
        };
        assert_eq!(claim(file, PORT, MAC), Some(profile));
    }

    #[test]
    fn the_outline_of_a_file_claims_the_same_and_holds_no_secret() {
        let ports = || [(PORT, MAC)].into_iter();
        let file = "network:\n  wifis:\n    wlP9s9:\n      access-points: {Home: {password: correct-horse}}\n  tunnels:\n    wg0: {key: {private: staple}}\n  \
            ethernets:\n    a:\n      match: {name: [enp1s0*], driver: mlx5_core}\n      auth: {password: battery}\n    NM-1:\n      match: {name: enp9}\n      \
            networkmanager: {uuid: 1a, name: cable, passthrough: {wifi-security.psk: battery}}\n  bonds:\n    bond0: {interfaces: [a], parameters: {mode: 802.3ad}}\n";
        let kept = outline(file, ports());
        for secret in ["correct", "staple", "battery", "passthrough"] {
            assert!(!kept.contains(secret), "{kept}");
        }
        assert_eq!(claim(file, PORT, MAC), Some(Claim::Member("bond0".into())));
        assert_eq!(claim(&kept, PORT, MAC), claim(file, PORT, MAC));
        assert_eq!(claim(&kept, "enp9", ""), claim(file, "enp9", ""));
        let broken = "a: [b\n password: horse\n enp1s0f1np1: {";
        let kept = outline(broken, ports());
        assert!(!kept.contains("horse"));
        assert_eq!(claim(&kept, PORT, MAC), Some(Claim::Unreadable));
        assert_eq!(outline("network: {renderer: networkd}", ports()), "");
        assert_eq!(outline("a: [b", ports()), "");
    }

    #[test]
    fn what_is_no_yaml_claims_what_stands_in_it() {
        assert_eq!(
            claim("a: [b\n enp1s0f1np1: {", PORT, MAC),
            Some(Claim::Unreadable)
        );
        assert_eq!(claim("a: [b\n # enp1s0f1np1: {", PORT, MAC), None);
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nenp1s0f1np1: 1\n";
        assert_eq!(claim(bomb, PORT, MAC), Some(Claim::Unreadable));
    }
}
