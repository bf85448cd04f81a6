//! What people have reported of odd machines, failed launches and models, and what Tandem is to make of each. The files
//! in `fixtures/reports` are programs' own output with other values in it.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on
#![allow(clippy::disallowed_methods)] // the fixtures are files of this repository

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use tandem_domain::engine::causes::{self, Cause};
use tandem_domain::engine::{self, Engine};
use tandem_domain::fit::{Attention, PerToken};
use tandem_domain::graft;
use tandem_domain::machine::{Facts, NetplanFile, Route};
use tandem_domain::neighbours::factory_name;
use tandem_domain::network::cabling::cabling;
use tandem_domain::network::health::findings;
use tandem_domain::network::netplan::{Claim, claim};
use tandem_domain::network::plan::{faults, propose};
use tandem_domain::ports::ContainerError;
use tandem_domain::problem::Problem;
use tandem_domain::recipe::EngineKind;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reports")
}

fn file(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn pair(name: &str) -> [Facts; 2] {
    serde_json::from_str(&file(&format!("net/{name}.facts.json"))).unwrap()
}

fn engine() -> &'static dyn Engine {
    engine::of(EngineKind::Vllm)
}

/// All that a problem tells.
fn told(problem: &Problem) -> String {
    format!(
        "{} {} {:?}",
        problem.message,
        problem.cause.as_deref().unwrap_or_default(),
        problem.fix
    )
}

/// Every file has a case.
#[test]
fn no_report_is_without_a_case() {
    let here = include_str!("reports.rs");
    let mut missing = BTreeSet::new();
    for kind in ["net", "logs", "models"] {
        for entry in std::fs::read_dir(folder().join(kind)).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let case = name.split('.').next().unwrap().to_owned();
            if !here.contains(&format!("\"{case}")) && !here.contains(&format!("{kind}/{case}")) {
                missing.insert(name);
            }
        }
    }
    assert_eq!(missing, BTreeSet::new());
}

#[test]
fn a_bond_has_the_address_and_its_members_get_none() {
    let [a, b] = pair("bond-over-two-cables");
    let upper = a
        .interfaces
        .iter()
        .find(|i| !i.fabric && i.name.starts_with("bond"));
    let upper = upper.map(|i| (i.name.clone(), i.ipv4[0].clone())).unwrap();
    let refused = told(&propose(&a, &b).unwrap_err());
    assert!(
        refused.contains(&format!("`{}`, which has {}", upper.0, upper.1)),
        "{refused}"
    );
    assert!(
        refused.contains(&format!("Give up `{}`", upper.0)),
        "{refused}"
    );
    assert!(refused.contains("keep it"), "{refused}");
    let text = file("net/bond-over-two-cables.netplan.yaml");
    let member = a.interfaces.iter().find(|i| i.fabric).unwrap();
    assert_eq!(
        claim(&text, &member.name, &member.mac),
        Some(Claim::Member(upper.0))
    );
}

#[test]
fn two_cables_to_somebody_else_are_not_one_that_joins() {
    let [a, b] = pair("each-cabled-to-a-third-machine");
    let cable = cabling(&[&a, &b]).unwrap();
    let (all, plan) = (format!("{cable:?}"), propose(&a, &b));
    assert!(!cable.seen.contains("cable joins"), "{all}");
    assert!(cable.seen.contains("have a link"), "{all}");
    // Addresses of the same subnets say nothing before a packet crossed.
    for finding in findings(&[&a, &b]) {
        assert!(!finding.title.contains("joined"), "{finding:?}");
    }
    let kept = plan.unwrap().adopted.unwrap_or_default();
    assert!(kept.contains("if packets cross"), "{kept}");
}

#[test]
fn what_is_found_of_the_mtu_is_what_the_plan_does() {
    let [a, b] = pair("good-addresses-mtu-1500-and-9000");
    let promised = findings(&[&a, &b]);
    assert!(
        promised.iter().any(|f| f.state == "mtu-differs"),
        "{promised:?}"
    );
    let plan = propose(&a, &b).unwrap();
    assert_eq!(plan.mtu, 9000);
    assert_eq!(plan.adopted, None, "what will be written is not kept");
    assert_eq!(faults(&plan, &[&a, &b]), [], "and it is not refused");
}

#[test]
fn a_profile_of_network_managers_is_cured_by_nmcli() {
    let [mut a, b] = pair("good-addresses-mtu-1500-and-9000");
    let plan = propose(&a, &b).unwrap();
    a.netplan.push(NetplanFile {
        path: "/etc/netplan/90-NM-90ab12cd.yaml".into(),
        text: Some(file("net/90-NM-90ab12cd.yaml")),
    });
    let against = faults(&plan, &[&a, &b]);
    let words: String = against.iter().map(told).collect();
    let uuid = "90ab12cd-1111-4222-8333-444455556666";
    assert!(words.contains("`the cable`"), "{words}");
    for verb in ["delete", "modify"] {
        assert!(
            words.contains(&format!("nmcli connection {verb} uuid {uuid}")),
            "{words}"
        );
    }
    assert!(!words.contains("out of that file"), "{words}");
}

#[test]
fn netplan_may_take_a_port_in_by_driver_or_class() {
    let text = file("net/netplan-matches-a-port-otherwise.yaml");
    let all: Value = serde_saphyr::from_str(&text).unwrap();
    let definitions = all["network"]["ethernets"].as_object().unwrap();
    assert_eq!(definitions.len(), 3);
    for (name, definition) in definitions {
        let one = serde_json::json!({"network": {"ethernets": {name: definition}}});
        let found = claim(&one.to_string(), "enp1s0f1np1", "4c:bb:47:90:ab:99");
        assert_eq!(found, Some(Claim::Port), "{name}");
    }
}

#[test]
fn a_subnet_that_another_table_routes_is_taken() {
    let [mut a, mut b] = pair("good-addresses-mtu-1500-and-9000");
    for facts in [&mut a, &mut b] {
        facts.interfaces.iter_mut().for_each(|i| i.ipv4.clear());
    }
    let first = propose(&a, &b).unwrap().rails[0].ends[0]
        .address
        .to_string();
    assert!(first.starts_with("192.168.100."), "{first}");
    // As a VPN with accepted routes has it in a table of its own.
    a.routes.push(Route {
        to: "192.168.100.0/24".into(),
        interface: "tailscale0".into(),
    });
    let plan = propose(&a, &b).unwrap();
    let addresses = format!("{:?}", plan.rails);
    assert!(!addresses.contains("192.168.100."), "{addresses}");
}

#[test]
fn names_from_the_factory_are_of_all_makers() {
    for name in [
        "promaxgb10-0f3c",
        "promaxgb10-77aa.local",
        "edgexpert-9a1d",
        "spark-2cd1",
    ] {
        assert!(factory_name(name), "{name}");
    }
    for name in [
        "my-dgx-spark",
        "dgx-spark-07",
        "spark",
        "edgexpert",
        "promaxgb10-zzzz",
    ] {
        assert!(!factory_name(name), "{name}");
    }
}

#[test]
fn another_linux_on_the_same_hardware_is_told_as_that() {
    let [mut a, b] = pair("good-addresses-mtu-1500-and-9000");
    a.product = None;
    a.dgx_os = None;
    a.os = "Fedora Linux 44 (Server Edition)".into();
    a.rdma_nodes = Some(false);
    assert!(a.is_gb10() && !a.runs_dgx_os());
    let found = findings(&[&a, &b]);
    let of_a: Vec<_> = found.iter().filter(|f| f.machine == Some(0)).collect();
    let states: Vec<&str> = of_a.iter().map(|f| f.state.as_str()).collect();
    assert!(states.contains(&"another-system"), "{states:?}");
    assert!(!states.contains(&"not-a-spark"), "{states:?}");
    let all = format!("{of_a:?}");
    assert!(all.contains("/dev/infiniband"), "{all}");
    for advice in ["leads to your Spark", "install DGX OS", "DGX OS's updates"] {
        assert!(!all.contains(advice), "{all}");
    }
}

#[test]
fn docker_s_refusals_have_their_cures() {
    let start = |detail: &str| {
        let error = ContainerError::Refused {
            act: "start",
            detail: detail.into(),
        };
        told(&error.problem("sun", "kim"))
    };
    for (detail, cure) in [
        (
            r#"could not select device driver "" with capabilities: [[gpu]]"#,
            "nvidia-ctk runtime configure",
        ),
        (
            r#"could not select device driver "nvidia" with capabilities: [[gpu]]"#,
            "nvidia-ctk runtime configure",
        ),
        (
            "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error running prestart hook #0: exit status 1, stdout: , stderr: Using requested mode 'cdi'\ninvoking the NVIDIA Container Runtime Hook directly (e.g. specifying the docker --gpus flag) is not supported. Please use the NVIDIA Container Runtime (e.g. specify the --runtime=nvidia flag) instead",
            "nvidia-container-runtime.mode=auto",
        ),
        (
            "OCI runtime create failed: nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown",
            "reboot",
        ),
    ] {
        let words = start(detail);
        assert!(words.contains(cure), "{words}");
    }
    let rootless = told(&ContainerError::Rootless.problem("sun", "kim"));
    assert!(
        rootless.contains("rootless") && rootless.contains("RDMA"),
        "{rootless}"
    );
    assert!(rootless.contains("system's own engine"), "{rootless}");
}

fn tables() -> Vec<&'static [Cause]> {
    vec![
        engine().causes(),
        graft::causes::CAUSES,
        causes::CAUSES,
        engine().consequences(),
        causes::CONSEQUENCES,
    ]
}

/// What is told of a launch whose ranks' logs are these files.
fn ended(name: &str) -> (Problem, bool) {
    let logs: Vec<(String, Vec<String>)> = [("sun", 0), ("moon", 1)]
        .map(|(machine, rank)| {
            let path = folder().join(format!("logs/{name}.rank{rank}.log.txt"));
            let text = std::fs::read_to_string(&path);
            // Where one machine serves alone, and where nobody kept it, there is no log of rank 1.
            let text = match rank {
                0 => text.unwrap_or_else(|e| panic!("{}: {e}", path.display())),
                _ => text.unwrap_or_default(),
            };
            (
                machine.to_owned(),
                text.lines().map(str::to_owned).collect(),
            )
        })
        .to_vec();
    let tables = tables();
    (
        causes::explain(&tables, &logs, "It ended"),
        causes::is_told(&tables, &logs),
    )
}

#[test]
fn a_launch_that_ended_is_told_by_its_own_cause() {
    // The name, words that are told, words that are not, and the machine that is named.
    for (name, has, has_not, machine) in [
        ("driver-old", "do not fit together", "network", Some("sun")),
        (
            "index-error-elsewhere",
            "list index out of range",
            "graft",
            Some("sun"),
        ),
        (
            "kv-specs-differ",
            "--kv-cache-dtype",
            "network",
            Some("sun"),
        ),
        (
            "no-kernel-image",
            "no code for the GPU",
            "could not talk",
            Some("moon"),
        ),
        (
            "rootless-zmq",
            "not on the machine's network",
            "stop what holds",
            Some("sun"),
        ),
        ("shard-cut", "weights", "could not talk", Some("moon")),
        (
            "wrong-architecture",
            "another processor",
            "gives no reason",
            None,
        ),
        (
            "zmq-own-collision",
            "ry again",
            "what holds the port",
            Some("moon"),
        ),
    ] {
        let (problem, known) = ended(name);
        let words = told(&problem);
        assert!(known, "{name}: {words}");
        assert!(words.contains(has), "{name}: {words}");
        assert!(!words.contains(has_not), "{name}: {words}");
        if machine.is_some() {
            assert_eq!(problem.machine.as_deref(), machine, "{name}");
        }
    }
    // It still loads: no cause is made of a harmless warning.
    let (problem, known) = ended("slow-with-harmless-warn");
    assert!(!known, "{problem:?}");
    assert!(!told(&problem).contains("could not talk"), "{problem:?}");
}

#[test]
fn the_bars_of_all_loaders_count() {
    let bars = file("logs/bars-of-other-loaders.txt");
    let done: Vec<_> = bars
        .lines()
        .map(|line| engine().phase(line).and_then(|phase| phase.done).unwrap())
        .collect();
    assert_eq!(done, [(3, 11), (3, 11), (51, 102)]);
}

#[test]
fn models_keep_what_their_configuration_says() {
    let read = |name: &str| {
        let config = serde_json::from_str(&file(&format!("models/{name}.config.json"))).unwrap();
        Attention::read(&config, false).unwrap()
    };
    let hybrid = read("linear-attention-in-text-config");
    assert_eq!((hybrid.full.count, hybrid.state_layers), (12, 36));
    let latent = read("mla-with-head-dim");
    assert_eq!(latent.full.count, 31);
    let is_latent = matches!(latent.full.keeps, PerToken::Latent { numbers: 576, .. });
    assert!(is_latent, "{:?}", latent.full.keeps);
    let of_heads = |name: &str, count: u32, heads: u32| {
        let read = read(name);
        assert_eq!(read.full.count, count, "{name}");
        let numbers = 2 * 128;
        assert_eq!(
            read.full.keeps,
            PerToken::Heads { heads, numbers },
            "{name}"
        );
    };
    of_heads("no-head-dim", 64, 8);
    of_heads("text-config-null", 36, 4);
}
