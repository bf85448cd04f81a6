//! The set-up: from two machines (or one) to a server.

use std::sync::Arc;

use crate::procedure::request::{SetupMachine, SetupRequest};
use crate::run::{Plan, StepPlan};
use crate::step::link_test::{self, ProveReceipt};
use crate::step::services::DynStep;
use crate::step::{
    all_reduce, docker, facts, graft, image, key, launch, network, program, validate, weights,
};

/// The name and version of the set-up. A change of its steps is a new version.
pub const SETUP: (&str, u32) = ("setup", 3);

/// The steps of the set-up, in order. `public_key` is the line of Tandem's own SSH key.
pub fn setup_steps(
    request: &SetupRequest,
    machines: &[SetupMachine],
    public_key: &str,
) -> Vec<Arc<DynStep>> {
    steps_knowing(request, machines, public_key, None)
}

/// The same where the link may have been measured before, in another run.
pub(crate) fn steps_knowing(
    request: &SetupRequest,
    machines: &[SetupMachine],
    public_key: &str,
    measured: Option<ProveReceipt>,
) -> Vec<Arc<DynStep>> {
    let names: Vec<String> = machines.iter().map(|m| m.name.clone()).collect();
    let users = machines.iter().map(|m| m.user.clone()).collect();
    let request = || request.clone();
    let mut steps: Vec<Arc<DynStep>> = vec![
        Arc::new(key::InstallKey {
            public_key: public_key.to_owned(),
        }),
        Arc::new(program::SendProgram),
        Arc::new(docker::OpenDocker { users }),
        Arc::new(facts::Look { serves: true }),
    ];
    if let Some(plan) = request().network {
        let prove = link_test::ProveLink {
            plan: plan.clone(),
            why: link_test::Why::InPassing(measured),
        };
        steps.push(Arc::new(network::AddressLink::new(plan, names)));
        steps.push(Arc::new(prove));
    }
    steps.push(Arc::new(image::BringImage { request: request() }));
    if let Some(plan) = request().network {
        let request = request();
        steps.push(Arc::new(all_reduce::Collective { request, plan }));
    }
    steps.push(Arc::new(weights::FetchWeights { request: request() }));
    if request().mtp {
        steps.push(Arc::new(graft::GraftMtp { request: request() }));
    }
    for mtp in if request().mtp {
        &[false, true][..]
    } else {
        &[false][..]
    } {
        steps.push(Arc::new(launch::LaunchServer {
            request: request(),
            mtp: *mtp,
        }));
        steps.push(Arc::new(validate::Validate {
            request: request(),
            mtp: *mtp,
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
pub fn setup_plan(request: &SetupRequest, machines: &[SetupMachine], public_key: &str) -> Plan {
    let names: Vec<&str> = machines.iter().map(|m| m.name.as_str()).collect();
    let steps: Vec<StepPlan> = setup_steps(request, machines, public_key)
        .iter()
        .map(|s| s.plan())
        .collect();
    let mut cautions = Vec::new();
    cautions.extend(root_caution(steps.iter().filter(|s| s.privileged).count()));
    if machines.iter().any(|m| m.facts.simulated) {
        cautions.push(
            "This is a rehearsal: the machines, the weights and the server are stand-ins."
                .to_owned(),
        );
    }
    Plan {
        recipe: SETUP.0.into(),
        recipe_version: SETUP.1,
        summary: format!(
            "Serve {} {} {}{}.",
            request.served_model_name,
            if names.len() > 1 { "over" } else { "on" },
            names.join(" and "),
            if request.mtp {
                ", first plain, then with MTP"
            } else {
                ""
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
