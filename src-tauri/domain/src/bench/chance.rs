//! What may be said of a difference between the repeats of two measurements.
//!
//! Repeats are compared as ratios, on their logarithms: machines differ by a share. Where both sides had the same
//! numbered prompts, prompt is compared with prompt: with MTP most of the spread is the prompt's own, and it cancels.
//! Below ten repeats the test is Student's t over the pairs, or Welch's t over the sides; from ten on a bootstrap of
//! the same t, which asks for no normal distribution. The percentile bootstrap is wrong in one of five cases with three
//! repeats, which is why it is not used.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::bench::random::Random;

/// The share of false alarms over all figures of a comparison.
pub(crate) const ALPHA: f64 = 0.05;

/// From so many repeats on each side on, the distribution is taken from the repeats themselves.
const BOOTSTRAP_FROM: usize = 10;

/// Resamples of the bootstrap.
const RESAMPLES: u32 = 1999;

/// A difference that is worth finding: 5 %.
const WORTH_FINDING: f64 = 0.05;

/// The share of such differences that shall be found.
const POWER: f64 = 0.9;

/// More repeats are not advised; an hour of them finds nothing that matters.
const MOST_REPEATS: u32 = 200;

/// One figure of both sides, tested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tested {
    /// b / a, by the means of the logarithms.
    pub(crate) ratio: f64,
    /// The 95 % interval of the ratio.
    pub(crate) interval: (f64, f64),
    /// How likely so large a difference is where there is none.
    pub(crate) p: f64,
    /// Whether prompt was compared with prompt.
    pub(crate) paired: bool,
    /// Repeats a side with which 5 % would be found in nine of ten cases.
    pub(crate) needed: u32,
}

/// The repeats of one figure. `prompts` has the number of each one's prompt, where it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    pub(crate) values: Vec<f64>,
    pub(crate) prompts: Vec<Option<u32>>,
}

/// Tests one figure; `None` where a side has fewer than two repeats.
pub(crate) fn test(a: &Side, b: &Side) -> Option<Tested> {
    if let Some(pairs) = pairs(a, b) {
        let moments = Moments::of(&pairs)?;
        let estimate = Estimate {
            difference: moments.mean,
            error: moments.error(),
            freedom: moments.n - 1.0,
        };
        let resample = |random: &mut Random| {
            let drawn = moments.drawn(&pairs, random);
            (drawn.mean - moments.mean) / drawn.error()
        };
        return Some(estimate.tested(pairs.len(), true, moments.variance, resample));
    }
    let (a, b) = (logs(&a.values), logs(&b.values));
    let (x, y) = (Moments::of(&a)?, Moments::of(&b)?);
    let (ex, ey) = (x.error().powi(2), y.error().powi(2));
    let error = (ex + ey).sqrt();
    let freedom = if error > 0.0 {
        (ex + ey).powi(2) / (ex.powi(2) / (x.n - 1.0) + ey.powi(2) / (y.n - 1.0))
    } else {
        x.n + y.n - 2.0
    };
    let estimate = Estimate {
        difference: y.mean - x.mean,
        error,
        freedom,
    };
    let resample = |random: &mut Random| {
        let (u, v) = (x.drawn(&a, random), y.drawn(&b, random));
        let error = (u.error().powi(2) + v.error().powi(2)).sqrt();
        (v.mean - u.mean - estimate.difference) / error
    };
    let variance = x.variance + y.variance;
    Some(estimate.tested(a.len().min(b.len()), false, variance, resample))
}

/// Which of several tests stand, if all of them together are to be wrong in 5 % of the cases at most (Holm).
pub(crate) fn holm(ps: &[f64]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|a, b| ps[*a].total_cmp(&ps[*b]));
    let mut stands = vec![false; ps.len()];
    for (rank, at) in order.into_iter().enumerate() {
        if ps[at] > ALPHA / (ps.len() - rank) as f64 {
            break;
        }
        stands[at] = true;
    }
    stands
}

/// Repeats a side for a comparison whose difference of one repeat against one has this variance.
fn needed(variance: f64) -> u32 {
    repeats(variance, WORTH_FINDING, ALPHA)
}

/// Repeats a side with which a difference of the logarithms of this size is found in nine of ten cases, where that of
/// one repeat against one has this variance, and so many false alarms are taken.
pub(crate) fn repeats(variance: f64, difference: f64, alpha: f64) -> u32 {
    let found = |n: u32| {
        let freedom = f64::from(n - 1);
        let (Some(limit), Some(power)) = (
            quantile(freedom, 1.0 - alpha / 2.0),
            quantile(freedom, POWER),
        ) else {
            return false;
        };
        (limit + power) * (variance / f64::from(n)).sqrt() <= difference
    };
    // Student's distribution is wider than the normal one, so that no fewer can do. Quantiles take long to find.
    let least = NORMAL_REACH.powi(2) * variance / difference.powi(2);
    let least = (least as u32).clamp(3, MOST_REPEATS);
    (least..MOST_REPEATS)
        .find(|n| found(*n))
        .unwrap_or(MOST_REPEATS)
}

/// Less than the sum of the normal distribution's quantiles at one side's 2.5 % and at nine of ten.
const NORMAL_REACH: f64 = 3.2;

/// The logarithm of b / a for each prompt that both have; `None` unless all repeats of both pair.
fn pairs(a: &Side, b: &Side) -> Option<Vec<f64>> {
    if a.values.len() != b.values.len() || a.prompts.len() != a.values.len() {
        return None;
    }
    let of = |number: u32, side: &Side| {
        let mut found = side
            .prompts
            .iter()
            .zip(&side.values)
            .filter(|(p, _)| **p == Some(number));
        let (_, value) = found.next()?;
        // A prompt that was measured twice pairs with none.
        (found.next().is_none() && *value > 0.0).then_some(*value)
    };
    a.prompts
        .iter()
        .map(|number| Some((of((*number)?, b)? / of((*number)?, a)?).ln()))
        .collect()
}

fn logs(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .filter(|v| **v > 0.0)
        .map(|v| v.ln())
        .collect()
}

/// Mean and the sample's variance.
#[derive(Debug, Clone, Copy)]
struct Moments {
    n: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(values: &[f64]) -> Option<Self> {
        if values.len() < 2 {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        // What equal values leave is the rounding of their sum.
        let variance = if squares / n < ROUNDING {
            0.0
        } else {
            squares / (n - 1.0)
        };
        Some(Self { n, mean, variance })
    }

    /// Those of as many values, drawn from the ones that these are of.
    fn drawn(&self, values: &[f64], random: &mut Random) -> Self {
        // Sums from the mean on, and plain ones: this is done thousands of times.
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..values.len() {
            let off = values[random.below(values.len())] - self.mean;
            sum += off;
            squares += off * off;
        }
        let off = sum / self.n;
        let squares = squares - sum * off;
        Self {
            n: self.n,
            mean: self.mean + off,
            variance: if squares / self.n < ROUNDING {
                0.0
            } else {
                squares / (self.n - 1.0)
            },
        }
    }

    /// The standard error of the mean.
    fn error(&self) -> f64 {
        (self.variance / self.n).sqrt()
    }
}

/// A variance below this is none.
const ROUNDING: f64 = 1e-24;

struct Estimate {
    difference: f64,
    error: f64,
    freedom: f64,
}

impl Estimate {
    fn tested(
        &self,
        n: usize,
        paired: bool,
        variance: f64,
        resample: impl Fn(&mut Random) -> f64,
    ) -> Tested {
        let (p, reach) = if self.error == 0.0 {
            // Repeats without any spread: whatever differs differs.
            (
                if self.difference.abs() > ROUNDING {
                    0.0
                } else {
                    1.0
                },
                0.0,
            )
        } else if n >= BOOTSTRAP_FROM {
            self.bootstrap(resample)
        } else {
            self.student()
        };
        Tested {
            ratio: self.difference.exp(),
            interval: (
                (self.difference - reach).exp(),
                (self.difference + reach).exp(),
            ),
            p,
            paired,
            needed: needed(variance),
        }
    }

    /// The probability and half the interval by Student's distribution.
    fn student(&self) -> (f64, f64) {
        let t = (self.difference / self.error).abs();
        let Ok(distribution) = StudentsT::new(0.0, 1.0, self.freedom) else {
            return (1.0, f64::INFINITY);
        };
        let p = 2.0 * (1.0 - distribution.cdf(t));
        (
            p.clamp(0.0, 1.0),
            distribution.inverse_cdf(1.0 - ALPHA / 2.0) * self.error,
        )
    }

    /// The same by the distribution of t over resamples of the repeats (bootstrap-t). The same repeats give the same.
    fn bootstrap(&self, resample: impl Fn(&mut Random) -> f64) -> (f64, f64) {
        let t = (self.difference / self.error).abs();
        let mut random = Random(SEED);
        let mut drawn: Vec<f64> = (0..RESAMPLES)
            .map(|_| resample(&mut random).abs())
            // A resample of one value over and over has no error; it is as far out as can be.
            .map(|t| if t.is_nan() { f64::INFINITY } else { t })
            .collect();
        let beyond = drawn.iter().filter(|d| **d >= t).count() as f64;
        drawn.sort_by(f64::total_cmp);
        let at = (f64::from(RESAMPLES) * (1.0 - ALPHA)) as usize;
        let reach = drawn.get(at).copied().unwrap_or(f64::INFINITY) * self.error;
        ((beyond + 1.0) / (f64::from(RESAMPLES) + 1.0), reach)
    }
}

fn quantile(freedom: f64, share: f64) -> Option<f64> {
    let distribution = StudentsT::new(0.0, 1.0, freedom).ok()?;
    Some(distribution.inverse_cdf(share))
}

/// Where the bootstrap's numbers begin; any number would do.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
