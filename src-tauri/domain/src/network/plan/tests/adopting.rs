//! Addresses that are there already.

use super::*;

#[test]
fn good_addresses_are_adopted() {
    let a = machine(
        "a",
        &[
            ("enp1s0f1np1", "10.1.2.1/30"),
            ("enP2p1s0f1np1", "10.1.3.1/30"),
        ],
    );
    let b = machine(
        "b",
        &[
            ("enp1s0f1np1", "10.1.2.2/30"),
            ("enP2p1s0f1np1", "10.1.3.2/30"),
        ],
    );
    let plan = propose(&a, &b).unwrap();
    assert_eq!(
        plan.rails[1].ends[1].address, "10.1.3.2",
        "what is there stays"
    );
    assert_eq!(plan.rails[0].prefix, 30);
}

#[test]
fn whose_the_addresses_look_like_is_said() {
    for (first, second, who) in [
        (
            ["192.168.100.10/24", "192.168.100.11/24"],
            ["192.168.101.10/24", "192.168.101.11/24"],
            "NVIDIA's guide for two",
        ),
        (
            ["192.168.177.11/24", "192.168.177.12/24"],
            ["192.168.178.11/24", "192.168.178.12/24"],
            "eugr",
        ),
        (
            ["10.20.1.1/24", "10.20.1.2/24"],
            ["10.20.2.1/24", "10.20.2.2/24"],
            "set-up program of eugr",
        ),
        (
            ["169.254.109.196/16", "169.254.3.4/16"],
            ["169.254.35.62/16", "169.254.5.6/16"],
            "link-local",
        ),
        (
            ["10.77.1.1/24", "10.77.1.2/24"],
            ["10.77.2.1/24", "10.77.2.2/24"],
            "perhaps from NVIDIA Sync",
        ),
    ] {
        let [a, b] = addressed(first, second);
        let plan = propose(&a, &b).unwrap();
        let said = plan.adopted.clone().expect("it is adopted");
        assert!(said.contains(who), "{said}");
        assert_eq!(
            plan.rails[1].ends[1].address,
            second[1].split('/').next().unwrap()
        );
        assert_eq!(faults(&plan, &[&a, &b]), vec![], "{said}");
    }
}

#[test]
fn addresses_that_are_not_good_are_not_adopted() {
    for (first, second, why) in [
        (
            ["192.168.0.1/24", "192.168.0.3/24"],
            ["192.168.0.2/24", "192.168.0.4/24"],
            "both twins in one subnet",
        ),
        (
            ["192.168.9.1/24", "192.168.9.1/24"],
            ["192.168.8.1/24", "192.168.8.2/24"],
            "one address twice",
        ),
        (
            ["9.9.9.1/24", "9.9.9.2/24"],
            ["192.168.8.1/24", "192.168.8.2/24"],
            "public",
        ),
        (
            ["192.168.9.1/24", "192.168.7.2/24"],
            ["192.168.8.1/24", "192.168.8.2/24"],
            "two subnets on one rail",
        ),
    ] {
        let [a, b] = addressed(first, second);
        let plan = propose(&a, &b).unwrap();
        assert_eq!(plan.adopted, None, "{why}");
        assert_eq!(plan.rails[0].ends[0].address, "192.168.100.10", "{why}");
    }
}

#[test]
fn good_addresses_on_crossed_twins_and_different_ports_are_adopted() {
    let a = machine(
        "a",
        &[
            ("enp1s0f1np1", "10.1.2.1/30"),
            ("enP2p1s0f1np1", "10.1.3.1/30"),
        ],
    );
    let mut b = machine(
        "b",
        &[
            ("enp1s0f1np1", "10.1.3.2/30"),
            ("enP2p1s0f1np1", "10.1.2.2/30"),
        ],
    );
    for (interface, name) in b
        .interfaces
        .iter_mut()
        .zip(["enp1s0f0np0", "enP2p1s0f0np0"])
    {
        interface.name = name.into();
        interface.port = Some("p0".into());
    }
    let plan = propose(&a, &b).unwrap();
    let names: Vec<_> = plan
        .rails
        .iter()
        .flat_map(|r| r.ends.iter().map(|e| e.interface.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            "enp1s0f1np1",
            "enP2p1s0f0np0",
            "enP2p1s0f1np1",
            "enp1s0f0np0"
        ]
    );
    assert!(plan.adopted.is_some());
}
