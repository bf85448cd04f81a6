use super::*;
use crate::machine::{NetplanFile, Route};
use crate::network::netplan;
use proptest::prelude::*;

fn machine(host: &str, extra: &[(&str, &str)]) -> Facts {
    let twin = |name: &str| Interface {
        name: name.into(),
        port: Some("p1".into()),
        fabric: true,
        carrier: true,
        mtu: 1500,
        ..Interface::default()
    };
    let mut interfaces = vec![twin("enp1s0f1np1"), twin("enP2p1s0f1np1")];
    for (name, address) in extra {
        match interfaces.iter_mut().find(|i| i.name == *name) {
            Some(interface) => interface.ipv4.push((*address).into()),
            None => interfaces.push(Interface {
                name: (*name).into(),
                ipv4: vec![(*address).into()],
                ..Interface::default()
            }),
        }
    }
    Facts {
        hostname: host.into(),
        interfaces,
        default_interface: Some("enP7s7".into()),
        ..Facts::default()
    }
}

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

/// A machine with these routes beside its own ports'.
fn routed(host: &str, routes: &[(String, &str)]) -> Facts {
    let route = |(to, interface): &(String, &str)| Route {
        to: to.clone(),
        interface: (*interface).to_owned(),
    };
    Facts {
        routes: routes.iter().map(route).collect(),
        ..machine(host, &[])
    }
}

fn causes(plan: &NetworkPlan, machines: &[&Facts]) -> Vec<String> {
    faults(plan, machines)
        .into_iter()
        .filter_map(|p| p.cause)
        .collect()
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

/// Two machines whose first and second twins have these addresses.
fn addressed(first: [&str; 2], second: [&str; 2]) -> [Facts; 2] {
    [0, 1].map(|i| {
        machine(
            ["a", "b"][i],
            &[("enp1s0f1np1", first[i]), ("enP2p1s0f1np1", second[i])],
        )
    })
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

#[test]
fn three_machines_are_refused_in_plain_words() {
    let facts = machine("a", &[]);
    let plan = propose(&facts, &machine("b", &[])).unwrap();
    let said = causes(&plan, &[&facts, &facts, &facts]);
    assert_eq!(said.len(), 1, "one sentence, not one a rail");
    assert!(
        said[0].contains("3 machines") && said[0].contains("ring"),
        "{said:?}"
    );
}

/// A route or address somewhere in the private ranges, now and then one that takes a whole range.
fn network() -> impl Strategy<Value = String> {
    let whole = prop_oneof![
        Just("10.0.0.0/8"),
        Just("172.16.0.0/12"),
        Just("192.168.0.0/16"),
        Just("0.0.0.0/0"),
        Just("128.0.0.0/1")
    ];
    let small =
        (0..3u8, any::<u8>(), any::<u8>(), 8..=32u8).prop_map(
            |(range, x, y, prefix)| match range {
                0 => format!("192.168.{x}.{y}/{prefix}"),
                1 => format!("10.{x}.{y}.1/{prefix}"),
                _ => format!("172.{}.{y}.1/{prefix}", 16 + x % 16),
            },
        );
    // The first ranges, so that their collisions are met often.
    let near = (0..CANDIDATES.len(), 0..2usize, 16..=28u8).prop_map(|(i, j, prefix)| {
        let [a, b, c] = CANDIDATES[i][j];
        format!("{a}.{b}.{c}.0/{prefix}")
    });
    prop_oneof![2 => whole.prop_map(str::to_owned), 4 => small, 3 => near]
}

fn machine_in_use(host: &'static str) -> impl Strategy<Value = Facts> {
    let interface = prop_oneof![
        Just("enP7s7"),
        Just("docker0"),
        Just("br-1f2e"),
        Just("tun0"),
        Just("enp1s0f1np1")
    ];
    let routes = prop::collection::vec((network(), interface), 0..14);
    let addresses = prop::collection::vec(network(), 0..4);
    (routes, addresses).prop_map(move |(routes, addresses)| {
        let mut facts = routed(host, &routes);
        facts.interfaces.push(Interface {
            name: "enP7s7".into(),
            ipv4: addresses,
            ..Interface::default()
        });
        facts
    })
}

/// First and last address of everything that something other than the ports of the plan uses; written
/// apart from the planner.
fn used_ranges(machines: &[&Facts]) -> Vec<(u64, u64)> {
    let range = |text: &str| {
        let (ip, prefix) = text.split_once('/').unwrap();
        let size = 1u64 << (32 - prefix.parse::<u32>().unwrap());
        let first = u64::from(u32::from(ip.parse::<Ipv4Addr>().unwrap())) / size * size;
        // The default route, whole or in halves, is used by nothing in particular.
        (size < 1 << 31).then_some((first, first + size - 1))
    };
    let twin = |name: &str| ["enp1s0f1np1", "enP2p1s0f1np1"].contains(&name);
    let mut all: Vec<_> = range("172.17.0.0/16").into_iter().collect();
    for machine in machines {
        let routes = machine.routes.iter().filter(|r| !twin(&r.interface));
        all.extend(routes.filter_map(|r| range(&r.to)));
        let others = machine.interfaces.iter().filter(|i| !twin(&i.name));
        all.extend(others.flat_map(|i| &i.ipv4).filter_map(|a| range(a)));
    }
    all
}

fn used(subnet: u32, ranges: &[(u64, u64)]) -> bool {
    let (first, last) = (u64::from(subnet), u64::from(subnet) + 255);
    ranges.iter().any(|(f, l)| *f <= last && first <= *l)
}

proptest! {
    #[test]
    fn a_proposal_collides_with_nothing_or_none_is_left(a in machine_in_use("a"), b in machine_in_use("b")) {
        let machines = [&a, &b];
        let ranges = used_ranges(&machines);
        match propose(&a, &b) {
            Ok(plan) => {
                for end in plan.rails.iter().flat_map(|r| &r.ends) {
                    let subnet = u32::from(end.address.parse::<Ipv4Addr>().unwrap()) & !0xff;
                    prop_assert!(!used(subnet, &ranges), "{} collides", end.address);
                }
                prop_assert_eq!(faults(&plan, &machines), vec![]);
            }
            Err(problem) => {
                prop_assert!(problem.message.contains("No subnet is free"), "{}", problem);
                let private = [(0x0a00_0000u32, 65_536u32), (0xac10_0000, 4096), (0xc0a8_0000, 256)];
                let free = private
                    .iter()
                    .flat_map(|(first, count)| (0..*count).map(move |i| first + i * 256))
                    .filter(|s| !used(*s, &ranges))
                    .take(2)
                    .count();
                prop_assert!(free < 2, "there was room for both rails");
            }
        }
    }
}
