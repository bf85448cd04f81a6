//! Addresses for two machines, subject by subject.

use super::*;
use crate::machine::Route;

mod adopting;
mod against;
mod collisions;
mod crowds;
mod proposing;

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

/// Two machines whose first and second twins have these addresses.
fn addressed(first: [&str; 2], second: [&str; 2]) -> [Facts; 2] {
    [0, 1].map(|i| {
        machine(
            ["a", "b"][i],
            &[("enp1s0f1np1", first[i]), ("enP2p1s0f1np1", second[i])],
        )
    })
}

fn causes(plan: &NetworkPlan, machines: &[&Facts]) -> Vec<String> {
    faults(plan, machines)
        .into_iter()
        .filter_map(|p| p.cause)
        .collect()
}
