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
            "perhaps NVIDIA Sync",
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

#[test]
fn what_is_kept_is_kept_whole_and_ends_that_differ_are_planned() {
    let with = |mtus: [u32; 2]| {
        let [mut a, mut b] = addressed(
            ["192.168.100.10/24", "192.168.100.11/24"],
            ["192.168.101.10/24", "192.168.101.11/24"],
        );
        for (facts, mtu) in [&mut a, &mut b].into_iter().zip(mtus) {
            for interface in facts.interfaces.iter_mut().filter(|i| i.fabric) {
                interface.mtu = mtu;
            }
        }
        propose(&a, &b).unwrap()
    };
    for same in [1500, 9000, 9216] {
        let plan = with([same, same]);
        assert!(plan.adopted.is_some(), "{same}");
        assert_eq!(u32::from(plan.mtu), same, "nothing is written over");
    }
    let plan = with([1500, 9000]);
    assert_eq!((plan.adopted, plan.mtu), (None, 9000));
    let plan = with([65_520, 65_520]);
    assert_eq!(
        (plan.adopted, plan.mtu),
        (None, 9000),
        "more than the ports can do"
    );
}

/// Ports in a bond that has the address.
fn bonded(mut facts: Facts, said: bool) -> Facts {
    for interface in facts.interfaces.iter_mut().filter(|i| i.fabric) {
        interface.mac = "4c:bb:47:2f:fb:97".into();
        interface.master = said.then(|| "bond0".into());
    }
    facts.interfaces.push(Interface {
        name: "bond0".into(),
        mac: "4c:bb:47:2f:fb:97".into(),
        ipv4: vec!["10.0.0.1/24".into()],
        ..Interface::default()
    });
    facts
}

#[test]
fn a_member_of_a_bond_gets_no_address() {
    for said in [true, false] {
        let a = bonded(machine("a", &[]), said);
        let b = bonded(machine("b", &[]), said);
        let problem = propose(&a, &b).expect_err("no address is planned");
        let text = problem.to_string();
        assert!(text.contains("`bond0`, which has 10.0.0.1/24"), "{text}");
        let cure = format!("{:?}", problem);
        assert!(cure.contains("Give up `bond0` on both machines"), "{cure}");
        // Nor by hand.
        let plan = propose(&machine("a", &[]), &machine("b", &[])).unwrap();
        let against = faults(&plan, &[&a, &b]);
        assert!(against.iter().any(|p| p.to_string().contains("bond0")));
    }
}
