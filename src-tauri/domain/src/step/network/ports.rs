//! The ports of the private link as they are at a moment.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::network::netplan;
use crate::ports::{Command, MachineServices};
use crate::problem::{Code, Problem};
use crate::run::StepError;
use crate::step::machines::{failed_on, must};

/// The kernel's ways of making an IPv6 link-local address, by number, as `ip` names them.
const MODES: [&str; 4] = ["eui64", "none", "stable_secret", "random"];

/// What was there on one machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct PortsBefore {
    /// The content of Tandem's file, if there was one.
    pub file: Option<String>,
    /// Its permission bits.
    #[serde(default)]
    pub mode: Option<u32>,
    /// The ports of the plan.
    pub ports: Vec<Port>,
}

/// One interface as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Port {
    pub name: String,
    pub up: bool,
    pub mtu: u64,
    pub addresses: Vec<String>,
    /// How the kernel makes the IPv6 link-local address; netplan switches that off.
    #[serde(default)]
    pub address_mode: Option<String>,
    /// The profile of NetworkManager's that is active on the device, by its UUID.
    #[serde(default)]
    pub profile: Option<String>,
    /// The MAC address.
    #[serde(default)]
    pub mac: String,
}

impl Port {
    /// Whether NetworkManager has its own profile active here again. It gives and takes the addresses
    /// then, with routes of its own, and whoever does it by hand beside it leaves a second route.
    pub(super) fn is_with_its_profile(&self, was: &Self) -> bool {
        was.profile.is_some() && self.profile == was.profile
    }

    fn addresses_differ(&self, was: &Self) -> bool {
        let lacks = |these: &[String], those: &[String]| those.iter().any(|a| !these.contains(a));
        let more = lacks(&was.addresses, &self.addresses);
        let fewer = lacks(&self.addresses, &was.addresses);
        // What a profile brings comes with it and not before.
        !self.is_with_its_profile(was) && (more || fewer && was.profile.is_none())
    }

    /// What is not as it was, in words; empty if nothing is.
    pub(super) fn differences(&self, was: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let name = &self.name;
        if self.up != was.up {
            let word = |up| if up { "on" } else { "off" };
            all.push(format!(
                "`{name}` is {} and was {}",
                word(self.up),
                word(was.up)
            ));
        }
        if self.mtu != was.mtu {
            all.push(format!(
                "the MTU of `{name}` is {} and was {}",
                self.mtu, was.mtu
            ));
        }
        if self.addresses_differ(was) {
            let list = |a: &[String]| match a {
                [] => "no address".to_owned(),
                some => some.join(" and "),
            };
            all.push(format!(
                "`{name}` has {} and had {}",
                list(&self.addresses),
                list(&was.addresses)
            ));
        }
        if was.address_mode.is_some() && self.address_mode != was.address_mode {
            all.push(format!(
                "`{name}` makes its link-local address in another way"
            ));
        }
        all
    }
}

/// All interfaces of a machine, as `ip` shows them.
pub(super) struct Links(Vec<Value>);

impl Links {
    pub(super) async fn read(machine: &MachineServices) -> Result<Self, StepError> {
        let command = Command::new("ip", ["-j", "addr", "show"]);
        let failed = "The addresses were not read.";
        let output = must(machine, &command, Code::NetworkPlan, failed).await?;
        let links: Value = serde_json::from_slice(&output.stdout).map_err(|e| {
            Problem::new(
                Code::NetworkPlan,
                "Tandem did not understand the addresses.",
            )
            .cause(format!("{e}."))
            .on(machine.name.clone())
        })?;
        Ok(Self(links.as_array().cloned().unwrap_or_default()))
    }

    /// The port of this name; `None` where there is none now.
    pub(super) fn port(&self, name: &str) -> Option<Port> {
        let link = self.0.iter().find(|l| l["ifname"] == name)?;
        let mut flags = link["flags"].as_array().into_iter().flatten();
        Some(Port {
            name: name.to_owned(),
            up: flags.any(|f| f == "UP"),
            mtu: link["mtu"].as_u64().unwrap_or(1500),
            addresses: addresses(link),
            address_mode: None,
            profile: None,
            mac: link["address"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// The interface that has this address, whatever its prefix.
    pub(super) fn holder(&self, address: &str) -> Option<&str> {
        let has = |link: &&Value| {
            let mut all = addresses(link).into_iter();
            all.any(|a| a.split('/').next() == Some(address))
        };
        self.0.iter().find(has)?["ifname"].as_str()
    }
}

fn addresses(link: &Value) -> Vec<String> {
    let all = link["addr_info"].as_array().into_iter().flatten();
    all.filter(|a| a["family"] == "inet" || a["family"] == "inet6")
        .filter_map(|a| {
            Some(format!(
                "{}/{}",
                a["local"].as_str()?,
                a["prefixlen"].as_u64()?
            ))
        })
        .collect()
}

/// The named ports with all that undo needs to know; those that are gone are left out.
pub(super) async fn read(
    machine: &MachineServices,
    names: &[&str],
) -> Result<Vec<Port>, StepError> {
    let links = Links::read(machine).await?;
    let mut ports: Vec<Port> = names.iter().filter_map(|n| links.port(n)).collect();
    for port in &mut ports {
        let path = format!("/proc/sys/net/ipv6/conf/{}/addr_gen_mode", port.name);
        let mode = machine.shell.exec(&Command::new("cat", [path])).await;
        let mode = mode.map_err(failed_on(machine))?.text();
        let named = MODES.get(mode.trim().parse::<usize>().unwrap_or(MODES.len()));
        port.address_mode = named.map(|m| (*m).to_owned());
        port.profile = profile(machine, &port.name).await?;
    }
    Ok(ports)
}

/// The profile that NetworkManager has active on a device. Asked by device, for the names of the
/// automatic profiles are translated and numbered as they come.
pub(super) async fn profile(
    machine: &MachineServices,
    port: &str,
) -> Result<Option<String>, StepError> {
    let question = ["-g", "GENERAL.CON-UUID", "device", "show", port];
    let said = machine.shell.exec(&Command::new("nmcli", question)).await;
    let said = said.map_err(failed_on(machine))?;
    let uuid = said.text().trim().to_owned();
    // No NetworkManager, or one that does not run, has no profiles.
    Ok((said.ok() && !uuid.is_empty() && uuid != "--").then_some(uuid))
}

/// Tandem's file there.
pub(super) async fn file_of(machine: &MachineServices) -> Result<Option<String>, StepError> {
    let content = machine
        .shell
        .read(netplan::FILE, true)
        .await
        .map_err(failed_on(machine))?;
    Ok(content.map(|c| String::from_utf8_lossy(&c).into_owned()))
}

/// The permission bits of Tandem's file there.
pub(super) async fn mode_of(machine: &MachineServices) -> Result<Option<u32>, StepError> {
    let stat = Command::new("stat", ["-c", "%a", netplan::FILE]).sudo();
    let said = machine.shell.exec(&stat).await;
    let said = said.map_err(failed_on(machine))?.text();
    Ok(u32::from_str_radix(said.trim(), 8).ok())
}
