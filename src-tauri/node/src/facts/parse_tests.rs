//! The readers on captures.

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
    assert_eq!(dgx.date.as_deref(), Some("Thu Jun 18 17:40:28 EDT 2026"));
    let updated = format!("{text}\nDGX_OTA_VERSION=\"7.6.0\"\nDGX_OTA_DATE=\"x\"\n");
    assert_eq!(
        dgx_release(&updated).version.as_deref(),
        Some("7.6.0"),
        "the last pair"
    );
    assert_eq!(dgx.product.as_deref(), Some("NVIDIA DGX Spark"));
    let hp = "DGX_NAME=\"DGX Spark\"\nDGX_PLATFORM=HP ZGX Nano G1n AI MachineServices\n";
    assert_eq!(
        dgx_release(hp).product.as_deref(),
        Some("HP ZGX Nano G1n AI MachineServices"),
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
        meminfo("MemTotal: 18446744073709551615 kB\n").total,
        u64::MAX
    );
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

#[test]
fn the_gpu_now_with_and_without_values() {
    let text = capture(include_str!(
        "../../tests/fixtures/os/nvidia-smi.queries.txt"
    ));
    let answer = text
        .lines()
        .find(|l| l.ends_with("11.17 W, 35"))
        .expect("the query with power");
    let fields: Vec<&str> = answer.split(", ").collect();
    let now = gpu_now(&format!("{}, [N/A], {}\n", fields[4], fields[3])).unwrap();
    assert_eq!(now.watts, Some(11.17));
    assert_eq!(now.clock_mhz, None);
    assert_eq!(now.busy, Some(0));
    let busy = gpu_now("21.03, 754, 91\n").unwrap();
    assert_eq!(
        (busy.clock_mhz, busy.busy),
        (Some(754), Some(91)),
        "without units"
    );
    assert_eq!(gpu_now("[N/A], [N/A], [Not Supported]\n"), None);
    assert_eq!(gpu_now("No devices were found\n"), None);
    assert_eq!(gpu_now(""), None);
}

#[test]
fn routes_of_the_kernel() {
    let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
        enP7s7\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\n\
        docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n\
        enP7s7\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\n";
    let seen: Vec<(String, String)> = routes(text)
        .into_iter()
        .map(|r| (r.to, r.interface))
        .collect();
    let want = [
        ("0.0.0.0/0", "enP7s7"),
        ("172.17.0.0/16", "docker0"),
        ("192.168.1.0/24", "enP7s7"),
    ];
    assert_eq!(seen, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert!(routes("Iface\nshort line\n").is_empty());
}

#[test]
fn states_flags_and_gids() {
    assert_eq!(rdma_state("4: ACTIVE\n").as_deref(), Some("ACTIVE"));
    assert_eq!(rdma_state("\n"), None);
    assert!(is_up("0x1003\n") && !is_up("0x1002") && !is_up("up"));
    assert_eq!(
        gid_ipv4("0000:0000:0000:0000:0000:ffff:c0a8:640a\n"),
        Some(Ipv4Addr::new(192, 168, 100, 10))
    );
    assert_eq!(gid_ipv4("fe80:0000:0000:0000:4ebb:47ff:fe2f:fb99"), None);
    assert_eq!(gid_ipv4("0000:0000:0000:0000:0000:0000:0000:0000"), None);
}

#[test]
fn owners_by_device() {
    let owner = |profile: Option<&str>, name: Option<&str>| Owner::NetworkManager {
        profile: profile.map(str::to_owned),
        name: name.map(str::to_owned),
    };
    let text = "enP7s7:connected:fc66a9f2:Work\\: 有線接続 3\nenp1s0f1np1:disconnected::\n\
        docker0:connected (externally):8619393a:docker0\nlo:unmanaged::\n\n";
    assert_eq!(
        nmcli_devices(text),
        [
            (
                "enP7s7".to_owned(),
                owner(Some("fc66a9f2"), Some("Work: 有線接続 3"))
            ),
            ("enp1s0f1np1".to_owned(), owner(None, None)),
        ]
    );
    assert!(networkd_manages(
        "# made by networkd\nADMIN_STATE=configured\n"
    ));
    assert!(!networkd_manages("ADMIN_STATE=unmanaged\n") && !networkd_manages(""));
}

#[test]
fn the_engine_of_docker() {
    let answer = b"HTTP/1.0 200 OK\r\nApi-Version: 1.53\r\n\r\n{\"Version\":\"29.2.1\"}\n";
    assert_eq!(docker_version(answer).as_deref(), Some("29.2.1"));
    let refused = b"HTTP/1.0 500 Internal Server Error\r\n\r\n{\"Version\":\"1\"}";
    assert_eq!(docker_version(refused), None);
    assert_eq!(docker_version(b"nonsense"), None);
}

#[test]
fn routes_of_every_table_and_neighbours() {
    let text = r#"[{"dst":"100.64.0.6","dev":"tailscale0","table":"52","flags":[]},
        {"dst":"192.168.100.0/24","dev":"tailscale0","table":"52","flags":[]},
        {"dst":"default","gateway":"192.168.1.1","dev":"enP7s7","protocol":"dhcp","metric":100,"flags":[]},
        {"dst":"10.9.0.0/16","nexthops":[{"dev":"a0","weight":1},{"dev":"b0","weight":1}],"flags":[]},
        {"type":"blackhole","dst":"10.8.0.0/16","flags":[]},
        {"type":"local","dst":"192.168.1.20","dev":"enP7s7","table":"local","flags":[]},
        {"type":"broadcast","dst":"192.168.1.255","dev":"enP7s7","table":"local","flags":[]}]"#;
    let seen: Vec<String> = all_routes(text)
        .unwrap()
        .iter()
        .map(|r| format!("{} {}", r.to, r.interface))
        .collect();
    assert_eq!(
        seen,
        [
            "100.64.0.6/32 tailscale0",
            "192.168.100.0/24 tailscale0",
            "0.0.0.0/0 enP7s7",
            "10.9.0.0/16 a0",
            "10.9.0.0/16 b0",
        ]
    );
    assert!(all_routes("Object \"route\" is unknown").is_none());
    let text = r#"[{"dst":"192.168.100.11","dev":"enp1s0f1np1","lladdr":"4c:bb:47:2f:fb:99","state":["STALE"]},
        {"dst":"fe80::1","dev":"enp1s0f1np1","lladdr":"4c:bb:47:2f:fb:99","router":null,"state":["REACHABLE"]},
        {"dst":"192.168.100.12","dev":"enp1s0f1np1","state":["FAILED"]}]"#;
    let met = neighbours(text);
    assert_eq!(
        met,
        [("enp1s0f1np1".to_owned(), "4c:bb:47:2f:fb:99".to_owned())]
    );
    assert!(neighbours("nonsense").is_empty());
}
