//! The arguments of `vllm serve` that the built-in recipes use, read as argparse reads them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Arguments with a value.
const VALUES: [&str; 57] = [
    "--host",
    "--port",
    "--served-model-name",
    "--api-key",
    "--allowed-origins",
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--nnodes",
    "--node-rank",
    "--master-addr",
    "--master-port",
    "--distributed-executor-backend",
    "--distributed-timeout-seconds",
    "--cpu-distributed-timeout-seconds",
    "--quantization",
    "--kv-cache-dtype",
    "--max-model-len",
    "--max-num-batched-tokens",
    "--max-num-seqs",
    "--gpu-memory-utilization",
    "--kv-cache-memory-bytes",
    "--tool-call-parser",
    "--reasoning-parser",
    "--speculative-config",
    "--revision",
    "--tokenizer",
    "--dtype",
    "--load-format",
    "--download-dir",
    "--seed",
    "--limit-mm-per-prompt",
    "--compilation-config",
    "--chat-template",
    "--block-size",
    "--swap-space",
    "--tokenizer-mode",
    "--hf-overrides",
    "--override-generation-config",
    "--generation-config",
    "--uvicorn-log-level",
    "--attention-backend",
    "--moe-backend",
    "--default-chat-template-kwargs",
    "--cudagraph-capture-sizes",
    "--code-revision",
    "--max-logprobs",
    "--reasoning-parser-plugin",
    "--reasoning-config",
    "--model-loader-extra-config",
    "--max-cudagraph-capture-size",
    "--linear-backend",
    "--mamba-backend",
    "--mamba-cache-mode",
    "--mamba-ssm-cache-dtype",
    "--mamba-cache-philox-rounds",
    "--mm-encoder-tp-mode",
    "--gdn-decode-kernel",
];

/// Arguments without a value.
const FLAGS: [&str; 23] = [
    "--headless",
    "--trust-remote-code",
    "--enforce-eager",
    "--enable-auto-tool-choice",
    "--disable-cascade-attn",
    "--disable-custom-all-reduce",
    "--no-enable-flashinfer-autotune",
    "--enable-flashinfer-autotune",
    "--async-scheduling",
    "--no-async-scheduling",
    "--enable-prefix-caching",
    "--no-enable-prefix-caching",
    "--enable-chunked-prefill",
    "--no-enable-chunked-prefill",
    "--enable-expert-parallel",
    "--disable-log-stats",
    "--disable-log-requests",
    "--enable-log-requests",
    "--language-model-only",
    "--disable-uvicorn-access-log",
    "--skip-mm-profiling",
    "--enable-prompt-tokens-details",
    "--enable-mamba-cache-stochastic-rounding",
];

const SHORT: [(&str, &str); 6] = [
    ("-tp", "--tensor-parallel-size"),
    ("-pp", "--pipeline-parallel-size"),
    ("-n", "--nnodes"),
    ("-r", "--node-rank"),
    ("-q", "--quantization"),
    ("-sc", "--speculative-config"),
];

/// Values that must be JSON.
const JSON: [&str; 9] = [
    "--allowed-origins",
    "--speculative-config",
    "--limit-mm-per-prompt",
    "--compilation-config",
    "--hf-overrides",
    "--override-generation-config",
    "--default-chat-template-kwargs",
    "--reasoning-config",
    "--model-loader-extra-config",
];

/// Values that must be whole numbers.
const NUMBERS: [&str; 11] = [
    "--port",
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--nnodes",
    "--node-rank",
    "--master-port",
    "--max-model-len",
    "--max-num-seqs",
    "--max-num-batched-tokens",
    "--seed",
    "--distributed-timeout-seconds",
];

/// What was asked for on the command line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Args {
    /// The folder or repository.
    pub model: String,
    /// All names under which it is served.
    pub served: Vec<String>,
    values: BTreeMap<&'static str, String>,
    flags: Vec<&'static str>,
}

/// What argparse prints before it ends with status 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage(pub String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "usage: vllm serve [model_tag] [options]\nvllm serve: error: {}",
            self.0
        )
    }
}

impl Args {
    /// Reads what follows the program's name: `serve MODEL --flags`. The word `serve` may be missing,
    /// as when the image's entry point brings it.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, Usage> {
        let mut out = Self::default();
        let mut unknown: Vec<String> = Vec::new();
        let mut args = args.into_iter().peekable();
        if args.peek().is_some_and(|a| a == "serve") {
            args.next();
        }
        while let Some(arg) = args.next() {
            if !arg.starts_with('-') {
                if out.model.is_empty() && unknown.is_empty() {
                    out.model = arg;
                } else {
                    unknown.push(arg);
                }
                continue;
            }
            let (name, mut value) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg.clone(), None),
            };
            let name = match SHORT.iter().find(|(short, _)| *short == name) {
                Some((_, long)) => (*long).to_owned(),
                None => name.replace('_', "-"),
            };
            if let Some(flag) = FLAGS.iter().find(|f| **f == name) {
                out.flags.push(flag);
            } else if let Some(option) = VALUES.iter().find(|v| **v == name) {
                if value.is_none() {
                    value = args.next_if(|next| !next.starts_with("--"));
                }
                let Some(value) = value else {
                    return Err(Usage(format!("argument {name}: expected one argument")));
                };
                check(option, &value)?;
                if *option == "--served-model-name" {
                    out.served = vec![value.clone()];
                    while let Some(more) = args.next_if(|next| !next.starts_with('-')) {
                        out.served.push(more);
                    }
                }
                out.values.insert(option, value);
            } else {
                unknown.push(arg);
            }
        }
        if !unknown.is_empty() {
            return Err(Usage(format!(
                "unrecognized arguments: {}",
                unknown.join(" ")
            )));
        }
        if out.model.is_empty() {
            return Err(Usage(
                "the following arguments are required: model_tag".into(),
            ));
        }
        if out.served.is_empty() {
            out.served = vec![out.model.clone()];
        }
        Ok(out)
    }

    /// A value, where it was given.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A whole number, or what vLLM takes without one. It was checked when it was read.
    pub fn number(&self, name: &str, without: u64) -> u64 {
        self.value(name)
            .and_then(|v| v.parse().ok())
            .unwrap_or(without)
    }

    /// Whether a flag was given.
    pub fn flag(&self, name: &str) -> bool {
        self.flags.contains(&name)
    }

    /// The drafting that was asked for.
    pub fn speculative(&self) -> Option<Value> {
        serde_json::from_str(self.value("--speculative-config")?).ok()
    }

    /// The origins whose pages may use the API; without the argument all may.
    pub fn allowed_origins(&self) -> Vec<String> {
        let given = self.value("--allowed-origins");
        given.map_or_else(
            || vec!["*".to_owned()],
            |given| serde_json::from_str(given).unwrap_or_default(),
        )
    }

    /// What both ranks must have been given alike.
    pub fn engine(&self) -> String {
        const OWN: [&str; 9] = [
            "--allowed-origins",
            "--host",
            "--port",
            "--node-rank",
            "--api-key",
            "--served-model-name",
            "--tool-call-parser",
            "--reasoning-parser",
            "--master-addr",
        ];
        let mut parts: Vec<String> = self
            .values
            .iter()
            .filter(|(name, _)| !OWN.contains(*name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut flags: Vec<_> = self
            .flags
            .iter()
            .filter(|f| !matches!(**f, "--headless" | "--enable-auto-tool-choice"))
            .collect();
        flags.sort();
        parts.extend(flags.into_iter().map(|f| (*f).to_owned()));
        parts.join(" ")
    }

    /// The arguments as vLLM's log shows them; the key stays out of it.
    pub fn shown(&self) -> String {
        let key = |name: &str| name.trim_start_matches('-').replace('-', "_");
        let mut parts = vec![format!("'model_tag': '{}'", self.model)];
        for (name, value) in &self.values {
            let shown = match *name {
                "--api-key" => "'***'".to_owned(),
                "--served-model-name" => format!("{:?}", self.served).replace('"', "'"),
                "--speculative-config" => value.replace('"', "'"),
                n if NUMBERS.contains(&n) => value.clone(),
                _ => format!("'{value}'"),
            };
            parts.push(format!("'{}': {shown}", key(name)));
        }
        parts.extend(self.flags.iter().map(|f| format!("'{}': True", key(f))));
        format!("{{{}}}", parts.join(", "))
    }
}

fn check(name: &str, value: &str) -> Result<(), Usage> {
    let json = serde_json::from_str::<Value>(value);
    let is_list = json.as_ref().is_ok_and(Value::is_array);
    if JSON.contains(&name) && (json.is_err() || (name == "--allowed-origins" && !is_list)) {
        let both = if name == "--speculative-config" {
            "--speculative-config/-sc"
        } else {
            name
        };
        return Err(Usage(format!(
            "argument {both}: Value {value} cannot be converted to <function loads at 0x7f4f2c3751c0>."
        )));
    }
    if NUMBERS.contains(&name) && value.parse::<u64>().is_err() {
        return Err(Usage(format!(
            "argument {name}: invalid int value: '{value}'"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tandem_domain::launch::commands::commands;
    use tandem_domain::recipe::{EngineKind, Recipe, catalog};

    use super::Args;

    fn parse(line: &[&str]) -> Result<Args, String> {
        Args::parse(line.iter().map(|s| (*s).to_owned())).map_err(|e| e.0)
    }

    #[test]
    fn a_launch_is_read() {
        let args = parse(&[
            "serve",
            "/m",
            "--served-model-name",
            "a",
            "--port=8888",
            "--nnodes",
            "2",
            "-tp",
            "2",
            "--trust_remote_code",
            "--headless",
            "--api-key",
            "hidden",
            "--speculative-config",
            r#"{"method":"mtp","num_speculative_tokens":3}"#,
        ])
        .expect("a launch");
        assert_eq!(args.model, "/m");
        assert_eq!(args.number("--port", 8000), 8888);
        assert_eq!(args.number("--tensor-parallel-size", 1), 2);
        assert!(args.flag("--trust-remote-code") && args.flag("--headless"));
        assert_eq!(
            args.speculative().expect("JSON")["num_speculative_tokens"],
            3
        );
        assert!(!args.shown().contains("hidden"), "the key is not logged");
    }

    #[test]
    fn the_words_of_every_built_in_recipe_are_read() {
        let of_vllm = |r: &&Recipe| r.engine == EngineKind::Vllm;
        let mut read = 0;
        for recipe in catalog::launchable().filter(of_vllm) {
            for command in commands(recipe).expect("it can be launched") {
                let parsed = Args::parse(command.serve_args.clone());
                let args = parsed.unwrap_or_else(|e| panic!("{}: {e}", command.id));
                assert!(args.model.contains("/snapshots/") || args.model.contains("/tandem/"));
                read += 1;
            }
        }
        assert!(read > 30, "{read} commands");
    }

    #[test]
    fn what_argparse_refuses_is_refused() {
        let error = |line: &[&str]| parse(line).expect_err("refused");
        assert_eq!(
            error(&["/m", "--nnode", "2"]),
            "unrecognized arguments: --nnode 2"
        );
        assert_eq!(
            error(&["/m", "--port"]),
            "argument --port: expected one argument"
        );
        assert_eq!(
            error(&["/m", "--port", "x"]),
            "argument --port: invalid int value: 'x'"
        );
        assert!(
            error(&["/m", "--speculative-config", "{method:mtp}"])
                .starts_with("argument --speculative-config/-sc: Value {method:mtp} cannot")
        );
        assert!(error(&["serve"]).contains("model_tag"));
    }
}
