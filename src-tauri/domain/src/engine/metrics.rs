//! Reading a server's `/metrics`: as much of the Prometheus text format as Tandem needs.
//!
//! Names are matched whole. `…_created` gauges and `…_per_pos_total` begin like the totals and are
//! something else. Values of one name are summed over all other labels, since each engine of a
//! server counts for itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Figures of speculative decoding over a measurement, from differences of counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Acceptance {
    /// Accepted / drafted tokens, 0 to 1.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub rate: f64,
    /// 1 + accepted / drafts.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub mean_length: f64,
    /// Accepted / drafts for each position, 0 to 1.
    #[cfg_attr(feature = "bindings", specta(type = Vec<specta_typescript::Number>))]
    pub per_position: Vec<f64>,
}

/// What a server works on and has done, by its own counters. `None` where it has no such counter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerLoad {
    /// Requests that it works on now.
    pub running: Option<f64>,
    /// Requests that wait now.
    pub waiting: Option<f64>,
    /// Prompt tokens since its start.
    pub prompt_tokens: Option<f64>,
    /// Generated tokens since its start.
    pub generated_tokens: Option<f64>,
    /// Requests that ended, however, since its start.
    pub finished: Option<f64>,
}

/// One line of the text.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSample {
    /// For example `process_cpu_seconds_total`.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
