//! The counters behind `/metrics`, under vLLM's names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

/// Sums and counts of a histogram.
#[derive(Debug, Clone, Default)]
struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

const SECONDS: [f64; 16] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 40.0, 160.0,
];

impl Histogram {
    fn add(&mut self, value: f64) {
        self.counts.resize(SECONDS.len(), 0);
        for (bound, count) in SECONDS.iter().zip(&mut self.counts) {
            *count += u64::from(value <= *bound);
        }
        self.count += 1;
        self.sum += value;
    }
}

/// All that is counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) running: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) generation_tokens: u64,
    pub(crate) finished: BTreeMap<&'static str, u64>,
    pub(crate) drafts: u64,
    pub(crate) draft_tokens: u64,
    pub(crate) accepted: u64,
    pub(crate) accepted_at: Vec<u64>,
    first: Histogram,
    between: Histogram,
    whole: Histogram,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counts: Mutex<Counts>,
}

impl Metrics {
    /// Changes the counts.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Counts)) {
        change(
            &mut self
                .counts
                .lock()
                .expect("no thread panics while it holds the counts"),
        );
    }

    /// The counts as they stand.
    pub(crate) fn read(&self) -> Counts {
        self.counts
            .lock()
            .expect("no thread panics while it holds the counts")
            .clone()
    }

    /// In Prometheus text.
    pub(crate) fn text(&self, model: &str, drafting: Option<u64>) -> String {
        let counts = self.read();
        let mut out = String::new();
        let labels = format!("engine=\"0\",model_name=\"{model}\"");
        let mut plain = |name: &str, kind: &str, help: &str, rows: &[(String, f64)]| {
            let _ = writeln!(out, "# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}");
            for (extra, value) in rows {
                let _ = writeln!(out, "vllm:{name}{{{labels}{extra}}} {value:?}");
            }
        };
        let one = |value: u64| [(String::new(), value as f64)];
        plain(
            "num_requests_running",
            "gauge",
            "Number of requests in model execution batches.",
            &one(counts.running),
        );
        plain(
            "num_requests_waiting",
            "gauge",
            "Number of requests waiting to be processed.",
            &one(0),
        );
        let usage = [(String::new(), (counts.running as f64 * 0.004).min(1.0))];
        plain(
            "kv_cache_usage_perc",
            "gauge",
            "KV-cache usage. 1 means 100 percent usage.",
            &usage,
        );
        plain(
            "prefix_cache_queries_total",
            "counter",
            "Prefix cache queries, in terms of number of queried tokens.",
            &one(counts.prompt_tokens),
        );
        plain(
            "prefix_cache_hits_total",
            "counter",
            "Prefix cache hits, in terms of number of cached tokens.",
            &one(0),
        );
        plain(
            "num_preemptions_total",
            "counter",
            "Cumulative number of preemption from the engine.",
            &one(0),
        );
        plain(
            "prompt_tokens_total",
            "counter",
            "Number of prefill tokens processed.",
            &one(counts.prompt_tokens),
        );
        plain(
            "generation_tokens_total",
            "counter",
            "Number of generation tokens processed.",
            &one(counts.generation_tokens),
        );
        let finished: Vec<(String, f64)> = ["stop", "length", "abort", "error"]
            .iter()
            .map(|why| {
                (
                    format!(",finished_reason=\"{why}\""),
                    counts.finished.get(why).copied().unwrap_or(0) as f64,
                )
            })
            .collect();
        plain(
            "request_success_total",
            "counter",
            "Count of successfully processed requests.",
            &finished,
        );
        if let Some(k) = drafting {
            plain(
                "spec_decode_num_drafts_total",
                "counter",
                "Number of spec decoding drafts.",
                &one(counts.drafts),
            );
            plain(
                "spec_decode_num_draft_tokens_total",
                "counter",
                "Number of draft tokens.",
                &one(counts.draft_tokens),
            );
            plain(
                "spec_decode_num_accepted_tokens_total",
                "counter",
                "Number of accepted tokens.",
                &one(counts.accepted),
            );
            let rows: Vec<(String, f64)> = (0..k as usize)
                .map(|p| {
                    (
                        format!(",position=\"{p}\""),
                        counts.accepted_at.get(p).copied().unwrap_or(0) as f64,
                    )
                })
                .collect();
            plain(
                "spec_decode_num_accepted_tokens_per_pos_total",
                "counter",
                "Accepted tokens per draft position.",
                &rows,
            );
        }
        for (name, histogram) in [
            ("time_to_first_token_seconds", &counts.first),
            ("inter_token_latency_seconds", &counts.between),
            ("e2e_request_latency_seconds", &counts.whole),
        ] {
            let _ = writeln!(
                out,
                "# HELP vllm:{name} Histogram in seconds.\n# TYPE vllm:{name} histogram"
            );
            for (bound, count) in SECONDS
                .iter()
                .zip(histogram.counts.iter().chain(std::iter::repeat(&0)))
            {
                let _ = writeln!(
                    out,
                    "vllm:{name}_bucket{{engine=\"0\",le=\"{bound:?}\",model_name=\"{model}\"}} {:?}",
                    *count as f64
                );
            }
            let count = histogram.count as f64;
            let _ = writeln!(
                out,
                "vllm:{name}_bucket{{engine=\"0\",le=\"+Inf\",model_name=\"{model}\"}} {count:?}"
            );
            let _ = writeln!(
                out,
                "vllm:{name}_count{{{labels}}} {count:?}\nvllm:{name}_sum{{{labels}}} {:?}",
                histogram.sum
            );
        }
        out
    }
}

impl Counts {
    /// Notes the time to the first token.
    pub(crate) fn first(&mut self, seconds: f64) {
        self.first.add(seconds);
    }

    /// Notes the time since the chunk before.
    pub(crate) fn between(&mut self, seconds: f64) {
        self.between.add(seconds);
    }

    /// Notes the time of a whole request.
    pub(crate) fn whole(&mut self, seconds: f64) {
        self.whole.add(seconds);
    }

    /// Notes one draft of `k` tokens of which the first `accepted` were taken.
    pub(crate) fn draft(&mut self, k: u64, accepted: u64) {
        self.drafts += 1;
        self.draft_tokens += k;
        self.accepted += accepted;
        self.accepted_at.resize(k as usize, 0);
        for at in self.accepted_at.iter_mut().take(accepted as usize) {
            *at += 1;
        }
    }
}
