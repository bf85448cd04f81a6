//! What stands against a plan.

use super::*;
use crate::machine::NetplanFile;
use crate::network::netplan;

#[test]
fn a_plan_on_the_management_link_is_refused() {
    let mut a = machine("a", &[]);
    let b = machine("b", &[]);
    let plan = propose(&a, &b).unwrap();
    a.default_interface = Some("enp1s0f1np1".into());
    let causes: Vec<_> = faults(&plan, &[&a, &b])
        .into_iter()
        .filter_map(|p| p.cause)
        .collect();
    assert_eq!(
        causes,
        vec!["`enp1s0f1np1` on `a` is how you reach the machine."]
    );
}

#[test]
fn every_fault_of_a_plan_is_told_at_once() {
    let (a, b) = (machine("a", &[]), machine("b", &[]));
    let mut plan = propose(&a, &b).unwrap();
    plan.mtu = 100;
    plan.rails[0].ends[0].address = "fe80::1".into();
    plan.rails[1].ends[1].address = "8.8.8.8".into();
    assert_eq!(
        faults(&plan, &[&a, &b]).len(),
        4,
        "MTU, IPv6, public, two subnets"
    );
}

#[test]
fn a_foreign_file_that_names_a_port_stands_against_writing_but_not_against_adopting() {
    let file = NetplanFile {
        path: "/etc/netplan/40-cx7.yaml".into(),
        text: Some("network:\n  ethernets:\n    enp1s0f1np1:\n      dhcp4: no\n".into()),
    };
    let mut a = machine("a", &[]);
    a.netplan.push(file.clone());
    let b = machine("b", &[]);
    let plan = propose(&a, &b).unwrap();
    let said = causes(&plan, &[&a, &b]);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("/etc/netplan/40-cx7.yaml"), "{said:?}");
    a.netplan[0].path = netplan::FILE.into();
    assert_eq!(
        faults(&plan, &[&a, &b]),
        vec![],
        "our own file is none of those"
    );

    let [mut a, b] = addressed(
        ["10.9.1.1/24", "10.9.1.2/24"],
        ["10.9.2.1/24", "10.9.2.2/24"],
    );
    a.netplan.push(file);
    let mut plan = propose(&a, &b).unwrap();
    assert_eq!(faults(&plan, &[&a, &b]), vec![], "nothing will be written");
    plan.mtu = 9000;
    assert_eq!(faults(&plan, &[&a, &b]).len(), 1, "an edit is written");
}

#[test]
fn duplicates_collisions_and_other_ports_are_told() {
    let a = machine("a", &[("enP7s7", "192.168.1.7/24")]);
    let b = routed("b", &[("192.168.5.0/24".into(), "br-1")]);
    let good = propose(&a, &b).unwrap();

    let mut same = good.clone();
    same.rails[1].ends = same.rails[0].ends.clone();
    let said = causes(&same, &[&a, &b]).join(" ");
    assert!(
        said.contains("share the subnet")
            && said.contains("given to two ports")
            && said.contains("in two rails"),
        "{said}"
    );

    let mut docker = good.clone();
    docker.rails[0].ends[0].address = "192.168.5.1".into();
    docker.rails[0].ends[1].address = "192.168.5.2".into();
    assert_eq!(
        causes(&docker, &[&a, &b]),
        ["192.168.5.0/24 collides with 192.168.5.0/24 on `br-1` of `b`."]
    );

    let mut lan = good.clone();
    lan.rails[0].ends[0].interface = "enP7s7".into();
    let mut wifi_only = a.clone();
    wifi_only.default_interface = Some("wlP9s9".into());
    let said = causes(&lan, &[&wifi_only, &b]).join(" ");
    assert!(said.contains("no port of the private cable"), "{said}");
}
