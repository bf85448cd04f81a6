//! The counters of vLLM's `/metrics` that tell how drafting fares and what the server works on.

use crate::engine::metrics::{Acceptance, Metrics, ServerLoad};

const DRAFTS: &str = "vllm:spec_decode_num_drafts_total";
const DRAFT_TOKENS: &str = "vllm:spec_decode_num_draft_tokens_total";
const ACCEPTED: &str = "vllm:spec_decode_num_accepted_tokens_total";
const ACCEPTED_PER_POSITION: &str = "vllm:spec_decode_num_accepted_tokens_per_pos_total";

/// How the drafts between two scrapes fared.
///
/// `None` where the server does not speculate, where nothing was drafted in between, or where the
/// counters went backwards because it was started again.
pub(super) fn acceptance(before: &Metrics, after: &Metrics) -> Option<Acceptance> {
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

/// What the server works on and has done.
pub(super) fn load(metrics: &Metrics) -> ServerLoad {
    ServerLoad {
        running: metrics.sum("vllm:num_requests_running"),
        waiting: metrics.sum("vllm:num_requests_waiting"),
        prompt_tokens: metrics.sum("vllm:prompt_tokens_total"),
        generated_tokens: metrics.sum("vllm:generation_tokens_total"),
        finished: metrics.sum("vllm:request_success_total"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Real scrapes, of two servers of one checkpoint, taken as before and after; see the README beside them.
    const BEFORE: &str = include_str!("../../../../../tests/fixtures/bench/metrics_mtp_before.txt");
    const AFTER: &str = include_str!("../../../../../tests/fixtures/bench/metrics_mtp_after.txt");
    const PLAIN: &str = include_str!("../../../../../tests/fixtures/bench/metrics_plain.txt");

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
    fn the_work_of_a_server_is_read() {
        let wanted = ServerLoad {
            running: Some(0.0),
            waiting: Some(0.0),
            prompt_tokens: Some(1651.0),
            generated_tokens: Some(1026.0),
            finished: Some(10.0),
        };
        assert_eq!(load(&Metrics::parse(AFTER)), wanted);
    }
}
