//! Reading vLLM's `/metrics`: as much of the Prometheus text format as Tandem needs.
//!
//! Names are matched whole. `…_created` gauges and `…_per_pos_total` begin like the totals and are
//! something else. Values of one name are summed over all other labels, since each engine of a
//! server counts for itself.

use std::collections::BTreeMap;

use crate::bench::Acceptance;

/// One line of the text.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSample {
    /// For example `vllm:num_requests_running`.
    pub name: String,
    /// For example `engine` to `0`.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// All samples of a scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// In the order of the text.
    pub samples: Vec<MetricSample>,
}

impl Metrics {
    /// Reads the text. Lines that make no sense are passed over: one odd metric must not hide the rest.
    pub fn parse(text: &str) -> Self {
        Self {
            samples: text.lines().filter_map(parse_line).collect(),
        }
    }

    /// The sum of a metric over its labels; `None` where the server has no such metric.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let mut values = self
            .samples
            .iter()
            .filter(|s| s.name == name)
            .map(|s| s.value)
            .peekable();
        values.peek()?;
        Some(values.sum())
    }

    /// The sums of a metric by the value of one label.
    pub fn by_label(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.samples.iter().filter(|s| s.name == name) {
            if let Some(value) = sample.labels.get(label) {
                *sums.entry(value.clone()).or_insert(0.0) += sample.value;
            }
        }
        sums
    }
}

fn parse_line(line: &str) -> Option<MetricSample> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => parse_labels(inside)?,
        None => (BTreeMap::new(), rest),
    };
    // A timestamp may follow the value.
    let value = rest.split_whitespace().next()?;
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        other => other.parse().ok()?,
    };
    Some(MetricSample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// Reads `a="x",b="y"}` and gives back what follows the brace. Values may hold anything, escaped.
fn parse_labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let mut value = String::new();
        let mut chars = after.trim_start().strip_prefix('"')?.char_indices();
        let quoted = after.trim_start().strip_prefix('"')?;
        loop {
            match chars.next()? {
                (at, '"') => {
                    rest = &quoted[at + 1..];
                    break;
                }
                (_, '\\') => match chars.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        }
        labels.insert(name.trim().to_owned(), value);
    }
}

const DRAFTS: &str = "vllm:spec_decode_num_drafts_total";
const DRAFT_TOKENS: &str = "vllm:spec_decode_num_draft_tokens_total";
const ACCEPTED: &str = "vllm:spec_decode_num_accepted_tokens_total";
const ACCEPTED_PER_POSITION: &str = "vllm:spec_decode_num_accepted_tokens_per_pos_total";

/// How the drafts between two scrapes fared.
///
/// `None` where the server does not speculate, where nothing was drafted in between, or where the
/// counters went backwards because it was started anew.
pub fn acceptance(before: &Metrics, after: &Metrics) -> Option<Acceptance> {
    let grown = |name: &str| {
        let difference = after.sum(name)? - before.sum(name).unwrap_or(0.0);
        (difference >= 0.0).then_some(difference)
    };
    let drafts = grown(DRAFTS)?;
    let drafted = grown(DRAFT_TOKENS)?;
    let accepted = grown(ACCEPTED)?;
    if drafts <= 0.0 || drafted <= 0.0 {
        return None;
    }
    let earlier = before.by_label(ACCEPTED_PER_POSITION, "position");
    let mut positions: Vec<(u32, f64)> = after
        .by_label(ACCEPTED_PER_POSITION, "position")
        .into_iter()
        .filter_map(|(position, count)| {
            let grown = count - earlier.get(&position).unwrap_or(&0.0);
            Some((position.parse().ok()?, grown.max(0.0) / drafts))
        })
        .collect();
    // As numbers: in text, position 10 comes before position 2.
    positions.sort_by_key(|(position, _)| *position);
    Some(Acceptance {
        rate: accepted / drafted,
        mean_length: 1.0 + accepted / drafts,
        per_position: positions.into_iter().map(|(_, rate)| rate).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Real scrapes, of two servers of one checkpoint, taken as before and after; see the README beside them.
    const BEFORE: &str = include_str!("../../../../tests/fixtures/bench/metrics_mtp_before.txt");
    const AFTER: &str = include_str!("../../../../tests/fixtures/bench/metrics_mtp_after.txt");
    const PLAIN: &str = include_str!("../../../../tests/fixtures/bench/metrics_plain.txt");

    #[test]
    fn acceptance_is_the_difference_of_two_scrapes() {
        let found = acceptance(&Metrics::parse(BEFORE), &Metrics::parse(AFTER))
            .expect("the server speculates");
        // 140 → 400 drafts, 420 → 1200 tokens, 224 → 640 accepted; 111/78/35 → 296/232/112.
        assert!((found.rate - 416.0 / 780.0).abs() < 1e-12);
        assert!((found.mean_length - (1.0 + 416.0 / 260.0)).abs() < 1e-12);
        let expected = [185.0 / 260.0, 154.0 / 260.0, 77.0 / 260.0];
        assert_eq!(found.per_position.len(), 3);
        for (a, b) in found.per_position.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        }
    }

    #[test]
    fn a_plain_server_has_no_acceptance() {
        let plain = Metrics::parse(PLAIN);
        assert!(
            plain.sum("vllm:num_requests_running").is_some(),
            "the scrape was read"
        );
        assert_eq!(acceptance(&plain, &plain), None);
    }

    #[test]
    fn counters_that_went_backwards_are_not_believed() {
        let (before, after) = (Metrics::parse(BEFORE), Metrics::parse(AFTER));
        assert_eq!(
            acceptance(&after, &before),
            None,
            "the server was started anew in between"
        );
        assert_eq!(acceptance(&after, &after), None, "nothing was drafted");
    }

    #[test]
    fn gauges_of_creation_times_are_not_counters() {
        let metrics = Metrics::parse(AFTER);
        assert_eq!(
            metrics.sum(DRAFTS),
            Some(400.0),
            "1.79e9 belongs to `_created`"
        );
    }

    #[test]
    fn engines_are_summed_and_odd_lines_passed_over() {
        let metrics = Metrics::parse(
            "# HELP x y\nx{engine=\"0\"} 1\nx{engine=\"1\",} 2.5 1795250834\nnonsense\nx{broken 4\nbare +Inf\n",
        );
        assert_eq!(metrics.sum("x"), Some(3.5));
        assert_eq!(metrics.sum("bare"), Some(f64::INFINITY));
        assert_eq!(metrics.samples.len(), 3);
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in any::<String>()) {
            let _ = Metrics::parse(&text);
        }

        #[test]
        fn any_label_survives(value in any::<String>(), count in 0.0..1e9f64) {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            // Only a line feed ends a line of the format, but `lines` also eats a carriage return before it.
            prop_assume!(!value.contains('\r'));
            let metrics = Metrics::parse(&format!("m{{model_name=\"{escaped}\"}} {count}\n"));
            let sums = metrics.by_label("m", "model_name");
            prop_assert_eq!(sums.get(&value), Some(&count));
        }
    }
}
