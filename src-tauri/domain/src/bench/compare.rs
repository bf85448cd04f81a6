//! Two measurements side by side, and what may be said about them.

use crate::bench::chance::{Side, Tested, holm, test};
use crate::bench::{
    BenchCase, BenchResult, BenchSample, CircumstanceDifference, Comparison, FigureDifference,
    Spread,
};

/// A smaller share is never called a difference: machines drift by as much within an hour.
const LEAST_DIFFERENCE: f64 = 0.005;

/// One of the figures that are compared.
struct ComparedFigure {
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    more_is_better: bool,
    digits: usize,
    spread: fn(&BenchResult) -> &Spread,
    sample: fn(&BenchSample) -> f64,
}

/// All of them, in the order they are shown.
const FIGURES: [ComparedFigure; 3] = [
    ComparedFigure {
        key: "tg_tps",
        name: "token generation",
        unit: "tokens/s",
        more_is_better: true,
        digits: 1,
        spread: |r| &r.tg_tps,
        sample: |s| s.tg_tps,
    },
    ComparedFigure {
        key: "pp_tps",
        name: "prompt processing",
        unit: "tokens/s",
        more_is_better: true,
        digits: 0,
        spread: |r| &r.pp_tps,
        sample: |s| s.pp_tps,
    },
    ComparedFigure {
        key: "ttft_s",
        name: "time to first token",
        unit: "s",
        more_is_better: false,
        digits: 3,
        spread: |r| &r.ttft_s,
        sample: |s| s.ttft_s,
    },
];

/// Compares b with a. Of all figures together one difference in twenty comparisons is chance's, at most.
pub fn compare(a: BenchResult, b: BenchResult) -> Comparison {
    let comparable = same_case(&a.case, &b.case) && a.simulated == b.simulated;
    let tested: Vec<Option<Tested>> = FIGURES
        .iter()
        .map(|f| test(&side(&a, f), &side(&b, f)).filter(|_| comparable))
        .collect();
    let ps: Vec<f64> = tested.iter().flatten().map(|t| t.p).collect();
    let mut stands = holm(&ps).into_iter();
    let figures: Vec<FigureDifference> = FIGURES
        .iter()
        .zip(tested)
        .map(|(f, tested)| {
            let stands = tested.is_some() && stands.next().unwrap_or_default();
            difference(f, &a, &b, tested, stands)
        })
        .collect();
    let differences = differences(&a, &b);
    let verdict = verdict(&a, &b, &figures);
    Comparison {
        figures,
        differences,
        verdict,
        a,
        b,
    }
}

/// The repeats of one figure with their prompts, as far as they are kept.
fn side(result: &BenchResult, figure: &ComparedFigure) -> Side {
    let told = || result.samples.iter().filter(|s| (figure.sample)(s) > 0.0);
    let values = &(figure.spread)(result).values;
    if told().count() != values.len() {
        return Side {
            values: values.clone(),
            prompts: Vec::new(),
        };
    }
    Side {
        values: told().map(figure.sample).collect(),
        prompts: told().map(|s| s.prompt).collect(),
    }
}

fn difference(
    figure: &ComparedFigure,
    a: &BenchResult,
    b: &BenchResult,
    tested: Option<Tested>,
    stands: bool,
) -> FigureDifference {
    let (x, y) = ((figure.spread)(a).mean, (figure.spread)(b).mean);
    // 0 stands for "cannot be told"; infinity would not survive the way to the window.
    let ratio = match tested {
        Some(tested) => tested.ratio,
        None if x > 0.0 => y / x,
        None => 0.0,
    };
    FigureDifference {
        figure: figure.key.to_owned(),
        name: figure.name.to_owned(),
        unit: figure.unit.to_owned(),
        a: x,
        b: y,
        ratio,
        interval: tested
            .map(|t| t.interval)
            .filter(|(low, high)| low.is_finite() && high.is_finite()),
        paired: tested.is_some_and(|t| t.paired),
        needed: tested.map(|t| t.needed),
        clear: stands && (ratio - 1.0).abs() >= LEAST_DIFFERENCE,
        more_is_better: figure.more_is_better,
    }
}

/// The repeats do not matter: more of them measure the same thing better.
fn same_case(a: &BenchCase, b: &BenchCase) -> bool {
    a.name() == b.name()
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

/// The finding: every figure that moved, and what the others may be said to have done.
fn verdict(a: &BenchResult, b: &BenchResult, figures: &[FigureDifference]) -> String {
    if !same_case(&a.case, &b.case) {
        return format!(
            "These two measured different things ({} against {}), so nothing follows from their difference.",
            a.case.name(),
            b.case.name()
        );
    }
    if a.simulated != b.simulated {
        return "One of these was measured on rehearsed machines, so nothing follows from their difference.".to_owned();
    }
    let (first, second) = names(a, b);
    let missing = figures.iter().find(|f| f.a <= 0.0 || f.b <= 0.0);
    if let Some(figure) = missing.filter(|f| f.figure == FIGURES[0].key) {
        let without = if figure.a <= 0.0 { &first } else { &second };
        return format!("{without} has no rate of {}.", figure.name);
    }
    let moved: Vec<String> = figures
        .iter()
        .zip(&FIGURES)
        .filter(|(f, _)| f.clear)
        .map(|(f, of)| {
            let digits = of.digits;
            format!(
                "{} {:.2} × ({:.digits$} against {:.digits$} {})",
                f.name, f.ratio, f.b, f.a, f.unit
            )
        })
        .collect();
    let still = figures.iter().filter(|f| !f.clear && f.ratio > 0.0);
    let still: Vec<&FigureDifference> = still.collect();
    let names: Vec<&str> = still.iter().map(|f| f.name.as_str()).collect();
    let mut said = match (moved.is_empty(), names.is_empty()) {
        (true, _) => format!(
            "{second} against {first}: no difference beyond chance in {}.",
            listed(&names)
        ),
        (false, true) => format!("{second} against {first}: {}.", moved.join(", ")),
        (false, false) => format!(
            "{second} against {first}: {}. No difference beyond chance in {}.",
            moved.join(", "),
            listed(&names)
        ),
    };
    said.push_str(&more_repeats(a, b, &still));
    if a.model != b.model {
        said.push_str(" They are different models.");
    }
    said
}

/// How many repeats it would take, where there were too few.
fn more_repeats(a: &BenchResult, b: &BenchResult, still: &[&FigureDifference]) -> String {
    if still.is_empty() {
        return String::new();
    }
    let had = a.samples.len().max(a.tg_tps.values.len());
    let had = had.min(b.samples.len().max(b.tg_tps.values.len()));
    if still.iter().any(|f| f.needed.is_none()) && had < 2 {
        return " One repeat tells nothing of chance: measure with 10.".to_owned();
    }
    match still.iter().filter_map(|f| f.needed).max() {
        Some(needed) if needed as usize > had => {
            format!(" To find 5 % in all of them it would take about {needed} repeats of each.")
        }
        _ => String::new(),
    }
}

/// Both names, told apart where they are the same.
fn names(a: &BenchResult, b: &BenchResult) -> (String, String) {
    let name = |r: &BenchResult| format!("“{}”", r.label);
    if a.label == b.label {
        return (format!("{} (1)", name(a)), format!("{} (2)", name(b)));
    }
    (name(a), name(b))
}

/// `x`, `x and y`, `x, y and z`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
