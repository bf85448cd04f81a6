//! A procedure is a list of steps with the choices for them: the set-up, the link alone, a restart. A run
//! stores the choices, and is taken up again from them.

mod detail;
pub mod later;
pub mod link;
pub mod report;
pub mod request;
pub mod setup;
mod stored_v3;

use std::sync::Arc;

use serde_json::Value;

use crate::ids::MachineId;
use crate::machine::SetupMachine;
use crate::procedure::link::{LINK, LinkRequest, RESTART, link_plan, link_steps};
use crate::procedure::request::Setup;
use crate::procedure::setup::{SETUP, setup_plan, setup_steps};
use crate::run::Plan;
use crate::step::link_test::LinkTestReceipt;
use crate::step::services::DynStep;

pub use detail::RunDetail;

/// A procedure with its choices.
#[derive(Debug, Clone, PartialEq)]
pub enum Procedure {
    /// From two machines to a server.
    Setup(Box<Setup>),
    /// The cable alone.
    Link(LinkRequest),
}

impl Procedure {
    /// Reads the choices of a stored run; `None` for a procedure that this Tandem does not know.
    pub fn read(name: &str, choices: Value) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(if name == SETUP.0 {
            Self::Setup(Box::new(stored_v3::read(choices)?))
        } else if name == LINK.0 || name == RESTART.0 {
            Self::Link(serde_json::from_value(choices)?)
        } else {
            return Ok(None);
        }))
    }

    /// The choices, to be stored with the run.
    pub fn choices(&self) -> Value {
        match self {
            Self::Setup(setup) => serde_json::to_value(setup),
            Self::Link(request) => serde_json::to_value(request),
        }
        .expect("choices are plain data")
    }

    /// Its name and version. Only a run of the same version is gone on with.
    pub fn name(&self) -> (&'static str, u32) {
        match self {
            Self::Setup(_) => SETUP,
            Self::Link(request) => request.procedure(),
        }
    }

    /// The machines' ids, the head first.
    pub fn machines(&self) -> &[MachineId] {
        match self {
            Self::Setup(setup) => &setup.request.machines,
            Self::Link(request) => &request.machines,
        }
    }

    /// What it would do, in words.
    pub fn plan(&self, machines: &[SetupMachine], public_key: &str) -> Plan {
        match self {
            Self::Setup(setup) => setup_plan(setup, machines, public_key),
            Self::Link(request) => link_plan(request, machines, public_key),
        }
    }

    /// Its steps, in order. `measured` is what another run found between these machines last; a set-up
    /// need not measure again what has not changed since.
    pub fn steps(
        &self,
        machines: &[SetupMachine],
        public_key: &str,
        measured: Option<LinkTestReceipt>,
    ) -> Vec<Arc<DynStep>> {
        match self {
            Self::Setup(setup) => setup_steps(setup, machines, public_key, measured),
            Self::Link(request) => link_steps(request, machines, public_key),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stored_run_is_read_as_what_it_was() {
        let network = json!({"rails": [], "mtu": 9000});
        for (restart, name) in [(false, "link"), (true, "restart")] {
            let choices = json!({"machines": ["a", "b"], "network": network, "restart": restart});
            let procedure = Procedure::read(name, choices.clone()).unwrap().unwrap();
            assert_eq!(procedure.name(), (name, 1));
            assert_eq!(procedure.machines(), ["a", "b"].map(MachineId::from));
            let again = Procedure::read(name, procedure.choices()).unwrap();
            assert_eq!(again, Some(procedure), "what is written is what is read");
            assert!(
                Procedure::read("setup", choices).is_err(),
                "choices of another procedure are none"
            );
        }
        assert_eq!(Procedure::read("of-tomorrow", json!({})).unwrap(), None);
    }

    #[test]
    fn the_steps_are_those_of_the_plan() {
        let choices =
            json!({"machines": ["a", "b"], "network": {"rails": [], "mtu": 9000}, "restart": true});
        let procedure = Procedure::read("restart", choices).unwrap().unwrap();
        let steps = procedure.steps(&[], "ssh-ed25519 KEY", None);
        let of_steps: Vec<_> = steps.iter().map(|s| s.plan()).collect();
        assert_eq!(of_steps, procedure.plan(&[], "ssh-ed25519 KEY").steps);
    }

    /// The choices of a set-up as version 3 stored them.
    fn of_version_3() -> Value {
        json!({
            "machines": ["a", "b"],
            "network": {"rails": [], "mtu": 9000},
            "hub_endpoint": "https://huggingface.co",
            "repo": "owner/model", "revision": "c0ffee",
            "source_repo": "owner/donor", "source_revision": "main",
            "image": "image:tag",
            "api_port": 8000, "master_port": 29501,
            "served_model_name": "model", "max_model_len": 4096, "gpu_memory_utilization": 0.85,
            "mtp": true, "speculative_tokens": 6, "mtp_way": "draft",
            "engine_args": ["--quantization", "modelopt"], "engine_env": ["A=b"],
            "ready_timeout_s": 1800,
        })
    }

    #[test]
    fn a_set_up_of_version_3_can_still_be_undone() {
        let read = Procedure::read("setup", of_version_3()).unwrap().unwrap();
        assert_eq!(read.name().1, 5, "a run of another version is not resumed");
        let Procedure::Setup(setup) = &read else {
            panic!("it is a set-up");
        };
        assert_eq!(setup.launch.served().repo, "owner/model");
        assert_eq!(setup.launch.image.name, "image:tag");
        assert_eq!(
            setup.launch.graft.as_ref().map(|g| g.donor.repo.as_str()),
            Some("owner/donor")
        );
        let ids: Vec<String> = read
            .steps(&[], "ssh-ed25519 KEY", None)
            .iter()
            .map(|s| s.plan().id.0)
            .collect();
        // Undo finds the steps of the journal by these names.
        assert_eq!(
            ids,
            [
                "key",
                "program",
                "docker",
                "look",
                "network",
                "firewall",
                "prove",
                "image",
                "collective",
                "weights",
                "graft",
                "launch-plain",
                "validate-plain",
                "launch-mtp",
                "validate-mtp",
            ]
        );
        let again = Procedure::read("setup", read.choices()).unwrap();
        assert_eq!(again, Some(read), "what is written is what is read");
    }
}
