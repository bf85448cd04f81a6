//! More than two machines, in a ring or at a switch, are refused in plain words at every door.

use super::*;
use crate::ids::MachineId;
use crate::machine::DockerAccess;
use crate::machine::SetupMachine;
use crate::network::cabling::{CableState, cabling};
use crate::procedure::link::LinkRequest;
use crate::procedure::request::SetupRequest;
use crate::recipe::catalog;

/// So many machines, each with its cable.
fn crowd(count: usize) -> Vec<Facts> {
    let names = ["a", "b", "c", "d"];
    let fit = |name: &&str| Facts {
        docker: DockerAccess::Open,
        ..machine(name, &[])
    };
    names[..count].iter().map(fit).collect()
}

fn chosen(facts: &[Facts]) -> (Vec<MachineId>, Vec<SetupMachine>) {
    let machines = facts.iter().map(|f| SetupMachine {
        name: f.hostname.clone(),
        user: "nvidia".into(),
        facts: f.clone(),
    });
    let ids = facts.iter().map(|f| MachineId(f.hostname.clone()));
    (ids.collect(), machines.collect())
}

#[test]
fn three_and_four_machines_are_refused_in_plain_words() {
    for count in [3, 4] {
        let facts = crowd(count);
        let all: Vec<&Facts> = facts.iter().collect();
        let plan = propose(&facts[0], &facts[1]).unwrap();

        let said = causes(&plan, &all);
        assert_eq!(said.len(), 1, "one sentence, not one a rail");
        assert!(
            said[0].contains(&format!("{count} machines"))
                && said[0].contains("ring")
                && said[0].contains("switch"),
            "{said:?}"
        );

        let looked = cabling(&all).unwrap();
        assert_eq!(looked.state, CableState::NotAPair);
        assert_eq!(looked.seen, format!("{count} machines are here."));
        assert!(looked.next.contains("no rings and no switches"));
        assert_eq!(looked.panels.len(), count, "each is shown none the less");

        let (ids, machines) = chosen(&facts);
        let request = SetupRequest::proposed(
            catalog::proposed(2),
            ids.clone(),
            &machines,
            "https://hub".into(),
        )
        .unwrap();
        assert_eq!(request.network, None, "nothing is addressed");
        let faults: Vec<String> = request
            .resolve(catalog::proposed(2), &machines)
            .problems
            .into_iter()
            .filter_map(|p| p.cause)
            .collect();
        assert_eq!(faults, [format!("{count} were chosen.")]);

        let problem = LinkRequest::proposed(ids, &machines, false).unwrap_err();
        let cause = problem.cause.clone().unwrap();
        assert!(cause.contains(&format!("{count} machines")), "{problem}");
        assert!(cause.contains("ring"), "{problem}");
    }
}

#[test]
fn a_second_cable_that_may_lead_elsewhere_is_told() {
    let mut facts = crowd(2);
    for f in &mut facts {
        for name in ["enp1s0f0np0", "enP2p1s0f0np0"] {
            f.interfaces.push(Interface {
                name: name.into(),
                port: Some("p0".into()),
                fabric: true,
                carrier: true,
                ..Interface::default()
            });
        }
    }
    // A ring of three looks the same from two of its machines.
    let looked = cabling(&[&facts[0], &facts[1]]).unwrap();
    assert_eq!(looked.state, CableState::TwoCables);
    assert!(
        looked.next.contains("third machine") && looked.next.contains("no rings"),
        "{}",
        looked.next
    );
}
