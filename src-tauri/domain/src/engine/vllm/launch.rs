//! The containers that serve a model over one or two machines, from what was chosen and seen.

use serde_json::json;

use crate::container::{ContainerSpec, LABEL, Mount, fabric};
use crate::machine::Facts;
use crate::node::{GraftKind, GraftReceipt};
use crate::problem::{Code, Problem};
use crate::procedure::request::SetupRequest;

/// The name of the container on each machine. One server a machine.
pub const CONTAINER: &str = "tandem-vllm";

/// Where the machine's Hugging Face home is seen inside.
const HF_HOME: &str = "/root/.cache/huggingface";

/// What one launch needs to know.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// What was chosen.
    pub request: &'a SetupRequest,
    /// The machines, head first.
    pub machines: &'a [Facts],
    /// The snapshot on each machine, absolute.
    pub paths: &'a [String],
    /// The MTP layers on each machine; none launches without them.
    pub grafts: &'a [GraftReceipt],
    /// The image's id, the same on every machine.
    pub image_id: &'a str,
    /// Tokens drafted at a time; `None` launches without MTP.
    pub speculative_tokens: Option<u32>,
}

impl Launch<'_> {
    /// The containers, head first, and the launch's identity: the same launch has the same identity,
    /// so that a server that runs already is recognised.
    pub fn containers(&self) -> Result<(Vec<ContainerSpec>, String), Problem> {
        let mut specs = Vec::new();
        for rank in 0..self.machines.len() {
            specs.push(self.container(rank)?);
        }
        let identity = fabric::identity(&specs, self.image_id);
        for spec in &mut specs {
            spec.labels.push((LABEL.to_owned(), identity.clone()));
        }
        Ok((specs, identity))
    }

    fn container(&self, rank: usize) -> Result<ContainerSpec, Problem> {
        let facts = &self.machines[rank];
        let request = self.request;
        let graft = self.grafts.get(rank);
        // Only an overlay takes the snapshot's place; a draft stands beside it.
        let (served, draft) = match graft {
            Some(graft) if graft.kind == GraftKind::Draft => {
                (&self.paths[rank], Some(inside(facts, &graft.path)?))
            }
            Some(graft) => (&graft.path, None),
            None => (&self.paths[rank], None),
        };
        let mut mounts = vec![Mount {
            source: facts.hf_home.clone(),
            target: HF_HOME.into(),
            read_only: true,
        }];
        mounts.extend(graft.and_then(|g| g.patch.as_ref()).map(|patch| Mount {
            source: patch.source.clone(),
            target: patch.target.clone(),
            read_only: true,
        }));
        Ok(ContainerSpec {
            name: CONTAINER.into(),
            image: request.image.clone(),
            // The image's own entry point is `vllm serve`; naming it keeps other images working too.
            entrypoint: Some(vec!["vllm".into(), "serve".into()]),
            command: self.arguments(rank, inside(facts, served)?, draft),
            env: self.environment(rank),
            mounts,
            ..fabric::container(self.machines.len() > 1)
        })
    }

    fn arguments(&self, rank: usize, model: String, draft: Option<String>) -> Vec<String> {
        let request = self.request;
        let size = self.machines.len();
        let mut args = vec![model];
        let mut flag = |name: &str, value: String| args.extend([format!("--{name}"), value]);
        flag("served-model-name", request.served_model_name.clone());
        flag("tensor-parallel-size", size.to_string());
        flag("max-model-len", request.max_model_len.to_string());
        flag(
            "gpu-memory-utilization",
            request.gpu_memory_utilization.to_string(),
        );
        if size > 1 {
            flag("distributed-executor-backend", "mp".into());
            flag("nnodes", size.to_string());
            flag("node-rank", rank.to_string());
            flag("master-addr", self.address(0).unwrap_or_default());
            flag("master-port", request.master_port.to_string());
        }
        if let Some(tokens) = self.speculative_tokens {
            // Written without spaces: a shell on the way has nothing to part.
            let mut drafting = json!({"method": "mtp"});
            if let Some(draft) = draft {
                drafting["model"] = draft.into();
            }
            drafting["num_speculative_tokens"] = tokens.into();
            flag("speculative-config", drafting.to_string());
        }
        if rank == 0 {
            // Loopback only: the app reaches it through the SSH tunnel.
            flag("host", "127.0.0.1".into());
            flag("port", request.api_port.to_string());
        }
        args.push("--trust-remote-code".into());
        args.extend(request.engine_args.iter().cloned());
        if rank > 0 {
            args.push("--headless".into());
        }
        args
    }

    fn environment(&self, rank: usize) -> Vec<(String, String)> {
        let mut env: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: String| env.push((name.to_owned(), value));
        set("HF_HOME", HF_HOME.into());
        set("HF_HUB_OFFLINE", "1".into());
        // The home is mounted read-only, so code that comes with a checkpoint is unpacked elsewhere.
        set("HF_MODULES_CACHE", "/tmp/hf-modules".into());
        set("VLLM_NO_USAGE_STATS", "1".into());
        set("DO_NOT_TRACK", "1".into());
        set(
            "VLLM_ENGINE_READY_TIMEOUT_S",
            self.request.ready_timeout_s.to_string(),
        );
        if let Some(address) = self.address(rank) {
            // Without it the engine announces the address of the default route, which may be Wi-Fi.
            set("VLLM_HOST_IP", address);
        }
        env.extend(fabric::environment(self.request.network.as_ref(), rank));
        for pair in &self.request.engine_env {
            if let Some((name, value)) = pair.split_once('=') {
                env.push((name.to_owned(), value.to_owned()));
            }
        }
        env
    }

    fn address(&self, rank: usize) -> Option<String> {
        fabric::address(self.request.network.as_ref(), rank)
    }
}

/// Where the container sees a folder of the machine's Hugging Face home.
fn inside(facts: &Facts, path: &str) -> Result<String, Problem> {
    path.strip_prefix(&facts.hf_home)
        .map(|rest| format!("{HF_HOME}/{}", rest.trim_start_matches('/')))
        .ok_or_else(|| {
            Problem::new(
                Code::Broken,
                "The checkpoint lies where the container cannot see it.",
            )
            .cause(format!("`{path}` is not below `{}`.", facts.hf_home))
            .on(facts.hostname.clone())
        })
}

#[cfg(test)]
#[path = "launch_snapshot.rs"]
mod snapshot;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::command::as_command;
    use crate::graft::patch::{Mend, PatchFile};
    use crate::procedure::request::SetupMachine;

    fn graft(kind: GraftKind, path: &str) -> GraftReceipt {
        GraftReceipt {
            kind,
            path: path.into(),
            tensors: 51,
            tensor_bytes: 1,
            fetched: 1,
            written: Vec::new(),
            patch: None,
        }
    }

    /// The container of one machine, and its launch's identity.
    fn launched(grafts: &[GraftReceipt]) -> (ContainerSpec, String) {
        let facts = Facts {
            hf_home: "/home/u/.cache/huggingface".into(),
            ..Facts::default()
        };
        let machine = SetupMachine {
            name: "a".into(),
            user: "u".into(),
            facts: facts.clone(),
        };
        let request =
            SetupRequest::proposed(vec!["a".into()], &[machine], "https://hub".into()).unwrap();
        let launch = Launch {
            request: &request,
            machines: &[facts],
            paths: &["/home/u/.cache/huggingface/hub/snapshot".into()],
            grafts,
            image_id: "sha256:1",
            speculative_tokens: (!grafts.is_empty()).then_some(3),
        };
        let (mut specs, identity) = launch.containers().unwrap();
        (specs.remove(0), identity)
    }

    fn drafting(spec: &ContainerSpec) -> Option<&str> {
        let at = spec
            .command
            .iter()
            .position(|a| a == "--speculative-config")?;
        spec.command.get(at + 1).map(String::as_str)
    }

    #[test]
    fn each_way_has_its_model_and_its_draft() {
        let home = "/home/u/.cache/huggingface";
        let of = |kind, path: &str| launched(&[graft(kind, &format!("{home}/{path}"))]);
        let plain = r#"{"method":"mtp","num_speculative_tokens":3}"#;
        let (without, first) = launched(&[]);
        assert_eq!(without.command[0], "/root/.cache/huggingface/hub/snapshot");
        assert_eq!(drafting(&without), None);
        let (built_in, second) = of(GraftKind::BuiltIn, "hub/snapshot");
        assert_eq!(built_in.command[0], without.command[0]);
        assert_eq!(drafting(&built_in), Some(plain));
        let (overlay, third) = of(GraftKind::Overlay, "tandem/x/c-mtp");
        assert_eq!(
            overlay.command[0],
            "/root/.cache/huggingface/tandem/x/c-mtp"
        );
        assert_eq!(drafting(&overlay), Some(plain));
        let (draft, fourth) = of(GraftKind::Draft, "tandem/x/c-draft");
        assert_eq!(draft.command[0], without.command[0]);
        assert_eq!(
            drafting(&draft),
            Some(
                r#"{"method":"mtp","model":"/root/.cache/huggingface/tandem/x/c-draft","num_speculative_tokens":3}"#
            )
        );
        for spec in [&without, &built_in, &overlay, &draft] {
            assert_eq!(spec.mounts.len(), 1, "the home and nothing else");
        }
        let all = std::collections::BTreeSet::from([first, second, third, fourth]);
        assert_eq!(all.len(), 4, "each is a launch of its own");
    }

    #[test]
    fn a_changed_file_is_mounted_read_only_over_the_original() {
        let mut built_in = graft(
            GraftKind::BuiltIn,
            "/home/u/.cache/huggingface/hub/snapshot",
        );
        let (_, before) = launched(&[built_in.clone()]);
        built_in.patch = Some(PatchFile {
            source: "/home/u/.cache/huggingface/tandem/mtp/i-c-proposed/step3p5_mtp.py".into(),
            target: "/usr/local/lib/python3.12/dist-packages/vllm/x.py".into(),
            mend: Mend::Head,
            before: "1".into(),
            after: "2".into(),
        });
        let (spec, after) = launched(&[built_in]);
        assert!(spec.mounts.iter().all(|m| m.read_only), "{:?}", spec.mounts);
        let shown = as_command(&spec);
        assert!(
            shown.contains("step3p5_mtp.py:/usr/local/lib/python3.12/dist-packages/vllm/x.py:ro"),
            "{shown}"
        );
        assert_ne!(before, after, "with it, it is another launch");
    }

    #[test]
    fn what_lies_elsewhere_is_not_served() {
        let facts = Facts {
            hf_home: "/h".into(),
            ..Facts::default()
        };
        assert_eq!(inside(&facts, "/elsewhere").unwrap_err().code, Code::Broken);
    }
}
