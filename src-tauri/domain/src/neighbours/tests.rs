use std::net::IpAddr;

use super::{Added, Configured, FoundBy, Neighbour, Sighting, factory_name, neighbours};
use crate::machine::{Facts, Interface};

const BROWSED: &str = include_str!("../../tests/fixtures/discovery/avahi-browse-ssh.txt");

/// The resolved lines of `avahi-browse -p`: `=;interface;protocol;name;type;domain;host;address;port;txt`.
fn browsed() -> Vec<Sighting> {
    let lines = BROWSED.lines().filter(|l| l.starts_with('='));
    lines
        .map(|line| {
            let fields: Vec<_> = line.split(';').collect();
            Sighting {
                host: fields[6].into(),
                ssh: Some(fields[8].parse().expect("a port")),
                addresses: vec![fields[7].parse().expect("an address")],
            }
        })
        .collect()
}

fn seen(host: &str, addresses: &[&str]) -> Sighting {
    Sighting {
        host: host.into(),
        ssh: Some(22),
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
    }
}

fn configured(alias: &str, address: &str, user: Option<&str>, port: u16) -> Configured {
    Configured {
        alias: alias.into(),
        address: address.into(),
        port,
        user: user.map(Into::into),
    }
}

fn facts(hostname: &str, interfaces: &[(&str, bool, &str)]) -> Facts {
    let interfaces = interfaces.iter().map(|(name, fabric, ipv4)| Interface {
        name: (*name).into(),
        fabric: *fabric,
        ipv4: vec![(*ipv4).into()],
        ..Interface::default()
    });
    Facts {
        hostname: hostname.into(),
        interfaces: interfaces.collect(),
        ..Facts::default()
    }
}

fn nobody(_: IpAddr) -> bool {
    false
}

fn names(list: &[Neighbour]) -> Vec<&str> {
    list.iter().map(|n| n.name.as_str()).collect()
}

#[test]
fn a_spark_seen_on_three_links_is_one_machine() {
    let list = neighbours(&browsed(), &[], &[], &nobody);
    assert_eq!(browsed().len(), 3, "the capture holds three lines of it");
    assert_eq!(names(&list), ["spark-bd26"]);
    assert_eq!(list[0].addresses[0], "192.168.1.61", "the LAN's first");
    assert_eq!(list[0].addresses.len(), 3, "none is lost");
    assert!(list[0].spark && !list[0].added && list[0].by == FoundBy::Mdns);
}

#[test]
fn addresses_of_the_cable_come_after_those_of_the_network() {
    // By number alone the cable's 10.20 would come first.
    let added = facts(
        "spark-5c2d",
        &[
            ("enP7s7", false, "192.168.1.60/24"),
            ("enp1s0f1np1", true, "10.20.0.1/24"),
        ],
    );
    let added = Added::new("192.168.1.60", "192.168.1.60", Some(&added));
    let seen = [seen(
        "spark-bd26.local.",
        &["169.254.3.4", "10.20.0.2", "fd00::1", "192.168.1.61"],
    )];
    let list = neighbours(&seen, &[], &[added], &nobody);
    assert_eq!(
        list[0].addresses,
        ["192.168.1.61", "10.20.0.2", "169.254.3.4"]
    );
    assert!(!list[0].added, "the other one was added");
}

#[test]
fn ipv6_stands_in_where_there_is_nothing_else() {
    let seen = [
        seen("a.local.", &["fd00::1", "fe80::1"]),
        seen("b.local.", &["fe80::2"]),
    ];
    let list = neighbours(&seen, &[], &[], &nobody);
    assert_eq!(list[0].addresses, ["fd00::1", "a.local"]);
    assert_eq!(
        list[1].addresses,
        ["b.local"],
        "no use without its interface"
    );
}

#[test]
fn this_computer_is_left_out_and_so_is_what_leads_to_it() {
    let ours = |ip: IpAddr| ["192.168.1.5", "192.168.122.1"].contains(&ip.to_string().as_str());
    let found = [
        seen("desk.local.", &["192.168.1.5", "127.0.0.1", "fe80::5"]),
        seen("desk.local.", &["192.168.122.1", "172.17.0.1"]),
        seen(
            "spark-bd26.local.",
            &["192.168.122.1", "172.17.0.1", "192.168.1.61"],
        ),
    ];
    let hosts = [
        configured("me", "127.0.0.1", None, 22),
        configured("self", "192.168.1.5", None, 22),
    ];
    let list = neighbours(&found, &hosts, &[], &ours);
    assert_eq!(names(&list), ["spark-bd26"]);
    assert_eq!(list[0].addresses, ["192.168.1.61"]);
}

#[test]
fn machines_with_the_same_virtual_bridge_stay_two() {
    let found = [
        seen("spark-aaaa.local.", &["192.168.122.1", "192.168.1.61"]),
        seen("spark-bbbb.local.", &["192.168.122.1", "192.168.1.62"]),
    ];
    let first = facts(
        "spark-aaaa",
        &[
            ("enP7s7", false, "192.168.1.61/24"),
            ("virbr0", false, "192.168.122.1/24"),
        ],
    );
    let added = [Added::new("192.168.1.61", "192.168.1.61", Some(&first))];
    let list = neighbours(&found, &[], &added, &nobody);
    assert_eq!(names(&list), ["spark-aaaa", "spark-bbbb"]);
    assert_eq!((list[0].added, list[1].added), (true, false));
}

#[test]
fn a_name_of_the_configuration_joins_the_machine_it_leads_to() {
    let hosts = [
        configured("left", "192.168.1.61", Some("ada"), 2222),
        configured("nas", "nas.example", None, 22),
        configured("right", "SPARK-5C2D.local", Some("bob"), 22),
        configured("also-right", "spark-5c2d.local", Some("eve"), 23),
        // Called like a machine of the network, but leads elsewhere.
        configured("printer", "10.9.9.9", None, 22),
    ];
    let mut found = browsed();
    found.push(seen("spark-5c2d.local.", &["192.168.1.60"]));
    found.push(seen("printer.local.", &["192.168.1.9"]));
    let list = neighbours(&found, &hosts, &[], &nobody);
    assert_eq!(
        names(&list),
        ["spark-5c2d", "spark-bd26", "nas", "printer", "printer"]
    );
    let (right, left) = (&list[0], &list[1]);
    assert_eq!(
        left.addresses[..2],
        ["left", "192.168.1.61"],
        "the name first"
    );
    assert_eq!((left.user.as_deref(), left.port), (Some("ada"), 2222));
    assert_eq!(left.by, FoundBy::Mdns);
    assert_eq!(
        (right.user.as_deref(), right.port),
        (Some("bob"), 22),
        "the first name counts"
    );
    assert_eq!(right.addresses[..2], ["right", "also-right"]);
    assert_eq!(list[2].by, FoundBy::SshConfig);
    assert_eq!(list[2].addresses, ["nas", "nas.example"]);
}

#[test]
fn what_was_added_is_known_by_address_then_by_name_or_alias() {
    let found = [
        // A clone: both call themselves `spark`, so mDNS gave the second another name.
        seen("spark.local.", &["192.168.1.61"]),
        seen("spark-2.local.", &["192.168.1.62"]),
        seen("Named.local.", &["192.168.1.63"]),
    ];
    let second = facts("spark", &[("enP7s7", false, "192.168.1.62/24")]);
    let hosts = [configured("far", "far.example", None, 22)];
    let added = [
        Added::new("spark-2.local", "spark-2.local", Some(&second)),
        Added::new("named.local", "named.local", None),
        Added::new("far", "far.example", None),
    ];
    let list = neighbours(&found, &hosts, &added, &nobody);
    let marked: Vec<_> = list.iter().filter(|n| n.added).collect();
    let marked: Vec<_> = marked.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(marked, ["far", "named", "spark-2"]);
}

#[test]
fn an_added_machine_under_two_names_is_one() {
    let found = [
        seen("spark-bd26.local.", &["192.168.1.61"]),
        seen("spark-bd26-2.local.", &["192.168.1.71"]),
    ];
    let both = facts(
        "spark-bd26",
        &[
            ("enP7s7", false, "192.168.1.61/24"),
            ("wlP9s9", false, "192.168.1.71/24"),
        ],
    );
    let added = [Added::new(
        "spark-bd26.local",
        "spark-bd26.local",
        Some(&both),
    )];
    let list = neighbours(&found, &[], &added, &nobody);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!(list[0].addresses, ["192.168.1.61", "192.168.1.71"]);
}

#[test]
fn a_host_that_does_not_announce_ssh_needs_the_name_of_a_spark() {
    let quiet = |host: &str, ip: &str| Sighting {
        ssh: None,
        ..seen(host, &[ip])
    };
    let found = [
        quiet("gx10-9641.local.", "192.168.1.70"),
        quiet("television.local.", "192.168.1.71"),
        quiet("renamed.local.", "192.168.1.72"),
        Sighting {
            ssh: Some(2200),
            ..seen("renamed.local.", &["192.168.1.72"])
        },
    ];
    let list = neighbours(&found, &[], &[], &nobody);
    assert_eq!(names(&list), ["gx10-9641", "renamed"]);
    assert_eq!((list[0].port, list[1].port), (22, 2200));
}

#[test]
fn the_names_of_the_factory_are_known() {
    for name in [
        "spark-fb97",
        "GX10-9641.local.",
        "zgx-3285",
        "gn100-89ac",
        "promaxgb10-41b1",
        "edgexpert-45d2",
    ] {
        assert!(factory_name(name), "{name}");
    }
    for name in [
        "spark-",
        "spark-bd26-2",
        "spark-zzzz",
        "dgx-spark-01",
        "spark",
        "nas-1234",
        "my-spark-1",
    ] {
        assert!(!factory_name(name), "{name}");
    }
}
