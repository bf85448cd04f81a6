//! Every finding, made from the facts of a healthy pair with one thing changed.

use super::*;
use crate::machine::{CacheSetting, DockerAccess, GpuNow, Interface, Lanes, NetplanFile};

fn interface(name: &str, change: impl FnOnce(&mut Interface)) -> Interface {
    let fabric = name.contains("np");
    let mut interface = Interface {
        name: name.into(),
        port: fabric.then(|| "p1".into()),
        fabric,
        carrier: true,
        up: true,
        mtu: if fabric { 9000 } else { 1500 },
        lanes: fabric.then_some(Lanes { now: 4, most: 4 }),
        gid: fabric.then_some(3),
        ..Interface::default()
    };
    change(&mut interface);
    interface
}

fn machine(number: u8) -> Facts {
    Facts {
        hostname: format!("spark-{number}"),
        machine_id: format!("id-{number}"),
        arch: "aarch64".into(),
        kernel: "6.17.0-1021-nvidia".into(),
        product: Some("NVIDIA DGX Spark".into()),
        dgx_os: Some("7.6.0".into()),
        gpu: Some("NVIDIA GB10".into()),
        driver: Some("580.142".into()),
        firmware: Some("28.45.4028".into()),
        docker_version: Some("29.2.1".into()),
        docker: DockerAccess::Open,
        memory_total: 127_600_748 * 1024,
        cma_total: Some(131_072 * 1024),
        gpu_now: Some(GpuNow {
            watts: Some(4.0),
            clock_mhz: None,
            busy: Some(0),
        }),
        default_interface: Some("enP7s7".into()),
        netplan: vec![NetplanFile {
            path: "/etc/netplan/90-tandem.yaml".into(),
            text: None,
        }],
        interfaces: vec![
            interface("enP7s7", |i| i.ipv4.push(format!("192.168.1.{number}/24"))),
            interface("enp1s0f1np1", |i| {
                i.ipv4.push(format!("192.168.100.{number}/24"));
            }),
            interface("enP2p1s0f1np1", |i| {
                i.ipv4.push(format!("192.168.101.{number}/24"));
            }),
        ],
        ..Facts::default()
    }
}

/// What is found after a change to the second machine.
fn after(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
    let (a, mut b) = (machine(10), machine(11));
    change(&mut b);
    findings(&[&a, &b])
}

/// The one finding after a change, which must be this.
fn only(
    state: &str,
    level: Level,
    machine: Option<u32>,
    change: impl FnOnce(&mut Facts),
) -> Finding {
    let all = after(change);
    let states: Vec<&str> = all.iter().map(|f| f.state.as_str()).collect();
    assert_eq!(states, [state]);
    let finding = all[0].clone();
    assert_eq!(
        (finding.level, finding.machine),
        (level, machine),
        "{state}"
    );
    assert!(
        finding.title.ends_with('.') && finding.meaning.ends_with('.'),
        "{finding:?}"
    );
    assert!(
        finding.level == Level::Note || !finding.cure.is_empty(),
        "what is wrong has a cure: {finding:?}"
    );
    finding
}

fn fabric(facts: &mut Facts) -> impl Iterator<Item = &mut Interface> {
    facts.interfaces.iter_mut().filter(|i| i.fabric)
}

#[test]
fn a_healthy_pair_has_nothing_to_say() {
    assert_eq!(after(|_| ()), []);
    assert_eq!(findings(&[]), []);
    assert_eq!(findings(&[&machine(10)]), []);
}

#[test]
fn known_bad_states_of_one_machine() {
    use Level::{Bad, Note, Warning};
    let b = Some(1);
    only("not-a-spark", Warning, b, |f| f.product = None);
    only("not-a-spark", Warning, b, |f| {
        f.gpu = Some("NVIDIA H100".into());
    });
    only("gpu-silent", Bad, b, |f| f.gpu = None);
    only("docker-from-snap", Bad, b, |f| f.docker_snap = true);
    only("wifi-only", Warning, b, |f| {
        f.default_interface = Some("wlP9s9".into());
        f.interfaces
            .push(interface("wlP9s9", |i| i.wireless = true));
    });
    only("link-local-addresses", Note, b, |f| {
        for (i, n) in fabric(f).zip(1..) {
            i.ipv4 = vec![format!("169.254.35.{n}/16")];
        }
    });
    let shared = only("twins-share-a-subnet", Warning, b, |f| {
        for (i, n) in fabric(f).zip(10..) {
            i.ipv4 = vec![format!("192.168.100.{n}/24")];
        }
    });
    assert!(
        shared.meaning.contains("192.168.100.0/24"),
        "{}",
        shared.meaning
    );
    let open = only("netplan-open", Note, b, |f| {
        f.netplan[0].text = Some("network:".into());
    });
    assert!(
        open.cure
            .contains("sudo chmod 600 /etc/netplan/90-tandem.yaml"),
        "{}",
        open.cure
    );
}

#[test]
fn the_kernel_whose_rdma_fails() {
    let change = |f: &mut Facts| {
        f.kernel = "7.0.0-1019-nvidia".into();
        f.cma_total = Some(0);
    };
    let all = after(change);
    let states: Vec<&str> = all.iter().map(|f| f.state.as_str()).collect();
    assert_eq!(
        states,
        ["kernel-without-cma", "kernel-differs"],
        "the worst first"
    );
    assert!(all[0].cure.contains("kho=off"), "{}", all[0].cure);
    // One that was started with `kho=off` reserves its memory and works.
    let cured = after(|f| f.kernel = "7.0.0-1019-nvidia".into());
    assert!(cured.iter().all(|f| f.state != "kernel-without-cma"));
    // The set-up's own look at the machines says the same of them, no more and no less severe.
    let (a, mut b) = (machine(10), machine(11));
    change(&mut b);
    let problems = crate::step::facts::unfit(&["a", "b"], &[a, b]);
    let seen: Vec<_> = problems.iter().map(|p| p.severity).collect();
    assert_eq!(seen, [crate::problem::Severity::Warning]);
    let fix = problems[0].fix.as_ref().unwrap();
    assert_eq!(fix.sentence, all[0].cure);
}

#[test]
fn lanes_that_are_missing() {
    let lanes = |now: u32, most: u32| {
        move |f: &mut Facts| {
            if let Some(i) = fabric(f).last() {
                i.lanes = Some(Lanes { now, most });
            }
        }
    };
    let half = only("half-the-lanes", Level::Warning, Some(1), lanes(2, 4));
    assert!(
        half.title.contains("2 of 4") && half.meaning.contains("`enP2p1s0f1np1`"),
        "{half:?}"
    );
    assert_eq!(
        after(lanes(4, 16)),
        [],
        "four is what a Spark has, whatever the card could"
    );
    assert_eq!(after(lanes(0, 4)), [], "a card that sleeps has none");
    let other = after(|f| f.interfaces[0].lanes = Some(Lanes { now: 1, most: 4 }));
    assert_eq!(other, [], "only the cable's adapter counts");
}

#[test]
fn a_gpu_that_works_too_little() {
    let now = |watts: f32, clock_mhz: Option<u32>, busy: u32| {
        move |f: &mut Facts| {
            f.gpu_now = Some(GpuNow {
                watts: Some(watts),
                clock_mhz,
                busy: Some(busy),
            });
        }
    };
    let b = Some(1);
    let stuck = only("gpu-low-power", Level::Warning, b, now(20.0, Some(754), 96));
    assert!(stuck.cure.contains("unplug its power"), "{}", stuck.cure);
    let unknown = only("gpu-low-power", Level::Warning, b, now(21.0, None, 91));
    assert!(unknown.cure.contains("start it again"), "{}", unknown.cure);
    only(
        "gpu-without-work",
        Level::Note,
        b,
        now(22.0, Some(2400), 96),
    );
    assert_eq!(after(now(4.0, Some(208), 0)), [], "idle is no fault");
    assert_eq!(after(now(12.0, Some(700), 30)), [], "hardly busy");
    assert_eq!(after(now(90.0, Some(2400), 96)), [], "at work");
}

#[test]
fn what_differs_between_the_two() {
    use Level::{Note, Warning};
    only("driver-differs", Warning, None, |f| {
        f.driver = Some("580.178.04".into());
    });
    only("firmware-differs", Warning, None, |f| {
        f.firmware = Some("28.45.4030".into());
    });
    only("dgx-os-differs", Note, None, |f| {
        f.dgx_os = Some("7.5.0".into());
    });
    only("kernel-differs", Note, None, |f| {
        f.kernel = "6.17.0-1031-nvidia".into();
    });
    only("docker-differs", Note, None, |f| {
        f.docker_version = Some("28.3.3".into());
    });
    only("gid-differs", Note, None, |f| {
        fabric(f).for_each(|i| i.gid = Some(5));
    });
    assert_eq!(
        after(|f| f.firmware = None),
        [],
        "one that sleeps has no version to compare"
    );
    let mtu = after(|f| fabric(f).for_each(|i| i.mtu = 1500));
    let states: Vec<&str> = mtu.iter().map(|f| f.state.as_str()).collect();
    assert_eq!(states, ["mtu-differs", "small-mtu"]);
}

#[test]
fn a_disk_without_room_for_a_first_set_up_is_a_note() {
    let states = |free| {
        let all = after(|f| (f.disk_total, f.disk_free) = (4_000_000_000_000, free));
        all.into_iter()
            .map(|f| (f.state, f.level))
            .collect::<Vec<_>>()
    };
    assert_eq!(states(59_000_000_000), [("low-disk".into(), Level::Note)]);
    assert_eq!(states(2_000_000_000_000), []);
}

#[test]
fn a_cache_that_only_terminals_are_told_of_is_named_with_a_way_to_use_it() {
    let all = after(|f| {
        f.hf_home = "/home/me/.cache/huggingface".into();
        f.cache_elsewhere = Some(CacheSetting {
            file: "/home/me/.bashrc".into(),
            variable: "HF_HOME".into(),
            value: "/mnt/my disk/hf".into(),
            place: "/mnt/my disk/hf/hub".into(),
        });
    });
    assert_eq!(all[0].state, "cache-elsewhere");
    let [meaning, cure] = [&all[0].meaning, &all[0].cure];
    assert!(meaning.contains("`/home/me/.bashrc`"), "{meaning}");
    assert!(meaning.contains(".cache/huggingface/hub`"), "{meaning}");
    assert!(
        cure.contains("choose `/mnt/my disk/hf/hub` as the folder of its models"),
        "{cure}"
    );
}

#[test]
fn a_small_machine_beside_a_large_one() {
    let all = after(|f| f.memory_total = 65_000_000_000);
    let states: Vec<(&str, Option<u32>)> =
        all.iter().map(|f| (f.state.as_str(), f.machine)).collect();
    assert_eq!(
        states,
        [("memory-differs", None), ("small-memory", Some(1))]
    );
    assert!(
        all[0].meaning.contains("131 GB") && all[0].meaning.contains("65.0 GB"),
        "{:?}",
        all[0]
    );
}

#[test]
fn a_driver_that_leaves_too_little_memory() {
    let [mut a, mut b] = [machine(10), machine(11)];
    for f in [&mut a, &mut b] {
        f.driver = Some("610.43.02".into());
    }
    let all = findings(&[&a, &b]);
    let states: Vec<(&str, Option<u32>)> =
        all.iter().map(|f| (f.state.as_str(), f.machine)).collect();
    assert_eq!(states, [("driver-610", Some(0)), ("driver-610", Some(1))]);
}

#[test]
fn clocks_are_compared_only_where_both_were_measured() {
    let (mut a, mut b) = (machine(10), machine(11));
    // Read an hour apart, and yet right.
    (a.clock_ms, b.clock_ms) = (1_000, 3_601_000);
    assert_eq!(findings(&[&a, &b]), []);
    (a.clock_ahead_ms, b.clock_ahead_ms) = (Some(-200), Some(4_000));
    assert_eq!(
        findings(&[&a, &b]),
        [],
        "the way of an answer explains as much"
    );
    b.clock_ahead_ms = Some(61_000);
    let all = findings(&[&a, &b]);
    assert_eq!(all[0].state, "clocks-apart");
    assert!(all[0].title.contains("61 seconds"), "{}", all[0].title);
}

#[test]
fn one_identity_is_all_that_is_said_of_both() {
    let (a, mut b) = (machine(10), machine(10));
    b.driver = Some("another".into());
    let all = findings(&[&a, &b]);
    assert_eq!(all[0].state, "same-machine-twice");
    assert_eq!((all.len(), all[0].level), (1, Level::Bad));
    let mut a = a;
    a.interfaces[0].mac = "4c:bb:47:2f:fb:97".into();
    b.interfaces[0].mac = "3c:6d:66:cc:b3:b7".into();
    let all = findings(&[&a, &b]);
    assert_eq!(all[0].state, "shared-machine-id");
    assert!(
        all[0].cure.contains("systemd-machine-id-setup"),
        "{}",
        all[0].cure
    );
}

#[test]
fn a_spark_with_another_system_is_a_spark_and_is_told_no_cure_of_dgx_os() {
    let another = |f: &mut Facts| {
        f.product = None;
        f.dgx_os = None;
        f.os = "Rocky Linux 10.2 (Red Quartz)".into();
        f.rdma_nodes = Some(false);
        f.docker_snap = true;
        f.kernel = "6.18.39".into();
        f.driver = Some("610.43.03".into());
        f.firmware = Some("28.46.0000".into());
    };
    let all = after(another);
    let states: Vec<&str> = all.iter().map(|f| f.state.as_str()).collect();
    for state in [
        "another-system",
        "no-rdma-nodes",
        "docker-from-snap",
        "kernel-differs",
    ] {
        assert!(states.contains(&state), "{state} in {states:?}");
    }
    assert!(!states.contains(&"not-a-spark"), "{states:?}");
    for finding in all {
        assert!(!finding.cure.contains("DGX"), "{finding:?}");
        assert!(!finding.cure.contains("address leads"), "{finding:?}");
    }
    only("no-rdma-nodes", Level::Warning, Some(1), |f| {
        f.rdma_nodes = Some(false);
    });
    assert!(after(|f| f.rdma_nodes = None).is_empty(), "nobody looked");
}
