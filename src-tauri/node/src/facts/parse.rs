//! Readers of what a machine prints. Pure, and tested on captures.

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
    let known = |part: Option<&str>| {
        part.map(str::trim)
            .filter(|p| !p.is_empty() && !p.starts_with("[N/A") && *p != "N/A")
            .map(str::to_owned)
    };
    let mut parts = line.split(',');
    Some(Gpu {
        name: known(parts.next()),
        driver: known(parts.next()),
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
            Some(number * 1024)
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
mod tests {
    use super::*;

    /// A capture without the lines that say where it comes from.
    fn capture(text: &str) -> String {
        text.lines()
            .filter(|line| !line.starts_with("#%"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    #[test]
    fn a_machine_of_nvidia_and_of_others() {
        let text = capture(include_str!(
            "../../tests/fixtures/os/dgx-release.nvidia-dgx-spark.txt"
        ));
        let dgx = dgx_release(&text);
        assert_eq!(dgx.version.as_deref(), Some("7.5.0"));
        let updated = format!("{text}\nDGX_OTA_VERSION=\"7.6.0\"\nDGX_OTA_DATE=\"x\"\n");
        assert_eq!(
            dgx_release(&updated).version.as_deref(),
            Some("7.6.0"),
            "the last pair"
        );
        assert_eq!(dgx.product.as_deref(), Some("NVIDIA DGX Spark"));
        let hp = "DGX_NAME=\"DGX Spark\"\nDGX_PLATFORM=HP ZGX Nano G1n AI Station\n";
        assert_eq!(
            dgx_release(hp).product.as_deref(),
            Some("HP ZGX Nano G1n AI Station"),
            "without quotes"
        );
    }

    #[test]
    fn the_gpu_by_name_and_driver() {
        let text = capture(include_str!(
            "../../tests/fixtures/os/nvidia-smi.queries.txt"
        ));
        let answer = text
            .split_once("name,driver_version --format=csv,noheader\n")
            .unwrap()
            .1;
        let gpu = nvidia_smi(answer).unwrap();
        assert_eq!(gpu.name.as_deref(), Some("NVIDIA GB10"));
        assert_eq!(gpu.driver.as_deref(), Some("580.178.04"));
        assert_eq!(nvidia_smi("NVIDIA GB10, [N/A]\n").unwrap().driver, None);
        assert_eq!(nvidia_smi("No devices were found\n"), None);
        assert_eq!(nvidia_smi(""), None);
    }

    #[test]
    fn memory_with_and_without_cma() {
        let text = capture(include_str!("../../tests/fixtures/os/free-and-meminfo.txt"));
        let memory = meminfo(&text);
        assert_eq!(memory.total, 127_600_748 * 1024);
        assert_eq!(memory.available, 122_817_536 * 1024);
        assert_eq!(memory.cma, Some(131_072 * 1024));
        assert_eq!(meminfo("MemTotal: 1 kB\n").cma, None);
        assert_eq!(
            meminfo("CmaTotal:  0 kB\n").cma,
            Some(0),
            "the kernel whose RDMA fails"
        );
    }

    #[test]
    fn addresses_of_a_configured_port() {
        let text = capture(include_str!(
            "../../tests/fixtures/link/ip-j-addr.port1-configured.json"
        ));
        let list = ip_addresses(&text);
        let of = |name: &str| list.iter().find(|i| i.name == name).unwrap().ipv4.clone();
        assert_eq!(of("enp1s0f1np1"), ["192.168.100.10/24"]);
        assert_eq!(of("enP2p1s0f1np1"), ["192.168.101.10/24"]);
        assert!(of("enp1s0f0np0").is_empty());
        assert!(ip_addresses("not json").is_empty());
    }

    #[test]
    fn rdma_devices_and_none() {
        let text = capture(include_str!(
            "../../tests/fixtures/link/ibdev2netdev.port1-cabled.txt"
        ));
        let list = ibdev2netdev(&text);
        assert!(
            list.contains(&("rocep1s0f1".into(), "enp1s0f1np1".into())),
            "{list:?}"
        );
        assert!(list.contains(&("roceP2p1s0f1".into(), "enP2p1s0f1np1".into())));
        assert!(
            ibdev2netdev("").is_empty(),
            "the card sleeps without a cable"
        );
    }

    #[test]
    fn twins_are_of_one_port() {
        assert_eq!(fabric_port("enp1s0f1np1").as_deref(), Some("p1"));
        assert_eq!(fabric_port("enP2p1s0f1np1").as_deref(), Some("p1"));
        for other in ["enP7s7", "wlP9s9", "docker0", "enp1s0f1", "enp1s0fxnp1"] {
            assert_eq!(fabric_port(other), None, "{other}");
        }
    }

    #[test]
    fn the_default_route_of_lowest_metric() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
            wlP9s9\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\n\
            enP7s7\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\n\
            enP7s7\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\n";
        assert_eq!(default_route(text).as_deref(), Some("enP7s7"));
        assert_eq!(default_route("Iface\n"), None);
    }
}
