//! Two measurements side by side, and what may be said about them.

use crate::bench::{
    BenchCase, BenchResult, CircumstanceDifference, Comparison, FigureDifference, Spread,
};

/// Compares b with a.
pub fn compare(a: BenchResult, b: BenchResult) -> Comparison {
    let same_case = same_case(&a.case, &b.case);
    let figures = vec![
        figure(
            ("tg_tps", "Writing", "tokens/s", true),
            (&a.tg_tps, &b.tg_tps),
            same_case,
        ),
        figure(
            ("pp_tps", "Reading the prompt", "tokens/s", true),
            (&a.pp_tps, &b.pp_tps),
            same_case,
        ),
        figure(
            ("ttft_s", "Time to the first token", "s", false),
            (&a.ttft_s, &b.ttft_s),
            same_case,
        ),
    ];
    let differences = differences(&a, &b);
    let verdict = verdict(&a, &b, &figures[0]);
    Comparison {
        figures,
        differences,
        verdict,
        a,
        b,
    }
}

/// The repeats do not matter: more of them measure the same thing better.
fn same_case(a: &BenchCase, b: &BenchCase) -> bool {
    (a.prompt_tokens, a.generate_tokens) == (b.prompt_tokens, b.generate_tokens)
}

fn figure(
    (figure, name, unit, more_is_better): (&str, &str, &str, bool),
    (a, b): (&Spread, &Spread),
    same_case: bool,
) -> FigureDifference {
    FigureDifference {
        figure: figure.to_owned(),
        name: name.to_owned(),
        unit: unit.to_owned(),
        a: a.mean,
        b: b.mean,
        // 0 stands for "cannot be told"; infinity would not survive the way to the window.
        ratio: if a.mean > 0.0 { b.mean / a.mean } else { 0.0 },
        clear: same_case && is_clear(a, b),
        more_is_better,
    }
}

/// Whether two means differ by more than two standard errors of their difference, each side with its
/// own spread (Welch). With three repeats a side that is a hint rather than a proof.
fn is_clear(a: &Spread, b: &Spread) -> bool {
    match (a.squared_error(), b.squared_error()) {
        (Some(ea), Some(eb)) => (a.mean - b.mean).abs() > 2.0 * (ea + eb).sqrt(),
        _ => false,
    }
}

fn differences(a: &BenchResult, b: &BenchResult) -> Vec<CircumstanceDifference> {
    let kind = |r: &BenchResult| if r.simulated { "rehearsed" } else { "real" };
    let own = [
        ("model", &a.model[..], &b.model[..]),
        ("machines", kind(a), kind(b)),
    ];
    let mut list: Vec<_> = own
        .into_iter()
        .filter(|(_, a, b)| a != b)
        .map(|(name, a, b)| CircumstanceDifference {
            name: name.to_owned(),
            a: Some(a.to_owned()),
            b: Some(b.to_owned()),
        })
        .collect();
    let names: std::collections::BTreeSet<_> = a
        .circumstances
        .keys()
        .chain(b.circumstances.keys())
        .collect();
    for name in names {
        let (in_a, in_b) = (a.circumstances.get(name), b.circumstances.get(name));
        if in_a != in_b {
            list.push(CircumstanceDifference {
                name: name.clone(),
                a: in_a.cloned(),
                b: in_b.cloned(),
            });
        }
    }
    list
}

fn verdict(a: &BenchResult, b: &BenchResult, writing: &FigureDifference) -> String {
    let case = |c: &BenchCase| format!("pp{} tg{}", c.prompt_tokens, c.generate_tokens);
    if !same_case(&a.case, &b.case) {
        return format!(
            "These two measured different things ({} against {}), so nothing follows from their difference.",
            case(&a.case),
            case(&b.case)
        );
    }
    if a.simulated != b.simulated {
        return "One of the two was measured on rehearsed machines, so nothing follows from their difference."
            .to_owned();
    }
    if a.tg_tps.values.is_empty() || b.tg_tps.values.is_empty() {
        let silent = if a.tg_tps.values.is_empty() { a } else { b };
        return format!(
            "“{}” has no writing speed to compare: too few tokens came.",
            silent.label
        );
    }
    let (slower, faster) = (a.tg_tps.mean, b.tg_tps.mean);
    let finding = if writing.clear {
        "the difference is clear"
    } else if a.tg_tps.values.len() < 2 || b.tg_tps.values.len() < 2 {
        "one repeat is too few to tell whether that is chance"
    } else {
        "the difference is within the spread of the repeats"
    };
    let model = if a.model == b.model {
        ""
    } else {
        " They are different models."
    };
    format!(
        "“{}” writes {:.2} × as fast as “{}” ({faster:.1} against {slower:.1} tokens/s); {finding}.{model}",
        b.label, writing.ratio, a.label,
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn result(label: &str, tg: &[f64]) -> BenchResult {
        BenchResult {
            id: label.into(),
            at: 0,
            label: label.to_owned(),
            model: "step".to_owned(),
            case: BenchCase::quick(),
            latency_s: 0.005,
            samples: Vec::new(),
            pp_tps: Spread::of(vec![700.0, 710.0, 690.0]),
            tg_tps: Spread::of(tg.to_vec()),
            ttft_s: Spread::of(vec![0.18, 0.19, 0.17]),
            acceptance: None,
            circumstances: [("image".to_owned(), "sha256:1".to_owned())].into(),
            run: None,
            simulated: false,
        }
    }

    #[test]
    fn a_clear_gain_is_said_with_both_sides() {
        let mut mtp = result("MTP", &[28.0, 28.1, 28.2]);
        mtp.circumstances
            .insert("speculative_tokens".into(), "3".into());
        let found = compare(result("Plain", &[19.7, 19.8, 19.9]), mtp);
        assert_eq!(
            found.verdict,
            "“MTP” writes 1.42 × as fast as “Plain” (28.1 against 19.8 tokens/s); the difference is clear."
        );
        assert_eq!(
            found.differences,
            [CircumstanceDifference {
                name: "speculative_tokens".into(),
                a: None,
                b: Some("3".into())
            }]
        );
        assert!(!found.figures[1].clear, "reading did not change");
        assert!(!found.figures[2].more_is_better, "waiting longer is worse");
    }

    #[test]
    fn noise_is_called_noise() {
        let found = compare(
            result("a", &[20.0, 25.0, 15.0]),
            result("b", &[21.0, 26.0, 16.0]),
        );
        assert!(
            found.verdict.ends_with("within the spread of the repeats."),
            "{}",
            found.verdict
        );
        let once = compare(result("a", &[20.0]), result("b", &[40.0]));
        assert!(once.verdict.contains("too few"), "{}", once.verdict);
        assert!(!once.figures[0].clear);
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
            "no figure claims a clear difference"
        );

        let mut rehearsed = result("MTP", &[28.0, 28.1, 28.2]);
        rehearsed.simulated = true;
        let found = compare(result("Plain", &[1.0, 1.1, 0.9]), rehearsed);
        assert!(found.verdict.contains("rehearsed"), "{}", found.verdict);
        assert_eq!(found.differences[0].name, "machines");
    }

    #[test]
    fn more_repeats_of_the_same_case_may_be_compared() {
        let mut longer = result("b", &[40.0; 5]);
        longer.case.runs = 5;
        assert!(compare(result("a", &[20.0, 20.1, 20.2]), longer).figures[0].clear);
    }

    #[test]
    fn a_side_without_a_figure_gives_no_ratio() {
        let found = compare(result("a", &[]), result("b", &[20.0, 20.0]));
        assert_eq!(found.figures[0].ratio, 0.0);
        assert!(
            found.verdict.contains("“a” has no writing speed"),
            "{}",
            found.verdict
        );
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
                prop_assert_eq!(x.clear, y.clear, "clearness has no direction");
            }
            let text = serde_json::to_string(&there).expect("it is JSON");
            prop_assert!(!text.contains("null,\"clear\""), "every ratio is a number");
        }

        #[test]
        fn a_thing_is_never_clearly_other_than_itself(a in prop::collection::vec(0.0..1e4f64, 0..6)) {
            prop_assert!(compare(result("a", &a), result("a", &a)).figures.iter().all(|f| !f.clear));
        }
    }
}
