//! Readers of what a machine prints. Pure, and tested on captures.

use std::net::{Ipv4Addr, Ipv6Addr};

use tandem_domain::machine::{GpuNow, Owner, Route};

/// `KEY=value` or `KEY="value"`, the first of that key.
pub fn value(text: &str, key: &str) -> Option<String> {
    values(text, key).next()
}

fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = String> + 'a {
    text.lines().filter_map(move |line| {
        let (name, value) = line.trim().split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    })
}

/// What `/etc/dgx-release` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dgx {
    /// The product, by the maker's name for it.
    pub product: Option<String>,
    /// The version after the last update.
    pub version: Option<String>,
    /// When that update was made, as the file writes it.
    pub date: Option<String>,
}

/// Reads `/etc/dgx-release`. Each update appends its version, so the last one counts. Other makers
/// keep NVIDIA's name and put theirs into DGX_PLATFORM, some without quotes.
pub fn dgx_release(text: &str) -> Dgx {
    let full = |key| value(text, key).filter(|v| !v.is_empty());
    let name = full("DGX_PRETTY_NAME").or_else(|| full("DGX_NAME"));
    let maker = full("DGX_PLATFORM").filter(|p| !p.to_lowercase().starts_with("dgx"));
    Dgx {
        product: maker.or(name),
        version: values(text, "DGX_OTA_VERSION")
            .last()
            .or_else(|| full("DGX_SWBUILD_VERSION")),
        date: values(text, "DGX_OTA_DATE")
            .last()
            .filter(|d| !d.is_empty()),
    }
}

/// The GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its name.
    pub name: Option<String>,
    /// The driver's version.
    pub driver: Option<String>,
}

/// Reads `nvidia-smi --query-gpu=name,driver_version --format=csv,noheader`.
pub fn nvidia_smi(text: &str) -> Option<Gpu> {
    let line = text.lines().find(|l| !l.trim().is_empty())?;
    if line.contains("No devices were found") {
        return None;
    }
    let mut parts = line.split(',').map(|part| known(part).map(str::to_owned));
    Some(Gpu {
        name: parts.next().flatten(),
        driver: parts.next().flatten(),
    })
}

/// A value of `nvidia-smi` that is one: `[N/A]`, `[Not Supported]` and their like are none.
fn known(part: &str) -> Option<&str> {
    let part = part.trim();
    let none = part.is_empty() || part.starts_with('[') || part == "N/A" || part == "Not Supported";
    (!none).then_some(part)
}

/// The questions that [`gpu_now`] reads the answers of, in this order.
pub const GPU_NOW: [&str; 3] = ["power.draw", "clocks.gr", "utilization.gpu"];

/// Reads `nvidia-smi --query-gpu=power.draw,clocks.gr,utilization.gpu --format=csv,noheader`, with units or
/// without. `None` if nothing of it is known.
pub fn gpu_now(text: &str) -> Option<GpuNow> {
    let line = text.lines().find(|l| !l.trim().is_empty())?;
    let mut numbers = line.split(',').map(|part| {
        let number = known(part)?.split_whitespace().next()?;
        number
            .parse::<f32>()
            .ok()
            .filter(|n| n.is_finite() && *n >= 0.0)
    });
    let watts = numbers.next().flatten();
    let clock = numbers.next().flatten();
    let busy = numbers.next().flatten();
    (watts.is_some() || clock.is_some() || busy.is_some()).then(|| GpuNow {
        watts,
        clock_mhz: clock.map(|n| n as u32),
        busy: busy.map(|n| n as u32),
    })
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// MemTotal.
    pub total: u64,
    /// MemAvailable.
    pub available: u64,
    /// CmaTotal.
    pub cma: Option<u64>,
}

/// Reads `/proc/meminfo`.
pub fn meminfo(text: &str) -> Memory {
    let of = |key: &str| {
        text.lines().find_map(|line| {
            let rest = line.trim().strip_prefix(key)?.strip_prefix(':')?;
            let number: u64 = rest.split_whitespace().next()?.parse().ok()?;
            Some(number.saturating_mul(1024))
        })
    };
    Memory {
        total: of("MemTotal").unwrap_or(0),
        available: of("MemAvailable").unwrap_or(0),
        cma: of("CmaTotal"),
    }
}

/// The interface of the default route with the lowest metric, from `/proc/net/route`.
pub fn default_route(text: &str) -> Option<String> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let is_default = *parts.get(1)? == "00000000" && *parts.get(7)? == "00000000";
            is_default.then(|| (parts.get(6).and_then(|m| m.parse::<u32>().ok()), parts[0]))
        })
        .min_by_key(|(metric, _)| metric.unwrap_or(u32::MAX))
        .map(|(_, name)| name.to_owned())
}

/// The IPv4 routes of `/proc/net/route`, which writes addresses as the numbers they are in memory.
pub fn routes(text: &str) -> Vec<Route> {
    let address = |hex: &str| {
        u32::from_str_radix(hex, 16)
            .ok()
            .map(|n| Ipv4Addr::from(n.to_ne_bytes()))
    };
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let mask = u32::from(address(parts.get(7)?)?);
            Some(Route {
                to: format!("{}/{}", address(parts.get(1)?)?, mask.leading_ones()),
                interface: (*parts.first()?).to_owned(),
            })
        })
        .collect()
}

/// Reads `ip -j -4 route show table all`: where packets can go by any table. The kernel's own entries for its
/// addresses and for broadcasts, and routes that lead nowhere, are left out. `None` where it is no such list.
pub fn all_routes(text: &str) -> Option<Vec<Route>> {
    let list: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
    let word = |of: &serde_json::Value, key: &str| of.get(key)?.as_str().map(str::to_owned);
    let mut routes = Vec::new();
    for entry in &list {
        let kind = word(entry, "type").unwrap_or_else(|| "unicast".into());
        if kind != "unicast" || word(entry, "table").as_deref() == Some("local") {
            continue;
        }
        let Some(to) = word(entry, "dst") else {
            continue;
        };
        let to = match to.as_str() {
            "default" => "0.0.0.0/0".to_owned(),
            one if !one.contains('/') => format!("{one}/32"),
            _ => to,
        };
        // A route over several ways names them in a list.
        let hops = entry.get("nexthops").and_then(|n| n.as_array());
        let ways = hops.into_iter().flatten().chain(std::iter::once(entry));
        for interface in ways.filter_map(|way| word(way, "dev")) {
            let to = to.clone();
            routes.push(Route { to, interface });
        }
    }
    Some(routes)
}

/// Reads `ip -j neigh show`: interface and MAC address of every neighbour that answered.
pub fn neighbours(text: &str) -> Vec<(String, String)> {
    let list: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    let all = list.iter().filter_map(|entry| {
        let states = entry.get("state").and_then(|s| s.as_array());
        let silent =
            |s: &serde_json::Value| matches!(s.as_str(), Some("FAILED" | "INCOMPLETE" | "NOARP"));
        if states.into_iter().flatten().any(silent) {
            return None;
        }
        let word = |key: &str| entry.get(key)?.as_str().map(str::to_owned);
        Some((word("dev")?, word("lladdr")?))
    });
    let mut met: Vec<(String, String)> = all.collect();
    met.sort();
    met.dedup();
    met
}

/// The IPv4 address that a GID in sysfs carries, if it does: `0000:…:ffff:c0a8:640a` is 192.168.100.10.
pub fn gid_ipv4(text: &str) -> Option<Ipv4Addr> {
    text.trim().parse::<Ipv6Addr>().ok()?.to_ipv4_mapped()
}

/// The state in sysfs without its number: `4: ACTIVE` is `ACTIVE`.
pub fn rdma_state(text: &str) -> Option<String> {
    let state = text.rsplit(':').next()?.trim();
    (!state.is_empty()).then(|| state.to_owned())
}

/// Whether the flags of an interface in sysfs, such as `0x1003`, say that it is switched on.
pub fn is_up(flags: &str) -> bool {
    flags
        .trim()
        .strip_prefix("0x")
        .and_then(|f| u32::from_str_radix(f, 16).ok())
        .is_some_and(|f| f & 1 == 1)
}

/// Reads `nmcli -t -f DEVICE,STATE,CON-UUID,CONNECTION device status`: the devices NetworkManager has, and
/// the profile that is active on each. Names are translated and say nothing; devices and UUIDs count.
pub fn nmcli_devices(text: &str) -> Vec<(String, Owner)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = terse(line).into_iter();
            let (device, state) = (fields.next()?, fields.next()?);
            // `unmanaged` and the states of others' making, such as `connected (externally)`.
            if device.is_empty() || state == "unmanaged" || state.contains("(externally)") {
                return None;
            }
            let mut text = || fields.next().filter(|t| !t.is_empty() && t != "--");
            let (profile, name) = (text(), text());
            Some((device, Owner::NetworkManager { profile, name }))
        })
        .collect()
}

/// The fields of a line of `nmcli -t`, which puts a backslash before a colon of a value.
fn terse(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            ':' => fields.push(String::new()),
            '\\' => {
                if let (Some(field), Some(next)) = (fields.last_mut(), characters.next()) {
                    field.push(next);
                }
            }
            _ => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}

/// Whether networkd's file on a link says that it manages it.
pub fn networkd_manages(text: &str) -> bool {
    value(text, "ADMIN_STATE")
        .is_some_and(|s| ["configuring", "configured", "failed"].contains(&s.as_str()))
}

/// The engine's version in Docker's answer to `GET /version`.
pub fn docker_version(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then_some(())?;
    let body: serde_json::Value = serde_json::from_str(body.trim()).ok()?;
    Some(body.get("Version")?.as_str()?.to_owned())
}

/// One interface of `ip -j addr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressed {
    /// Its name.
    pub name: String,
    /// IPv4 addresses with their prefix.
    pub ipv4: Vec<String>,
}

/// Reads `ip -j addr show`.
pub fn ip_addresses(text: &str) -> Vec<Addressed> {
    let list: Vec<serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    list.iter()
        .filter_map(|entry| {
            let infos = entry.get("addr_info").and_then(|a| a.as_array());
            Some(Addressed {
                name: entry.get("ifname")?.as_str()?.to_owned(),
                ipv4: infos
                    .into_iter()
                    .flatten()
                    .filter(|i| i.get("family").and_then(|f| f.as_str()) == Some("inet"))
                    .filter_map(|i| {
                        Some(format!(
                            "{}/{}",
                            i.get("local")?.as_str()?,
                            i.get("prefixlen")?.as_u64()?
                        ))
                    })
                    .collect(),
            })
        })
        .collect()
}

/// Which RDMA device is on which interface, from `ibdev2netdev`: device and interface.
pub fn ibdev2netdev(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once("==>")?;
            Some((
                left.split_whitespace().next()?.to_owned(),
                right.split_whitespace().next()?.to_owned(),
            ))
        })
        .collect()
}

/// Whether a name is one that a ConnectX-7 function of a Spark has, and its port: `enp1s0f1np1` and
/// its twin `enP2p1s0f1np1` are both of `p1`.
pub fn fabric_port(name: &str) -> Option<String> {
    let rest = name
        .strip_prefix("enp1s0f")
        .or_else(|| name.strip_prefix("enP2p1s0f"))?;
    let (function, port) = rest.split_once("np")?;
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    (digits(function) && digits(port)).then(|| format!("p{port}"))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
