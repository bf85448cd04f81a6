//! Several requests at once, as one repeat.
//!
//! llama-benchy's sums: pp = all prompts / (latest first chunk - earliest start), tg = all tokens after each first one /
//! (latest last - earliest first), peak = the most tokens of all in a second.

use crate::bench::peak::most_in_a_second;
use crate::bench::timeline::Told;
use crate::bench::{BenchRequest, BenchSample};

/// The requests of one repeat together; `None` of none. They began at one moment.
pub(crate) fn together(number: u32, told: &[Told], latency_s: f64) -> Option<BenchSample> {
    let [first, rest @ ..] = told else {
        return None;
    };
    if rest.is_empty() {
        return Some(BenchSample {
            prompt: Some(number),
            ..first.sample.clone()
        });
    }
    let all = || told.iter().map(|t| &t.sample);
    let least = |of: fn(&BenchSample) -> f64| all().map(of).fold(f64::INFINITY, f64::min);
    let most = |of: fn(&BenchSample) -> f64| all().map(of).fold(0.0, f64::max);
    let mean = |of: fn(&BenchSample) -> f64| all().map(of).sum::<f64>() / told.len() as f64;
    let read: u32 = all()
        .map(|s| s.prompt_tokens + s.extra_tokens.unwrap_or_default())
        .sum();
    let after: f64 = told.iter().map(|t| t.after_first).sum();
    let span = most(|s| s.end_s) - least(|s| s.ttft_s);
    let est_ppt_s = (most(|s| s.ttfr_s) - latency_s).max(0.0);
    let pp_told = told.iter().all(|t| t.prompt_told) && est_ppt_s > 0.0;
    let mut times: Vec<f64> = told.iter().flat_map(|t| t.times.iter().copied()).collect();
    times.sort_by(f64::total_cmp);
    let extra: Option<u32> = all().map(|s| s.extra_tokens).sum();
    Some(BenchSample {
        prompt: Some(number),
        prompt_tokens: all().map(|s| s.prompt_tokens).sum(),
        extra_tokens: extra,
        completion_tokens: all().map(|s| s.completion_tokens).sum(),
        ttfr_s: mean(|s| s.ttfr_s),
        est_ppt_s: Some(est_ppt_s),
        ttft_s: mean(|s| s.ttft_s),
        end_s: most(|s| s.end_s),
        pp_tps: if pp_told {
            f64::from(read) / est_ppt_s
        } else {
            0.0
        },
        tg_tps: if span > 0.0 { after / span } else { 0.0 },
        peak_tps: Some(most_in_a_second(&times)),
        requests: all().map(row).collect(),
    })
}

/// The figures of one request of several.
fn row(sample: &BenchSample) -> BenchRequest {
    BenchRequest {
        prompt_tokens: sample.prompt_tokens,
        completion_tokens: sample.completion_tokens,
        ttfr_s: sample.ttfr_s,
        ttft_s: sample.ttft_s,
        end_s: sample.end_s,
        pp_tps: sample.pp_tps,
        tg_tps: sample.tg_tps,
        peak_tps: sample.peak_tps.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request that reads 100 tokens until `first` and then makes a token every `step` seconds.
    fn told(first: f64, step: f64, tokens: u32) -> Told {
        let times: Vec<f64> = (0..tokens).map(|n| first + f64::from(n) * step).collect();
        let end = times[times.len() - 1];
        Told {
            sample: BenchSample {
                prompt: None,
                prompt_tokens: 90,
                extra_tokens: Some(10),
                completion_tokens: tokens,
                ttfr_s: first,
                est_ppt_s: Some(first),
                ttft_s: first,
                end_s: end,
                pp_tps: 100.0 / first,
                tg_tps: 1.0 / step,
                peak_tps: Some(1.0 / step),
                requests: Vec::new(),
            },
            prompt_told: true,
            after_first: f64::from(tokens - 1),
            times,
        }
    }

    #[test]
    fn of_one_request_the_repeat_is_the_request() {
        let one = told(0.5, 0.1, 11);
        let sample = together(3, std::slice::from_ref(&one), 0.0).expect("there is one");
        assert_eq!(sample.prompt, Some(3));
        assert_eq!(
            BenchSample {
                prompt: None,
                ..sample
            },
            one.sample
        );
        assert_eq!(together(3, &[], 0.0), None);
    }

    #[test]
    fn of_several_the_sums_are_over_the_time_of_all() {
        // One begins at 0.5 s and ends at 1.5 s, the other at 1.0 s and at 3.0 s.
        let sample = together(1, &[told(0.5, 0.1, 11), told(1.0, 0.1, 21)], 0.2).expect("two");
        assert_eq!((sample.prompt_tokens, sample.extra_tokens), (180, Some(20)));
        assert_eq!(sample.completion_tokens, 32);
        assert!(
            (sample.pp_tps - 200.0 / 0.8).abs() < 1e-9,
            "latest first chunk, less the latency"
        );
        assert!((sample.tg_tps - 30.0 / 2.5).abs() < 1e-9, "0.5 s to 3.0 s");
        assert!(
            (sample.ttft_s - 0.75).abs() < 1e-9,
            "a person's wait is the mean one"
        );
        assert_eq!(sample.end_s, 3.0);
        // From 0.5 s on: ten of the first, and those of the second that came by 1.5 s.
        let peak = sample.peak_tps.expect("it is told");
        assert!((15.0..=17.0).contains(&peak), "{peak}");
        assert_eq!(sample.requests.len(), 2);
        assert!((sample.requests[1].tg_tps - 10.0).abs() < 1e-9);
    }

    #[test]
    fn one_prompt_without_a_rate_leaves_none_of_all() {
        let mut untold = told(1.0, 0.1, 21);
        untold.prompt_told = false;
        let sample = together(1, &[told(0.5, 0.1, 11), untold], 0.2).expect("two");
        assert_eq!(sample.pp_tps, 0.0);
        assert!(sample.tg_tps > 0.0);
    }
}
