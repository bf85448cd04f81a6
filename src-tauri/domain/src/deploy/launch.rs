//! The containers that serve a model over one or two machines, from what was chosen and seen.

use crate::deploy::{ContainerSpec, LABEL, Mount, fabric};
use crate::machine::Facts;
use crate::problem::{Code, Problem};
use crate::recipe::SetupRequest;

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
    /// The folder to serve on each machine, absolute.
    pub paths: &'a [String],
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
        let inside = self.paths[rank]
            .strip_prefix(&facts.hf_home)
            .map(|rest| format!("{HF_HOME}/{}", rest.trim_start_matches('/')))
            .ok_or_else(|| {
                Problem::new(
                    Code::Broken,
                    "The checkpoint lies where the container cannot see it.",
                )
                .cause(format!(
                    "`{}` is not below `{}`.",
                    self.paths[rank], facts.hf_home
                ))
                .on(facts.hostname.clone())
            })?;
        Ok(ContainerSpec {
            name: CONTAINER.into(),
            image: request.image.clone(),
            // The image's own entry point is `vllm serve`; naming it keeps other images working too.
            entrypoint: Some(vec!["vllm".into(), "serve".into()]),
            command: self.arguments(rank, inside),
            env: self.environment(rank),
            mounts: vec![Mount {
                source: facts.hf_home.clone(),
                target: HF_HOME.into(),
                read_only: true,
            }],
            ..fabric::container(self.machines.len() > 1)
        })
    }

    fn arguments(&self, rank: usize, model: String) -> Vec<String> {
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
            flag(
                "speculative-config",
                format!(r#"{{"method":"mtp","num_speculative_tokens":{tokens}}}"#),
            );
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

/// The container as one would type it, for people to read.
pub fn as_command(spec: &ContainerSpec) -> String {
    let mut words = vec!["docker run -d".to_owned(), format!("--name {}", spec.name)];
    if spec.gpus {
        words.push("--gpus all".into());
    }
    if spec.host_network {
        words.push("--network host".into());
    }
    if spec.host_ipc {
        words.push("--ipc host".into());
    }
    if spec.rdma_limits {
        words.push("--ulimit memlock=-1 --ulimit stack=67108864".into());
    }
    words.extend(spec.devices.iter().map(|d| format!("--device {d}")));
    words.extend(spec.capabilities.iter().map(|c| format!("--cap-add {c}")));
    words.extend(spec.mounts.iter().map(|m| {
        format!(
            "-v {}:{}{}",
            m.source,
            m.target,
            if m.read_only { ":ro" } else { "" }
        )
    }));
    words.extend(
        spec.env
            .iter()
            .map(|(name, value)| format!("-e {name}={value}")),
    );
    if let Some(entry) = &spec.entrypoint {
        words.push(format!("--entrypoint '{}'", entry.join(" ")));
    }
    words.push(spec.image.clone());
    words.extend(spec.command.iter().map(|arg| {
        if arg.contains(['{', ' ', '"']) {
            format!("'{arg}'")
        } else {
            arg.clone()
        }
    }));
    words.join(" ")
}
