//! Words that somebody wrote for `vllm serve`, taken apart into what a recipe holds, what is worked out at each launch and
//! what is not taken. Nothing is passed on that the report does not name.

mod environment;
mod model;
mod numbers;
mod speculative;
#[cfg(test)]
mod tests;

pub use environment::{is_secret, variable};
pub use model::{Repo, repo_of};

use super::flags::{self, FlagFault, Given, Releases};
use crate::recipe::import::report::{ImportFate, Report};
use crate::recipe::{Arg, Drafting};
use ImportFate::{Changed, Kept, Missing, Recomputed, Refused};

/// What is known of the engine that the words are for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The releases that may be meant.
    pub releases: Releases,
    /// Whether the image is one of the project itself, so that no other arguments exist than the table's.
    pub upstream: bool,
}

/// What the words hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Adopted {
    /// The served model.
    pub model: Option<Repo>,
    /// The tokenizer, where it is another repository's.
    pub tokenizer: Option<Repo>,
    /// What drafts, where it is a repository of its own.
    pub draft: Option<Repo>,
    /// The name in requests.
    pub served_name: Option<String>,
    /// Tokens of context.
    pub context: Option<u32>,
    /// Share of the memory.
    pub memory_share: Option<f64>,
    /// Machines over which every layer is cut, where it is said.
    pub tensor: Option<u32>,
    /// Machines of which each has some of the layers.
    pub pipeline: Option<u32>,
    /// All machines, where it is said.
    pub machines: Option<u32>,
    /// The other arguments, in order.
    pub args: Vec<Arg>,
    /// How tokens are drafted, where a recipe can say it.
    pub drafting: Option<Drafting>,
    /// How tokens are drafted, as arguments, where it cannot.
    pub drafting_args: Vec<Arg>,
    /// Whether code of the checkpoint is to run.
    pub trust_remote_code: bool,
    /// Whether tools are called.
    pub tools: bool,
    /// Whether it reasons.
    pub reasoning: bool,
    /// Whether it is no chat model.
    pub pooling: bool,
}

/// The words behind the command that serves: `vllm serve`, the image's own entry point left out, or the older way by
/// Python. `None` where the words begin with something else.
pub fn after_serve(words: &[String]) -> Option<&[String]> {
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let first = name(words.first()?);
    match words.get(1..3) {
        _ if first == "vllm" && words.get(1)? == "serve" => Some(&words[2..]),
        Some([m, module])
            if ["python", "python3"].contains(&first.as_str())
                && m == "-m"
                && module == "vllm.entrypoints.openai.api_server" =>
        {
            Some(&words[3..])
        }
        _ => None,
    }
}

/// The image's entry point serves, so that the words of a container are those behind it.
pub fn entry_point_serves(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.starts_with("vllm-openai")
}

/// The project's own image, as it is newest.
pub const PROJECT_IMAGE: &str = "vllm/vllm-openai:latest";

/// Whether the image is one of the project.
pub fn is_upstream(image: &str) -> bool {
    image
        .trim_start_matches("docker.io/")
        .starts_with("vllm/vllm-openai")
}

/// Whether two lists of words differ only in the rank of their machine.
pub fn differ_in_rank_alone(one: &[String], other: &[String]) -> bool {
    let key = |words: &[String]| {
        let (model, all) = flags::read(words);
        let mut all: Vec<Vec<String>> = all
            .iter()
            .filter(|g| !["node-rank", "headless", "host", "port"].contains(&g.name.as_str()))
            .map(Given::full)
            .collect();
        all.sort();
        (model, all)
    };
    key(one) == key(other)
}

/// The arguments that settings of another launcher stand for, where a recipe has no command: `max_model_len: 8192`.
pub fn from_settings<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut words = Vec::new();
    for (key, value) in settings {
        let name = match key {
            "tensor_parallel" => "tensor-parallel-size".to_owned(),
            "pipeline_parallel" => "pipeline-parallel-size".to_owned(),
            "data_parallel" => "data-parallel-size".to_owned(),
            other => other.replace('_', "-"),
        };
        match value {
            "true" => words.push(format!("--{name}")),
            "false" => words.push(format!("--no-{name}")),
            value => words.extend([format!("--{name}"), value.to_owned()]),
        }
    }
    words
}

/// The machines over which these words divide a model.
pub fn machines_of(words: &[String]) -> u32 {
    let (_, all) = flags::read(words);
    let number = |name: &str| {
        let given = all.iter().rev().find(|g| g.name == name)?;
        given
            .value()?
            .parse::<u32>()
            .ok()
            .filter(|n| (1..=64).contains(n))
    };
    let of = |name| number(name).unwrap_or(1);
    of("tensor-parallel-size") * of("pipeline-parallel-size")
}

/// Takes the words behind `vllm serve` apart.
pub fn adopt(target: &Target, words: &[String], report: &mut Report) -> Adopted {
    let mut adopted = Adopted::default();
    let (first, all) = flags::read(words);
    let mut drafting = speculative::Parts::default();
    if let Some(first) = &first {
        adopted.model = model::note("model", first, report);
    }
    for (at, given) in all.iter().enumerate() {
        let again = all[at + 1..].iter().any(|later| {
            later.name == given.name && later.path == given.path && !given.name.is_empty()
        });
        if again {
            let why = "It stands there again; the last one counts.";
            report.note(Refused, item(given), told(given), why);
            continue;
        }
        one(target, given, &mut adopted, &mut drafting, report);
    }
    drafting.into_adopted(&mut adopted, report);
    adopted
}

/// How an argument is named in the report.
fn item(given: &Given) -> String {
    match given.name.as_str() {
        "" => "word".into(),
        name => format!("--{name}"),
    }
}

/// Its words as they are shown. A secret is not.
fn told(given: &Given) -> String {
    match given.name.as_str() {
        "api-key" | "hf-token" => format!("--{} (not shown)", given.name),
        _ => given.words.join(" "),
    }
}

fn one(
    target: &Target,
    given: &Given,
    adopted: &mut Adopted,
    drafting: &mut speculative::Parts,
    report: &mut Report,
) {
    let (item, told) = (item(given), told(given));
    let mut note = |fate, why: &str| report.note(fate, item.clone(), told.clone(), why);
    let mut remark = String::new();
    if let Some(finding) = flags::against(&target.releases, given) {
        let certain = target.upstream && !target.releases.is_any();
        match finding.fault {
            FlagFault::Idle => return note(Refused, &finding.why),
            FlagFault::Unreadable | FlagFault::NoJson | FlagFault::Replaced => {
                return note(Missing, &finding.why);
            }
            FlagFault::Unknown | FlagFault::Foreign | FlagFault::Value if certain => {
                return note(Missing, &finding.why);
            }
            FlagFault::Unknown | FlagFault::Foreign | FlagFault::Value => {
                remark = format!(
                    "{} Whether this image knows it shows at the start.",
                    finding.why
                );
            }
            FlagFault::Cut => remark = finding.why,
        }
    }
    let value = given.value().unwrap_or_default();
    let whole = || value.parse::<u32>().ok();
    if given.path.is_some() && given.name != "speculative-config" {
        return keep(given, &remark, adopted, report);
    }
    match given.name.as_str() {
        "model" => match &adopted.model {
            Some(_) => note(Refused, "The model stands there already."),
            None => adopted.model = model::note("model", value, report),
        },
        "revision" => match (crate::repository::is_revision(value), &mut adopted.model) {
            (true, Some(model)) => {
                model.revision = value.to_owned();
                note(Kept, "");
            }
            (true, None) => note(Missing, "No model stands before it."),
            (false, _) => note(Missing, "It is no name of a branch, tag or commit."),
        },
        "tokenizer" => {
            adopted.tokenizer = model::note("tokenizer", value, report);
        }
        "tokenizer-revision" => match (
            crate::repository::is_revision(value),
            &mut adopted.tokenizer,
        ) {
            (true, Some(tokenizer)) => {
                tokenizer.revision = value.to_owned();
                note(Kept, "");
            }
            _ => note(
                Refused,
                "It belongs to a tokenizer of its own, and there is none before it.",
            ),
        },
        "served-model-name" => numbers::served_name(given, adopted, report),
        "max-model-len" => numbers::context(given, adopted, report),
        "gpu-memory-utilization" => numbers::memory_share(given, adopted, report),
        "gpu-memory-utilization-gb" => note(
            Missing,
            "It is an amount in GB, which only an engine with changes of its own takes; choose a share of the memory.",
        ),
        "tensor-parallel-size" => {
            adopted.tensor = whole();
            note(Recomputed, "It is the number of machines that are chosen.");
        }
        "nnodes" => {
            adopted.machines = whole();
            note(Recomputed, "It is the number of machines that are chosen.");
        }
        "pipeline-parallel-size" => {
            adopted.pipeline = whole();
            match whole() {
                Some(1) => note(Recomputed, "Every layer is divided between the machines."),
                _ => note(
                    Missing,
                    "Tandem divides every layer between the machines; it gives no machine layers of its own.",
                ),
            }
        }
        "data-parallel-size" if whole() == Some(1) => {
            note(Recomputed, "There is one copy of the model.");
        }
        name if name.starts_with("data-parallel-") => {
            note(
                Missing,
                "Tandem serves one copy of the model over all machines.",
            );
        }
        "node-rank" | "headless" => note(Recomputed, "Each machine gets its own rank."),
        "master-addr" | "master-port" => note(
            Recomputed,
            "The ranks meet at the head’s address on the private link.",
        ),
        "distributed-executor-backend" => {
            note(
                Recomputed,
                "The ranks start by themselves on each machine, without Ray.",
            );
        }
        "host" | "port" | "uds" | "root-path" => {
            note(
                Recomputed,
                "The API listens on the head’s loopback at the port that is chosen.",
            );
        }
        "allowed-origins" | "allowed-methods" | "allowed-headers" | "allow-credentials" => {
            note(Recomputed, "No page in a browser may use the API.");
        }
        "api-key" => note(
            Refused,
            "Tandem makes a key up at each start, so that it is in no file.",
        ),
        "hf-token" => note(
            Refused,
            "The container gets no login of the Hub; Tandem fetches before.",
        ),
        "download-dir" => note(
            Recomputed,
            "The weights lie in the machines’ Hugging Face cache.",
        ),
        name if name.starts_with("ssl-")
            || name.contains("grpc")
            || name == "enable-ssl-refresh" =>
        {
            note(
                Refused,
                "The API is reached through the tunnel, which is encrypted.",
            );
        }
        "allowed-local-media-path" | "allowed-media-domains" => {
            note(
                Refused,
                "Requests could make the engine read files or addresses.",
            );
        }
        "config" => note(
            Missing,
            "It reads more arguments from a file that nobody was shown.",
        ),
        "middleware"
        | "logits-processors"
        | "io-processor-plugin"
        | "tool-server"
        | "logging-config"
        | "log-config-file"
        | "uvicorn-log-config"
        | "model-class-overrides"
        | "lora-modules" => note(Missing, "It names code that the engine would load."),
        name if name.ends_with("-cls") => {
            note(Missing, "It names code that the engine would load.");
        }
        "otlp-traces-endpoint" => note(Refused, "It would send what requests do to an address."),
        "chat-template" | "tool-parser-plugin" | "reasoning-parser-plugin"
            if !value.starts_with('/') && !value.contains('{') =>
        {
            note(
                Missing,
                "It names a file that does not come with the recipe.",
            );
        }
        "chat-template" | "tool-parser-plugin" | "reasoning-parser-plugin"
            if value.starts_with('/') =>
        {
            remark.push_str("It has to be a file of the image.");
            keep(given, &remark, adopted, report);
        }
        "speculative-config" | "spec-method" | "spec-model" | "spec-tokens" => {
            drafting.take(given, report);
        }
        "trust-remote-code" if !given.off => {
            adopted.trust_remote_code = true;
            note(
                Kept,
                "Code that comes with the checkpoint runs in the container.",
            );
        }
        "trust-remote-code" => note(Refused, "It is off unless it is asked for."),
        name => {
            adopted.tools |= name == "enable-auto-tool-choice" && !given.off;
            adopted.reasoning |= name == "reasoning-parser";
            adopted.pooling |=
                name == "runner" && value == "pooling" || name == "convert" && value != "none";
            keep(given, &remark, adopted, report);
        }
    }
}

/// Keeps an argument: with its full name, JSON without spaces.
fn keep(given: &Given, remark: &str, adopted: &mut Adopted, report: &mut Report) {
    let mut words = given.full();
    if let [_, value] = &mut words[..]
        && value.starts_with('{')
        && let Ok(json) = serde_json::from_str::<serde_json::Value>(value)
    {
        *value = json.to_string();
    }
    if words
        .iter()
        .any(|w| w.is_empty() || w.chars().any(crate::foreign_text::is_unseen))
    {
        let why = "A word of it is empty or holds characters that cannot be seen.";
        return report.note(Missing, item(given), told(given), why);
    }
    if words.iter().any(|w| w.contains("${")) {
        let why = "The value of a variable of its author’s shell is part of it.";
        return report.note(Missing, item(given), told(given), why);
    }
    let now = words.join(" ");
    match now == told(given) {
        true => report.note(Kept, item(given), told(given), remark),
        false => {
            let why = if remark.is_empty() {
                "It is the same, written in full."
            } else {
                remark
            };
            report.becomes(Changed, item(given), told(given), now, why);
        }
    }
    adopted.args.push(Arg { words, why: None });
}
