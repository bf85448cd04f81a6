//! Which addresses bare machines get.

use super::*;

#[test]
fn bare_machines_get_two_subnets() {
    let (a, b) = (machine("a", &[]), machine("b", &[]));
    let plan = propose(&a, &b).unwrap();
    assert_eq!(plan.rails.len(), 2, "a rail for each twin");
    assert_eq!(plan.rails[0].ends[0].address, "192.168.100.10");
    assert_eq!(plan.rails[1].ends[1].address, "192.168.101.11");
    assert_eq!(faults(&plan, &[&a, &b]), vec![], "a proposal has no faults");
}

#[test]
fn a_home_network_in_the_first_range_moves_the_plan() {
    let a = machine("a", &[("enP7s7", "192.168.100.23/24")]);
    let b = machine("b", &[("wlP9s9", "10.20.0.7/16")]);
    let plan = propose(&a, &b).unwrap();
    assert_eq!(
        plan.rails[0].ends[0].address, "192.168.177.10",
        "the first free pair"
    );
}

#[test]
fn no_cable_is_said_in_both_its_looks() {
    let mut off = machine("a", &[]);
    off.interfaces.clear();
    let problem = propose(&off, &machine("b", &[])).unwrap_err();
    assert!(
        problem.cause.unwrap().contains("switched off"),
        "no device at all is no fault"
    );
}

#[test]
fn routes_and_docker_networks_of_either_machine_move_the_plan() {
    let a = routed(
        "a",
        &[
            ("192.168.100.0/23".into(), "br-4711"),
            ("10.0.0.0/8".into(), "tun0"),
        ],
    );
    let b = routed(
        "b",
        &[
            ("192.168.177.0/24".into(), "wlP9s9"),
            ("172.30.0.0/16".into(), "br-0815"),
            ("0.0.0.0/0".into(), "enP7s7"),
        ],
    );
    let plan = propose(&a, &b).unwrap();
    assert_eq!(
        plan.rails[0].ends[0].address, "172.31.255.10",
        "beyond the first ranges it goes on looking"
    );
    assert_eq!(faults(&plan, &[&a, &b]), vec![]);
}

#[test]
fn the_routes_of_the_ports_themselves_do_not_count() {
    let a = routed("a", &[("192.168.100.0/24".into(), "enp1s0f1np1")]);
    let plan = propose(&a, &machine("b", &[])).unwrap();
    assert_eq!(plan.rails[0].ends[0].address, "192.168.100.10");
}

#[test]
fn when_no_range_is_left_it_says_what_takes_them() {
    let all = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    let routes: Vec<(String, &str)> = all.iter().map(|r| ((*r).to_owned(), "tun0")).collect();
    let problem = propose(&routed("a", &routes), &machine("b", &[])).unwrap_err();
    assert!(
        problem
            .cause
            .clone()
            .unwrap()
            .contains("10.0.0.0/8 on `tun0` of `a`"),
        "{problem}"
    );
}

#[test]
fn different_ports_on_the_machines_get_a_plan() {
    let a = machine("a", &[]);
    let mut b = machine("b", &[]);
    for (interface, name) in b
        .interfaces
        .iter_mut()
        .zip(["enp1s0f0np0", "enP2p1s0f0np0"])
    {
        interface.name = name.into();
        interface.port = Some("p0".into());
    }
    let plan = propose(&a, &b).unwrap();
    assert_eq!(plan.rails[0].ends[1].interface, "enp1s0f0np0");
    assert_eq!(faults(&plan, &[&a, &b]), vec![]);
}
