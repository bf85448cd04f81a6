//! What is said of two measurements, and how often it is wrong.

use proptest::prelude::*;

use super::*;
use crate::bench::chance::{ALPHA, repeats};
use crate::bench::random::Random;

fn sample(prompt: u32, [tg, pp, ttft]: [f64; 3]) -> BenchSample {
    BenchSample {
        prompt: Some(prompt),
        prompt_tokens: 512,
        extra_tokens: None,
        completion_tokens: 64,
        ttfr_s: ttft,
        est_ppt_s: Some(ttft),
        ttft_s: ttft,
        end_s: 3.0,
        pp_tps: pp,
        tg_tps: tg,
        peak_tps: None,
        requests: Vec::new(),
    }
}

fn of(label: &str, samples: Vec<BenchSample>) -> BenchResult {
    let spread = |f: fn(&BenchSample) -> f64| Spread::of(samples.iter().map(f).collect());
    BenchResult {
        id: label.into(),
        at: 0,
        label: label.to_owned(),
        model: "step".to_owned(),
        case: BenchCase::quick(),
        latency_s: 0.005,
        pp_tps: spread(|s| s.pp_tps),
        tg_tps: spread(|s| s.tg_tps),
        ttft_s: spread(|s| s.ttft_s),
        samples,
        acceptance: None,
        circumstances: [("image".to_owned(), "sha256:1".to_owned())].into(),
        notes: Vec::new(),
        ended: None,
        run: None,
        simulated: false,
    }
}

/// A measurement of these rates, with the other figures as good as equal.
fn result(label: &str, tg: &[f64]) -> BenchResult {
    let figures = tg.iter().enumerate().map(|(n, tg)| {
        let n = n as u32;
        let drift = 1.0 + f64::from(n % 3) * 0.01;
        sample(n + 1, [*tg, 700.0 * drift, 0.18 * drift])
    });
    of(label, figures.collect())
}

#[test]
fn every_figure_that_moved_is_in_the_headline() {
    let plain = of(
        "Plain",
        (1..=3)
            .map(|n| sample(n, [19.8 + f64::from(n) * 0.01, 1000.0 + f64::from(n), 0.5]))
            .collect(),
    );
    let mut mtp = of(
        "MTP",
        (1..=3)
            .map(|n| sample(n, [28.1 + f64::from(n) * 0.02, 820.0 + f64::from(n), 0.5]))
            .collect(),
    );
    mtp.circumstances
        .insert("speculative_tokens".into(), "3".into());
    let found = compare(plain, mtp);
    assert_eq!(
        found.verdict,
        "“MTP” against “Plain”: token generation 1.42 × (28.1 against 19.8 tokens/s), prompt processing 0.82 × (822 against 1002 tokens/s). No difference beyond chance in time to first token."
    );
    assert_eq!(
        found.differences,
        [CircumstanceDifference {
            name: "speculative_tokens".into(),
            a: None,
            b: Some("3".into())
        }]
    );
    assert!(
        found.figures.iter().all(|f| f.paired),
        "the prompts are numbered"
    );
    let (low, high) = found.figures[0].interval.expect("there is an interval");
    assert!(low < found.figures[0].ratio && found.figures[0].ratio < high);
    assert!(!found.figures[2].more_is_better, "waiting longer is worse");
}

#[test]
fn less_than_half_a_percent_is_no_difference() {
    for (b, clear) in [
        (20.001, false),
        (20.09, false),
        (20.2, true),
        (19.92, false),
        (19.0, true),
    ] {
        let found = compare(result("a", &[20.0; 3]), result("b", &[b; 3]));
        assert_eq!(found.figures[0].clear, clear, "{b}");
    }
}

#[test]
fn two_of_one_name_are_told_apart() {
    let found = compare(result("Plain", &[20.0; 3]), result("Plain", &[30.0; 3]));
    assert!(
        found
            .verdict
            .starts_with("“Plain” (2) against “Plain” (1): "),
        "{}",
        found.verdict
    );
}

#[test]
fn too_few_repeats_are_told_with_how_many_it_takes() {
    // Without numbers of prompts, as older versions kept them: 3.5 % and 6 % on each side.
    let old = |label: &str, percent: f64| {
        let spread = [1.0 - percent / 100.0, 1.0, 1.0 + percent / 100.0];
        let mut old = result(label, &spread.map(|s| 20.0 * s));
        old.samples.iter_mut().for_each(|s| s.prompt = None);
        old
    };
    for (percent, least, most) in [(3.5, 11, 14), (6.0, 29, 34)] {
        let found = compare(old("a", percent), old("b", percent));
        let needed = found.figures[0].needed.expect("it is told");
        assert!((least..=most).contains(&needed), "{needed} at {percent} %");
        assert!(!found.figures[0].paired && !found.figures[0].clear);
        let said = format!("it would take about {needed} repeats");
        assert!(found.verdict.contains(&said), "{}", found.verdict);
    }
    let once = compare(result("a", &[20.0]), result("b", &[40.0]));
    assert!(
        once.verdict
            .ends_with("One repeat tells nothing of chance: measure with 10."),
        "{}",
        once.verdict
    );
    assert!(
        once.figures
            .iter()
            .all(|f| !f.clear && f.interval.is_none())
    );
}

#[test]
fn different_things_are_not_set_against_each_other() {
    let mut other = result("MTP", &[28.0, 28.1, 28.2]);
    other.case.prompt_tokens = 2048;
    let found = compare(result("Plain", &[1.0, 1.1, 0.9]), other);
    assert!(
        found.verdict.contains("pp512 tg64 against pp2048 tg64"),
        "{}",
        found.verdict
    );
    assert!(
        found.figures.iter().all(|f| !f.clear),
        "no figure claims a difference"
    );

    let mut crowded = result("MTP", &[28.0, 28.1, 28.2]);
    crowded.case.concurrency = 4;
    crowded.case.depth = 4096;
    let found = compare(result("Plain", &[1.0, 1.1, 0.9]), crowded);
    assert!(
        found
            .verdict
            .contains("pp512 tg64 against pp512 tg64 @ d4096 (c4)"),
        "{}",
        found.verdict
    );

    let mut rehearsed = result("MTP", &[28.0, 28.1, 28.2]);
    rehearsed.simulated = true;
    let found = compare(result("Plain", &[1.0, 1.1, 0.9]), rehearsed);
    assert!(found.verdict.contains("rehearsed"), "{}", found.verdict);
    assert!(found.figures.iter().all(|f| !f.clear));
    assert_eq!(found.differences[0].name, "machines");
}

#[test]
fn a_side_without_a_figure_gives_no_ratio() {
    let found = compare(result("a", &[]), result("b", &[20.0, 20.0]));
    assert_eq!(found.figures[0].ratio, 0.0);
    assert_eq!(found.verdict, "“a” has no rate of token generation.");
}

/// A normal number (Box and Muller).
fn normal(random: &mut Random) -> f64 {
    let mut unit = || ((random.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (u, v) = (unit(), unit());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Two measurements of `n` repeats. The spread of each figure is `prompt` of the prompt, which both share, and `own` of
/// the repeat; `b` generates faster by `gain`.
fn simulated(
    random: &mut Random,
    n: u32,
    (prompt, own): (f64, f64),
    gain: f64,
    numbered: bool,
) -> Comparison {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for number in 1..=n {
        let mut shared = || 1.0 + normal(random) * prompt;
        let shared = [shared(), shared(), shared()];
        let mut one = |gain: f64| {
            let mut figure =
                |mean: f64, at: usize| mean * shared[at] * (1.0 + normal(random) * own);
            let mut made = sample(
                number,
                [figure(20.0, 0) * gain, figure(700.0, 1), figure(0.5, 2)],
            );
            made.prompt = made.prompt.filter(|_| numbered);
            made
        };
        a.push(one(1.0));
        b.push(one(1.0 + gain));
    }
    compare(of("a", a), of("b", b))
}

/// The share of comparisons of which `holds` is true.
fn share(of: u32, mut one: impl FnMut(&mut Random) -> bool) -> f64 {
    let mut random = Random(7);
    f64::from((0..of).map(|_| u32::from(one(&mut random))).sum::<u32>()) / f64::from(of)
}

#[test]
fn chance_is_called_a_difference_in_six_of_a_hundred_comparisons_at_most() {
    // Prompt by prompt, and of prompts that nobody numbered, where the whole spread is each repeat's own.
    for (n, numbered, spread, times) in [
        (3, true, (0.04, 0.02), 1000),
        (5, true, (0.04, 0.02), 1000),
        (10, true, (0.04, 0.02), 200),
        (3, false, (0.0, 0.06), 1000),
        (5, false, (0.0, 0.06), 1000),
        (10, false, (0.0, 0.06), 200),
    ] {
        let false_alarms = share(times, |random| {
            let found = simulated(random, n, spread, 0.0, numbered);
            found.figures.iter().any(|f| f.clear)
        });
        assert!(
            false_alarms <= 0.06,
            "{false_alarms} at n = {n}, paired: {numbered}"
        );
        assert!(
            false_alarms > 0.01,
            "the test finds what chance does: {false_alarms} at {n}"
        );
    }
}

/// A spread of 6 %: 4 or 5 % of it the prompt's, the rest the repeat's.
#[test]
fn five_percent_are_found_by_ten_pairs_in_nine_of_ten_comparisons() {
    for (prompt, own) in [(0.04, 0.02), (0.05, 0.01)] {
        let found = share(150, |random| {
            simulated(random, 10, (prompt, own), 0.05, true).figures[0].clear
        });
        assert!(found >= 0.9, "{found} with {prompt} of the prompt's");
        let unpaired = share(40, |random| {
            simulated(random, 10, (prompt, own), 0.05, false).figures[0].clear
        });
        assert!(unpaired < found, "pairing is what finds them: {unpaired}");
    }
}

/// What a set-up wants to know: whether drafting makes it one and a half times as fast, where the spread of 6 % is each
/// repeat's own, as of variants that the prompt does not move alike.
#[test]
fn a_set_up_tells_one_and_a_half_times_as_fast() {
    let case = BenchCase::quick();
    let variance = 2.0 * 0.06_f64.powi(2);
    let least = repeats(variance, 1.5_f64.ln(), ALPHA / FIGURES.len() as f64);
    assert!(case.runs > least, "{} and {least}", case.runs);
    for gain in [0.5, 1.0] {
        let told = share(300, |random| {
            simulated(random, case.runs, (0.0, 0.06), gain, true).figures[0].clear
        });
        assert!(told >= 0.99, "{told} of 1 + {gain}");
    }
    let three = share(300, |random| {
        simulated(random, 3, (0.0, 0.06), 0.5, true).figures[0].clear
    });
    assert!(three < 0.9, "three were too few: {three}");
}

#[test]
fn holm_holds_all_figures_to_one_level() {
    assert_eq!(holm(&[0.04, 0.01, 0.03]), [false, true, false]);
    assert_eq!(holm(&[0.016, 0.02, 0.04]), [true, true, true]);
    assert_eq!(holm(&[0.02, 0.02, 0.02]), [false, false, false]);
    assert!(holm(&[]).is_empty());
}

proptest! {
    #[test]
    fn comparing_the_other_way_round_turns_the_ratio_over(
        a in prop::collection::vec(0.1..1e4f64, 1..6), b in prop::collection::vec(0.1..1e4f64, 1..6),
    ) {
        let there = compare(result("a", &a), result("b", &b));
        let back = compare(result("b", &b), result("a", &a));
        for (x, y) in there.figures.iter().zip(&back.figures) {
            prop_assert!((x.ratio * y.ratio - 1.0).abs() < 1e-9);
            prop_assert!(x.ratio.is_finite());
            prop_assert!(x.interval.is_none_or(|(low, high)| low <= x.ratio && x.ratio <= high));
        }
        prop_assert!(serde_json::to_string(&there).is_ok());
    }

    #[test]
    fn a_thing_is_never_other_than_itself(a in prop::collection::vec(0.0..1e4f64, 0..6)) {
        prop_assert!(compare(result("a", &a), result("a", &a)).figures.iter().all(|f| !f.clear));
    }
}
