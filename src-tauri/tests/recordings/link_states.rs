//! The states of the cable that a rehearsal cannot have: what the app says of two Sparks in each of them. The facts
//! are those of two real Sparks; findings, cabling and verdict are the product's own.

use serde_json::{Map, Value, json};
use tandem::wire::{MachineView, PairView, SudoAccess};
use tandem_domain::ids::MachineId;
use tandem_domain::machine::{DockerAccess, Facts, Interface, Lanes};
use tandem_domain::network::verdict::all_reduce::{self, AllReduce};
use tandem_domain::network::verdict::{LinkReport, Measured, Method, judge};
use tandem_domain::network::{cabling, health};

const GIB: u64 = 1 << 30;

/// Mb/s of the twins of each port that is used; `None` where the adapter is switched off.
type Ports = Option<[[u32; 2]; 2]>;

const NONE: [u32; 2] = [0, 0];
const FULL: [u32; 2] = [200_000, 200_000];
const OUTER: Ports = Some([NONE, FULL]);

/// Every state by its name, with both machines and what is known of them together.
pub(crate) fn states() -> Value {
    let half = Some([NONE, [100_000, 100_000]]);
    let pairs: [(&str, Ports, Ports); 11] = [
        ("well", OUTER, OUTER),
        ("no-cable", None, None),
        ("one-end", OUTER, None),
        ("one-rail", OUTER, Some([NONE, [200_000, 0]])),
        ("cable-100g", half, half),
        ("different-ports", Some([FULL, NONE]), OUTER),
        ("two-cables", Some([FULL, FULL]), Some([FULL, FULL])),
        ("hot-plug", OUTER, OUTER),
        ("socket-fallback", OUTER, OUTER),
        ("no-cma", OUTER, OUTER),
        ("pair", OUTER, OUTER),
    ];
    let mut states = Map::new();
    for (state, a, b) in pairs {
        let mut facts = [facts("spark-a", 1, a), facts("spark-b", 2, b)];
        match state {
            "no-cma" => {
                facts[1].kernel = "7.0.0-1019-nvidia".into();
                facts[1].cma_total = Some(0);
            }
            "pair" => facts[1].driver = Some("580.142".into()),
            _ => {}
        }
        let seen: Vec<&Facts> = facts.iter().collect();
        let pair = PairView {
            findings: health::findings(&seen),
            cabling: cabling::cabling(&seen),
            link: report(state),
        };
        let machines: Vec<MachineView> = facts.iter().map(view).collect();
        states.insert(state.into(), json!({"machines": machines, "pair": pair}));
    }
    let one = facts("spark-a", 1, OUTER);
    let pair = PairView {
        findings: health::findings(&[&one]),
        cabling: cabling::cabling(&[&one]),
        link: None,
    };
    states.insert(
        "one".into(),
        json!({"machines": [view(&one)], "pair": pair}),
    );
    Value::Object(states)
}

fn view(facts: &Facts) -> MachineView {
    MachineView {
        id: MachineId(format!("rehearsal-{}", facts.hostname)),
        name: facts.hostname.clone(),
        address: format!("{}.local", facts.hostname),
        port: 22,
        user: facts.user.clone(),
        fingerprint: "SHA256:fCNBCaWX0oGpPnGcX3xXFuxk5rF5l2b4vYyfUaFSaTY".into(),
        facts: Some(facts.clone()),
        cache: None,
        reachable: Some(true),
        problems: Vec::new(),
        sudo: SudoAccess::PasswordHeld,
    }
}

fn facts(name: &str, last: u64, ports: Ports) -> Facts {
    let out = Interface {
        name: "enP7s7".into(),
        carrier: true,
        speed: Some(10_000),
        mtu: 1500,
        mac: format!("4c:bb:47:2f:fb:0{last}"),
        ipv4: vec![format!("192.168.1.{}/24", 40 + last)],
        up: true,
        ..Interface::default()
    };
    Facts {
        hostname: name.into(),
        machine_id: format!("7d0c5b1e93a54a0c9c1f00000000000{last}"),
        arch: "aarch64".into(),
        kernel: "6.17.0-1031-nvidia".into(),
        os: "Ubuntu 24.04.4 LTS".into(),
        product: Some("NVIDIA DGX Spark".into()),
        dgx_os: Some("7.5.0".into()),
        dgx_os_date: Some("2026-07-14".into()),
        gpu: Some("NVIDIA GB10".into()),
        driver: Some("580.159.03".into()),
        memory_total: 127_600_748 * 1024,
        memory_available: (118 - last) * GIB,
        cma_total: Some(131_072 * 1024),
        disk_free: 2_614_000_000_000 / last,
        disk_total: 3_936_000_000_000,
        hf_home: "/home/nvidia/.cache/huggingface".into(),
        user: "nvidia".into(),
        groups: ["nvidia", "sudo", "docker"].map(String::from).to_vec(),
        docker: DockerAccess::Open,
        docker_version: Some("29.1.3".into()),
        default_interface: Some("enP7s7".into()),
        firmware: ports.map(|_| "28.45.4028".into()),
        hotplug: true,
        interfaces: std::iter::once(out)
            .chain(ports.into_iter().flat_map(|p| fabric(p, last)))
            .collect(),
        ..Facts::default()
    }
}

/// The four functions of an adapter: two ports with two twins each.
fn fabric(ports: [[u32; 2]; 2], machine: u64) -> Vec<Interface> {
    let mut all = Vec::new();
    for (port, twins) in ports.into_iter().enumerate() {
        for (twin, speed) in twins.into_iter().enumerate() {
            let device = ["p1s0", "P2p1s0"][twin];
            all.push(Interface {
                name: format!("en{device}f{port}np{port}"),
                port: Some(format!("p{port}")),
                fabric: true,
                carrier: speed > 0,
                speed: (speed > 0).then_some(speed),
                mtu: 1500,
                mac: format!("4c:bb:47:2f:f{machine}:{port}{twin}"),
                rdma: Some(format!("roce{device}f{port}")),
                rdma_state: Some(if speed > 0 { "ACTIVE" } else { "DOWN" }.into()),
                up: true,
                lanes: Some(Lanes { now: 4, most: 4 }),
                ..Interface::default()
            });
        }
    }
    all
}

/// What was measured in a state, as captures of real pairs have it; the verdict is the product's.
fn report(state: &str) -> Option<LinkReport> {
    let healthy = [109.3, 109.1, 111.7, 111.2, 196.1, 195.4];
    let (wire, reduced): ([f64; 6], Option<(bool, [f64; 4])>) = match state {
        "well" | "different-ports" => (healthy, Some((true, [9.9, 136.0, 161.6, 186.9]))),
        "socket-fallback" => (healthy, Some((false, [2.9, 13.2, 16.1, 16.1]))),
        "hot-plug" => ([13.2, 13.2, 13.1, 13.2, 26.3, 26.4], None),
        "cable-100g" => ([46.0, 46.1, 45.9, 46.0, 92.0, 91.8], None),
        _ => return None,
    };
    let rails = [Some(0), Some(0), Some(1), Some(1), None, None];
    let mut measured: Vec<Measured> = wire
        .into_iter()
        .zip(rails)
        .zip([0, 1].into_iter().cycle())
        .map(|((gbps, rail), from)| Measured {
            method: Method::Rdma,
            rail,
            from: Some(from),
            gbps,
        })
        .collect();
    let all_reduce = reduced.map(|(rdma, sizes)| over(rdma, sizes));
    let verdict = match &all_reduce {
        Some(reduced) => all_reduce::judge(&measured, reduced),
        None => judge(&measured, None),
    };
    measured.extend(all_reduce.as_ref().and_then(AllReduce::measured));
    Some(LinkReport {
        measured,
        verdict: verdict?,
        simulated: false,
        at: crate::normal::EPOCH,
        all_reduce,
    })
}

/// An all-reduce by the size of its messages.
fn over(rdma: bool, gbps: [f64; 4]) -> AllReduce {
    let devices: &[&str] = if rdma {
        &["rocep1s0f1", "roceP2p1s0f1"]
    } else {
        &[]
    };
    let sizes: Vec<Value> = [1u64, 16, 256, 1024]
        .into_iter()
        .zip(gbps)
        .map(|(mib, gbps)| {
            let size = mib << 20;
            let seconds = (size * 8) as f64 / gbps / 1e9;
            json!({"size": size, "count": 20, "seconds": seconds, "algorithm_gbps": gbps, "bus_gbps": gbps, "wrong": 0})
        })
        .collect();
    let all = json!({
        "backend": "nccl", "torch": "2.11.0+cu130", "rdma": rdma, "devices": devices, "sizes": sizes,
        "stand_in": false,
    });
    serde_json::from_value(all).expect("an all-reduce")
}
