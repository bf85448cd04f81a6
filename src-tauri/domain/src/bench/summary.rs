//! Mean and spread of a handful of repeats.

use crate::bench::Spread;

impl Spread {
    /// Summarises values; without any, everything is 0 and `values` is empty.
    pub fn of(values: Vec<f64>) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        Self {
            mean,
            std: variance.sqrt(),
            values,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_agrees_with_a_saved_summary_of_llama_benchy() {
        // tg_throughput of tests/fixtures/bench/benchy_deep_mtp.json.
        let spread = Spread::of(vec![
            24.09128036194379,
            26.23192719283571,
            25.494387867101196,
        ]);
        assert!((spread.mean - 25.272531807293564).abs() < 1e-9);
        assert!(
            (spread.std - 0.8878841129738075).abs() < 1e-9,
            "the population's deviation"
        );
    }

    #[test]
    fn nothing_measured_is_nothing() {
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    proptest! {
        #[test]
        fn the_mean_lies_within_and_the_spread_moves_with_nothing(
            values in prop::collection::vec(0.0..1e6f64, 1..12), shift in 0.0..1e3f64,
        ) {
            let spread = Spread::of(values.clone());
            let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            prop_assert!(spread.mean >= low - 1e-6 && spread.mean <= high + 1e-6);
            prop_assert!(spread.std <= high - low + 1e-6);
            let moved = Spread::of(values.iter().map(|v| v + shift).collect());
            prop_assert!((moved.std - spread.std).abs() < 1e-3, "a shift changes no spread");
        }
    }
}
