//! Every state of the cable, made from facts.

use super::*;

/// A fabric interface; `speed` of 0 is one without a link.
fn twin(name: &str, speed: u32) -> Interface {
    Interface {
        name: name.into(),
        port: Some(if name.ends_with("np1") { "p1" } else { "p0" }.into()),
        fabric: true,
        up: true,
        carrier: speed > 0,
        speed: (speed > 0).then_some(speed),
        rdma_state: Some(if speed > 0 { "ACTIVE" } else { "DOWN" }.into()),
        ..Interface::default()
    }
}

/// A machine with the speeds of its two ports' twins: `[[p0, p0's twin], [p1, p1's twin]]`.
fn machine(host: &str, speeds: [[u32; 2]; 2]) -> Facts {
    let jack = Interface {
        name: "enP7s7".into(),
        up: true,
        carrier: true,
        ..Interface::default()
    };
    Facts {
        hostname: host.into(),
        interfaces: vec![
            jack,
            twin("enp1s0f0np0", speeds[0][0]),
            twin("enP2p1s0f0np0", speeds[0][1]),
            twin("enp1s0f1np1", speeds[1][0]),
            twin("enP2p1s0f1np1", speeds[1][1]),
        ],
        ..Facts::default()
    }
}

/// A machine whose adapter DGX OS has switched off.
fn asleep(host: &str) -> Facts {
    let mut facts = machine(host, NONE);
    facts.interfaces.retain(|i| !i.fabric);
    facts.hotplug = true;
    facts
}

const FULL: u32 = 200_000;
const NONE: [[u32; 2]; 2] = [[0, 0], [0, 0]];
const P0: [[u32; 2]; 2] = [[FULL, FULL], [0, 0]];
const P1: [[u32; 2]; 2] = [[0, 0], [FULL, FULL]];
const TWO: [[u32; 2]; 2] = [[FULL, FULL], [FULL, FULL]];

fn state(a: &Facts, b: &Facts) -> CableState {
    let said = cabling(&[a, b]).unwrap();
    let mirrored = cabling(&[b, a]).unwrap();
    assert_eq!(said.state, mirrored.state, "whichever comes first");
    assert!(said.seen.ends_with('.'), "{}", said.seen);
    let settled = said.state == CableState::Good;
    assert_eq!(
        said.next.is_empty(),
        settled,
        "what to do is said: {}",
        said.next
    );
    said.state
}

#[test]
fn one_cable_is_two_interfaces_in_one_port() {
    let [a, b] = ["a", "b"].map(|h| machine(h, P1));
    assert_eq!(state(&a, &b), CableState::Good);
    let said = cabling(&[&a, &b]).unwrap();
    assert!(
        said.seen.contains("farthest from the RJ45 jack"),
        "{}",
        said.seen
    );
    let panel = &said.panels[0];
    assert!(panel.powered && panel.management);
    let ports: Vec<(&str, bool)> = panel
        .ports
        .iter()
        .map(|p| (p.port.as_str(), p.plugged))
        .collect();
    assert_eq!(ports, [("p0", false), ("p1", true)]);
    let twins: Vec<&str> = panel.ports[1]
        .twins
        .iter()
        .map(|t| t.interface.as_str())
        .collect();
    assert_eq!(twins, ["enp1s0f1np1", "enP2p1s0f1np1"]);
    assert!(
        panel.ports[1]
            .twins
            .iter()
            .all(|t| t.rdma && t.speed == Some(FULL))
    );
}

#[test]
fn different_ports_work_and_are_said() {
    let (a, b) = (machine("a", P1), machine("b", P0));
    assert_eq!(state(&a, &b), CableState::DifferentPorts);
}

#[test]
fn two_cables_are_told_from_two_interfaces() {
    let [a, b] = ["a", "b"].map(|h| machine(h, TWO));
    assert_eq!(state(&a, &b), CableState::TwoCables);
    let loose = machine("a", [[FULL, FULL], [FULL, 0]]);
    assert_eq!(
        state(&loose, &b),
        CableState::TwoCables,
        "the port with both rails is the one that counts"
    );
}

#[test]
fn no_cable_has_two_looks_and_neither_is_a_fault() {
    let [a, b] = ["a", "b"].map(|h| machine(h, NONE));
    assert_eq!(state(&a, &b), CableState::NoCable);
    let [off_a, off_b] = ["a", "b"].map(asleep);
    assert_eq!(state(&off_a, &off_b), CableState::NoCable);
    let said = cabling(&[&off_a, &off_b]).unwrap();
    assert!(said.seen.contains("no fault"), "{}", said.seen);
    assert!(!said.panels[0].powered);
    assert_eq!(
        said.panels[0].ports.len(),
        2,
        "the panel is drawn all the same"
    );
    assert_eq!(state(&off_a, &b), CableState::NoCable, "one of each");
}

#[test]
fn an_adapter_that_woke_up_feels_a_plug() {
    let mut awake = machine("a", NONE);
    awake.hotplug = true;
    let off = asleep("b");
    assert_eq!(state(&awake, &off), CableState::OneEnd);
    let said = cabling(&[&awake, &off]).unwrap();
    assert!(said.next.contains("`b`"), "{}", said.next);
    let other = Facts {
        hostname: "b".into(),
        ..awake.clone()
    };
    assert_eq!(state(&awake, &other), CableState::NoCable);
    let said = cabling(&[&awake, &other]).unwrap();
    assert!(said.next.contains("Push both plugs"), "{}", said.next);
}

#[test]
fn ports_that_are_switched_off_are_not_taken_for_empty() {
    let mut a = machine("a", NONE);
    for interface in a.interfaces.iter_mut().filter(|i| i.fabric) {
        interface.up = false;
    }
    let b = machine("b", NONE);
    assert_eq!(state(&a, &b), CableState::NoCable);
    let said = cabling(&[&a, &b]).unwrap();
    assert!(
        said.next.contains("sudo ip link set enp1s0f0np0 up"),
        "{}",
        said.next
    );
}

#[test]
fn a_link_on_one_machine_only() {
    let (a, b) = (machine("a", P1), machine("b", NONE));
    assert_eq!(state(&a, &b), CableState::OneEnd);
    assert_eq!(state(&a, &asleep("b")), CableState::OneEnd);
    let said = cabling(&[&a, &b]).unwrap();
    assert!(said.next.contains("`b`"), "{}", said.next);
    assert_eq!(
        cabling(&[&a]).unwrap().state,
        CableState::OneEnd,
        "the other is not known yet"
    );
    assert_eq!(cabling(&[&b]).unwrap().state, CableState::NoCable);
}

#[test]
fn one_rail_says_why() {
    let (mut a, b) = (machine("a", [[0, 0], [FULL, 0]]), machine("b", P1));
    assert_eq!(state(&a, &b), CableState::OneRail);
    let said = cabling(&[&a, &b]).unwrap();
    assert!(
        said.seen.contains("`enP2p1s0f1np1` has none"),
        "{}",
        said.seen
    );
    assert!(said.next.contains("until it clicks"), "{}", said.next);
    for interface in a
        .interfaces
        .iter_mut()
        .filter(|i| i.name == "enP2p1s0f1np1")
    {
        interface.up = false;
    }
    let said = cabling(&[&a, &b]).unwrap();
    assert!(
        said.next.contains("sudo ip link set enP2p1s0f1np1 up"),
        "{}",
        said.next
    );
    a.interfaces.retain(|i| i.name != "enP2p1s0f1np1");
    assert_eq!(state(&a, &b), CableState::OneRail);
    let said = cabling(&[&a, &b]).unwrap();
    assert!(said.seen.contains("missing"), "{}", said.seen);
}

#[test]
fn slow_cables_are_named_by_their_speed() {
    let [a, b] = ["a", "b"].map(|h| machine(h, [[0, 0], [100_000, 100_000]]));
    assert_eq!(state(&a, &b), CableState::Slow);
    let said = cabling(&[&a, &b]).unwrap();
    assert!(
        said.seen.contains("100 Gb/s") && said.next.contains("100G cable"),
        "{said:?}"
    );
    let [a, b] = ["a", "b"].map(|h| machine(h, [[0, 0], [40_000, 40_000]]));
    assert_eq!(state(&a, &b), CableState::Slow);
    assert!(!cabling(&[&a, &b]).unwrap().next.contains("100G cable"));
    let [mut a, mut b] = ["a", "b"].map(|h| machine(h, P1));
    for interface in a.interfaces.iter_mut().chain(&mut b.interfaces) {
        interface.speed = None;
    }
    assert_eq!(
        state(&a, &b),
        CableState::Good,
        "an unknown speed is not a slow one"
    );
}

#[test]
fn rings_switches_and_crowds_are_refused() {
    let (a, b) = (machine("a", TWO), machine("b", P0));
    assert_eq!(
        state(&a, &b),
        CableState::NotAPair,
        "a second cable leads elsewhere"
    );
    let said = cabling(&[&a, &b]).unwrap();
    assert!(
        said.next.contains("no rings and no switches"),
        "{}",
        said.next
    );
    let three: Vec<Facts> = ["a", "b", "c"].iter().map(|h| machine(h, TWO)).collect();
    let said = cabling(&three.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(said.state, CableState::NotAPair);
    assert_eq!(said.panels.len(), 3);
    assert_eq!(cabling(&[]), None);
}

#[test]
fn an_adapter_that_a_restart_did_not_bring_back_is_missing() {
    let (a, b) = (machine("a", P1), asleep("b"));
    let said = cabling_after_restart(&[&a, &b]).unwrap();
    assert_eq!(said.state, CableState::AdapterMissing);
    assert!(
        said.seen.contains("`b`") && !said.seen.contains("`a`"),
        "{}",
        said.seen
    );
    let there = machine("b", NONE);
    assert_eq!(
        cabling_after_restart(&[&a, &there]),
        cabling(&[&a, &there]),
        "one that is there is as it was"
    );
}

#[test]
fn two_links_are_one_cable_once_a_packet_crossed() {
    let (mut a, mut b) = (machine("a", P1), machine("b", P1));
    for (facts, number) in [(&mut a, 1), (&mut b, 2)] {
        for (twin, interface) in facts.interfaces.iter_mut().enumerate() {
            interface.mac = format!("4c:bb:47:2f:0{number}:0{twin}");
        }
    }
    let seen = |a: &Facts, b: &Facts| cabling(&[a, b]).unwrap();
    assert_eq!(
        seen(&a, &b).seen,
        "Both machines have a link in the port farthest from the RJ45 jack, at full speed on both rails."
    );
    let cabled = a.interfaces.iter_mut().find(|i| i.fabric && i.carrier);
    cabled.unwrap().neighbours = vec!["4C:BB:47:2F:02:03".into()];
    for said in [seen(&a, &b), seen(&b, &a)] {
        assert!(
            said.seen.starts_with("One cable joins the machines"),
            "{}",
            said.seen
        );
        assert_eq!(said.state, CableState::Good);
    }
    let cabled = a.interfaces.iter_mut().find(|i| i.fabric && i.carrier);
    cabled.unwrap().neighbours = vec!["00:11:22:33:44:55".into()];
    for said in [seen(&a, &b), seen(&b, &a)] {
        assert_eq!(said.state, CableState::NotAPair);
        assert_eq!(
            said.seen,
            "The cable of `a` leads to another device (MAC address 00:11:22:33:44:55), not to `b`."
        );
    }
}

#[test]
fn a_virtual_function_is_no_rail() {
    let mut a = machine("a", P1);
    let mut function = twin("enp1s0f1v0", FULL);
    function.virtual_function = true;
    a.interfaces.push(function);
    assert_eq!(a.cabled().len(), 2);
}
