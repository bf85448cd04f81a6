//! For machines with any routes and addresses: a plan collides with none of them, or there is no room.

use super::*;
use proptest::prelude::*;

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
