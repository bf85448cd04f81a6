//! What a person may choose in the set-up.

use serde::{Deserialize, Serialize};

use crate::graft::way::MtpWay;
use crate::machine::Facts;
use crate::network::{NetworkPlan, plan};
use crate::node::FetchLimits;
use crate::problem::{Code, Problem};
use crate::step::facts;

/// What the set-up of a pair (or of one machine) is to do. Stored with the run; holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct SetupRequest {
    /// The machines' ids, the head first.
    pub machines: Vec<String>,
    /// The addresses on the private link; `None` for a single machine.
    pub network: Option<NetworkPlan>,
    /// For example `https://huggingface.co`.
    pub hub_endpoint: String,
    /// The repository that is served.
    pub repo: String,
    /// Its branch, tag or commit.
    pub revision: String,
    /// The repository with the MTP layers in BF16.
    pub source_repo: String,
    /// Its branch, tag or commit.
    pub source_revision: String,
    /// The container image.
    pub image: String,
    /// The port of the API on the head's loopback.
    pub api_port: u16,
    /// The port at which the two ranks meet, on the private link.
    pub master_port: u16,
    /// The name that requests use.
    pub served_model_name: String,
    /// Tokens of context.
    pub max_model_len: u32,
    /// Share of the memory that vLLM may take, 0 to 1.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub gpu_memory_utilization: f64,
    /// Whether it ends in a server with MTP.
    pub mtp: bool,
    /// Tokens drafted at a time (num_speculative_tokens).
    pub speculative_tokens: u32,
    /// How it comes to the MTP layers; `None` takes the way that is proposed.
    #[serde(default)]
    pub mtp_way: Option<MtpWay>,
    /// More arguments for `vllm serve`, the same on every machine.
    pub engine_args: Vec<String>,
    /// More environment for the containers, as `NAME=value`.
    pub engine_env: Vec<String>,
    /// How long the server may take until it answers.
    pub ready_timeout_s: u32,
    /// How much of the line the download may take, and when.
    #[serde(default)]
    pub download: FetchLimits,
}

/// What the recipe needs to know beside the choices.
#[derive(Debug, Clone)]
pub struct SetupMachine {
    /// The name people know it by.
    pub name: String,
    /// The user there.
    pub user: String,
    /// What was seen last.
    pub facts: Facts,
}

impl SetupRequest {
    /// Sensible choices for these machines, the head first: Step-3.7-Flash over a pair with MTP.
    pub fn proposed(
        ids: Vec<String>,
        machines: &[SetupMachine],
        hub_endpoint: String,
    ) -> Result<Self, Problem> {
        let network = match machines {
            [a, b] => Some(plan::propose(&a.facts, &b.facts)?),
            _ => None,
        };
        Ok(Self {
            machines: ids,
            network,
            hub_endpoint,
            repo: "stepfun-ai/Step-3.7-Flash-NVFP4".into(),
            // The first revision with the MTP layers built in; a moving branch would make two
            // machines differ.
            revision: "4275532ffd9a9496ff36b7a2dc4a9db1048da438".into(),
            source_repo: "stepfun-ai/Step-3.7-Flash".into(),
            source_revision: "main".into(),
            image: "vllm/vllm-openai:stepfun37".into(),
            api_port: 8000,
            master_port: 29501,
            served_model_name: "Step-3.7-Flash".into(),
            max_model_len: 262_144,
            gpu_memory_utilization: 0.85,
            mtp: true,
            speculative_tokens: 3,
            mtp_way: None,
            engine_args: ENGINE_ARGS.iter().map(|a| (*a).to_owned()).collect(),
            engine_env: Vec::new(),
            ready_timeout_s: 1800,
            download: FetchLimits::default(),
        })
    }

    /// Everything that stands against these choices; empty if nothing does.
    pub fn faults(&self, machines: &[SetupMachine]) -> Vec<Problem> {
        let mut all: Vec<Problem> = self.download.check().err().into_iter().collect();
        let mut fault = |message: &str, cause: String, fix: &str| {
            all.push(Problem::new(Code::BadInput, message).cause(cause).fix(fix));
        };
        let repo_ok = |repo: &str| {
            let mut parts = repo.split('/');
            let part_ok =
                |p: Option<&str>| p.is_some_and(|p| !p.is_empty() && p.chars().all(is_name));
            part_ok(parts.next()) && part_ok(parts.next()) && parts.next().is_none()
        };
        for repo in [&self.repo, &self.source_repo] {
            if !repo_ok(repo) {
                fault(
                    "The repository cannot be used.",
                    format!("`{repo}` is not `owner/name`."),
                    "Write it as on the Hub, such as stepfun-ai/Step-3.7-Flash-NVFP4.",
                );
            }
        }
        for revision in [&self.revision, &self.source_revision] {
            if revision.is_empty() || !revision.chars().all(|c| is_name(c) || c == '/') {
                fault(
                    "The revision cannot be used.",
                    format!("`{revision}` is no branch, tag or commit."),
                    "Use `main`, a tag, or a commit.",
                );
            }
        }
        if self.image.is_empty()
            || self.image.contains(char::is_whitespace)
            || self.image.starts_with('-')
        {
            fault(
                "The image cannot be used.",
                format!("`{}` is no image name.", self.image),
                "Write it as for `docker pull`.",
            );
        }
        if self.served_model_name.is_empty()
            || !self
                .served_model_name
                .chars()
                .all(|c| is_name(c) || c == '/')
        {
            fault(
                "The model's name cannot be used.",
                "It may hold letters, digits, `-`, `_`, `.` and `/`.".into(),
                "Choose another name.",
            );
        }
        for (name, port) in [("API", self.api_port), ("ranks", self.master_port)] {
            if port < 1024 {
                fault(
                    "The port cannot be used.",
                    format!("{port} for the {name} is reserved for the system."),
                    "Choose one from 1024 to 65535.",
                );
            }
        }
        if self.api_port == self.master_port {
            fault(
                "The ports cannot be used.",
                "The API and the ranks were given the same port.".into(),
                "Choose two different ports.",
            );
        }
        if !(0.1..=0.95).contains(&self.gpu_memory_utilization) {
            fault(
                "The share of memory cannot be used.",
                format!("{} is outside 0.1 to 0.95.", self.gpu_memory_utilization),
                "0.85 suits a Spark.",
            );
        }
        if !(256..=1_048_576).contains(&self.max_model_len) {
            fault(
                "The context length cannot be used.",
                format!("{} is outside 256 to 1048576 tokens.", self.max_model_len),
                "262144 is what the model was made for.",
            );
        }
        if self.mtp
            && !(1..=3).contains(&self.speculative_tokens)
            && !self.speculative_tokens.is_multiple_of(3)
        {
            fault(
                "The number of speculative tokens cannot be used.",
                format!("{} does not fit three MTP layers.", self.speculative_tokens),
                "Use 1, 2 or 3.",
            );
        }
        if self.mtp && self.speculative_tokens == 0 {
            fault(
                "The number of speculative tokens cannot be used.",
                "MTP with 0 tokens drafts nothing.".into(),
                "Use 1, 2 or 3, or serve without MTP.",
            );
        }
        if !(self.hub_endpoint.starts_with("https://") || self.hub_endpoint.starts_with("http://"))
        {
            fault(
                "The Hub's address cannot be used.",
                format!("`{}` is no web address.", self.hub_endpoint),
                "Use https://huggingface.co or a mirror.",
            );
        }
        for pair in &self.engine_env {
            if pair.split_once('=').is_none_or(|(name, _)| name.is_empty()) {
                fault(
                    "The environment cannot be used.",
                    format!("`{pair}` is not `NAME=value`."),
                    "Write one `NAME=value` a line.",
                );
            }
        }
        match (machines.len(), &self.network) {
            (1, _) => {}
            (2, Some(network)) => {
                let facts: Vec<&Facts> = machines.iter().map(|m| &m.facts).collect();
                all.extend(plan::faults(network, &facts));
            }
            (2, None) => all.push(
                Problem::new(Code::NetworkPlan, "The private link has no addresses.")
                    .cause("Two machines were chosen without a plan for the cable between them.")
                    .fix("Plug the cable in, look again, then plan."),
            ),
            (n, _) => all.push(
                Problem::new(Code::BadInput, "Tandem serves over one machine or two.")
                    .cause(format!("{n} were chosen."))
                    .fix("Choose one or two."),
            ),
        }
        let names: Vec<&str> = machines.iter().map(|m| m.name.as_str()).collect();
        let facts: Vec<Facts> = machines.iter().map(|m| m.facts.clone()).collect();
        all.extend(
            facts::unfit(&names, &facts)
                .into_iter()
                .filter(|p| p.severity != crate::problem::Severity::Warning),
        );
        all
    }
}

/// Arguments of vLLM that this model needs on a Spark.
const ENGINE_ARGS: [&str; 18] = [
    "--quantization",
    "modelopt",
    "--kv-cache-dtype",
    "fp8",
    "--max-num-batched-tokens",
    "8192",
    "--max-num-seqs",
    "8",
    // The layers mix full and sliding attention, which cascade attention does not serve.
    "--disable-cascade-attn",
    "--disable-custom-all-reduce",
    "--no-enable-flashinfer-autotune",
    "--enable-auto-tool-choice",
    "--tool-call-parser",
    "step3p5",
    "--reasoning-parser",
    "step3p5",
    "--distributed-timeout-seconds",
    "1800",
];

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}
