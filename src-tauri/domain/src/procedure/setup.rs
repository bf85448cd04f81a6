//! The set-up: from two machines (or one) to a server.

use std::sync::Arc;

use super::request::Setup;
use crate::machine::SetupMachine;
use crate::run::{Plan, StepPlan};
use crate::step::link_test::LinkTestReceipt;
use crate::step::services::DynStep;
use crate::step::{
    all_reduce, docker, facts, firewall, graft, image, key, launch, link_test, network, program,
    validate, weights,
};

/// The name and version of the set-up. A change of its steps is a new version.
pub const SETUP: (&str, u32) = ("setup", 5);

/// The steps of the set-up, in order. `public_key` is the line of Tandem's own SSH key; `measured` is what
/// another run found between these machines last.
pub fn setup_steps(
    setup: &Setup,
    machines: &[SetupMachine],
    public_key: &str,
    measured: Option<LinkTestReceipt>,
) -> Vec<Arc<DynStep>> {
    let names: Vec<String> = machines.iter().map(|m| m.name.clone()).collect();
    let users = machines.iter().map(|m| m.user.clone()).collect();
    let plan = Arc::new(setup.launch.clone());
    let mut steps: Vec<Arc<DynStep>> = vec![
        Arc::new(key::InstallKey {
            public_key: public_key.to_owned(),
        }),
        Arc::new(program::SendProgram),
        Arc::new(docker::OpenDocker { users }),
        Arc::new(facts::ReadFacts { serves: true }),
    ];
    if let Some(link) = &plan.network {
        let address = network::AddressLink::new(link.clone(), names.clone());
        steps.push(Arc::new(address));
    }
    // Before anything listens on the link, be it only to measure it.
    steps.push(Arc::new(firewall::CloseToOthers {
        launch: plan.clone(),
        names,
    }));
    if let Some(link) = &plan.network {
        steps.push(Arc::new(link_test::LinkTest {
            plan: link.clone(),
            why: link_test::MeasureReason::InPassing(measured),
        }));
    }
    steps.push(Arc::new(image::BringImage {
        launch: plan.clone(),
    }));
    if let Some(link) = plan.network.clone() {
        steps.push(Arc::new(all_reduce::AllReduceTest {
            launch: plan.clone(),
            plan: link,
        }));
    }
    steps.push(Arc::new(weights::FetchWeights {
        launch: plan.clone(),
    }));
    if let Some(graft) = plan.graft.clone() {
        let launch = plan.clone();
        steps.push(Arc::new(graft::GraftMtp { launch, graft }));
    }
    for variant in &plan.variants {
        let variant = variant.id.clone();
        steps.push(Arc::new(launch::LaunchServer {
            launch: plan.clone(),
            variant: variant.clone(),
        }));
        steps.push(Arc::new(validate::Validate {
            launch: plan.clone(),
            variant,
        }));
    }
    steps
}

/// Says how many steps become root; nothing where none does.
fn root_caution(steps: usize) -> Option<String> {
    match steps {
        0 => None,
        1 => Some("One step becomes root; its exact commands are shown.".to_owned()),
        2 => Some("Two steps become root; their exact commands are shown.".to_owned()),
        n => Some(format!(
            "{n} steps become root; their exact commands are shown."
        )),
    }
}

/// The set-up as it is shown before it runs, stored with the run and compared on a resume.
pub fn setup_plan(setup: &Setup, machines: &[SetupMachine], public_key: &str) -> Plan {
    let names: Vec<&str> = machines.iter().map(|m| m.name.as_str()).collect();
    let steps: Vec<StepPlan> = setup_steps(setup, machines, public_key, None)
        .iter()
        .map(|s| s.plan())
        .collect();
    let launch = &setup.launch;
    let mut cautions = Vec::new();
    cautions.extend(root_caution(steps.iter().filter(|s| s.privileged).count()));
    if let Some(why) = &launch.can.trust_remote_code {
        cautions.push(format!(
            "The model's own code runs in the container, which cannot write to the cache. {why}"
        ));
    }
    cautions.extend(
        launch
            .left_out
            .iter()
            .map(|left| format!("`{}` of the recipe is left out. {}", left.given, left.why)),
    );
    if machines.iter().any(|m| m.facts.simulated) {
        cautions.push(
            "This is a rehearsal: the machines, the weights and the server are stand-ins."
                .to_owned(),
        );
    }
    let labels: Vec<&str> = launch.variants.iter().map(|v| v.label.as_str()).collect();
    Plan {
        procedure: SETUP.0.into(),
        procedure_version: SETUP.1,
        summary: format!(
            "Serve {} {} {}{}.",
            launch.served_name,
            if names.len() > 1 { "over" } else { "on" },
            names.join(" and "),
            match &labels[..] {
                [] | [_] => String::new(),
                [first, rest @ ..] => format!(
                    ", first {}, then with {}",
                    first.to_lowercase(),
                    rest.join(", then with ")
                ),
            }
        ),
        cautions,
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::root_caution;

    #[test]
    fn the_steps_that_become_root_are_counted() {
        assert_eq!(root_caution(0), None);
        for (steps, first_word) in [(1, "One step becomes"), (2, "Two steps"), (3, "3 steps")] {
            let caution = root_caution(steps).expect("a caution");
            assert!(caution.starts_with(first_word), "{steps}: {caution}");
        }
    }
}
