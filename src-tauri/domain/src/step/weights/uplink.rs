//! Whether two machines together get more from the Hub than one alone: read from what both said while they
//! read from it, first one, then both, then the other.
//!
//! Where the household's line is the bottleneck it does not matter who uses it. Where each machine's own way
//! is, by Wi-Fi, a slow port or an uplink of its own, two of them bring a model in half the time.

use crate::node::Share;
use crate::problem::bytes;

/// Together the machines have to get so many times what the better one gets alone. Less is the noise of
/// a measurement of a few seconds, and not worth a second machine on the line.
const CLEARLY: f64 = 1.3;
/// What connections need to come to speed, or to take what another left, in seconds.
const SETTLE: f64 = 0.5;
/// A rate over less than this many seconds tells nothing.
const LEAST: f64 = 0.5;
/// The smallest part of a machine, of 100.
const LEAST_PART: f64 = 5.0;

/// How many bytes a machine had read at a moment, in seconds on a clock that both share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    pub at: f64,
    pub bytes: u64,
}

/// What the two machines get from the Hub, head first, in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Uplink {
    /// Each while the other is silent.
    pub alone: [f64; 2],
    /// Both at the same time.
    pub together: [f64; 2],
}

impl Uplink {
    /// Reads it from what both said; `None` where they did not read long enough alone and together.
    pub(super) fn of(head: &[Sample], other: &[Sample]) -> Option<Self> {
        let grows = |pair: &[Sample]| pair[0].at <= pair[1].at && pair[0].bytes <= pair[1].bytes;
        if ![head, other].iter().all(|s| s.windows(2).all(grows)) {
            return None;
        }
        let span = |samples: &[Sample]| Some((samples.first()?.at, samples.last()?.at));
        let ((head_from, head_to), (other_from, other_to)) = (span(head)?, span(other)?);
        let both = (other_from + SETTLE, head_to.min(other_to));
        Some(Self {
            alone: [
                rate(head, head_from + SETTLE, other_from)?,
                rate(other, head_to + SETTLE, other_to)?,
            ],
            together: [rate(head, both.0, both.1)?, rate(other, both.0, both.1)?],
        })
    }

    /// What the better one gets alone.
    fn best(&self) -> f64 {
        self.alone[0].max(self.alone[1])
    }

    /// The one to fetch where only one does: the head, unless the other gets clearly more.
    pub(super) fn better(&self) -> usize {
        usize::from(self.alone[1] >= CLEARLY * self.alone[0])
    }

    /// How the bytes are divided where that pays. A rate that the person allows is for both together,
    /// whichever fetches.
    pub(super) fn parts(&self, allowed: Option<u64>) -> Option<Vec<u32>> {
        let allowed = allowed.map_or(f64::INFINITY, |rate| rate as f64);
        let sum = self.together[0] + self.together[1];
        if sum <= 0.0 || sum.min(allowed) < CLEARLY * self.best().min(allowed) {
            return None;
        }
        let head = 100.0 * self.together[0] / sum;
        let head = head.clamp(LEAST_PART, 100.0 - LEAST_PART).round() as u32;
        Some(vec![head, 100 - head])
    }

    /// The figures, as the beginning of a sentence.
    pub(super) fn says(&self, names: &[&str]) -> String {
        let rate = |rate: f64| format!("{}/s", bytes(rate as u64));
        let name = |i: usize| names.get(i).copied().unwrap_or_default();
        format!(
            "From the Hub both machines together get {}, `{}` alone {} and `{}` alone {}",
            rate(self.together[0] + self.together[1]),
            name(0),
            rate(self.alone[0]),
            name(1),
            rate(self.alone[1]),
        )
    }
}

/// The share of each machine.
pub(super) fn shares(parts: &[u32]) -> Vec<Share> {
    let share = |mine| Share {
        parts: parts.to_vec(),
        mine,
    };
    (0..parts.len()).map(share).collect()
}

/// Bytes a second between two moments.
fn rate(samples: &[Sample], from: f64, to: f64) -> Option<f64> {
    if to - from < LEAST {
        return None;
    }
    Some((at(samples, to)? - at(samples, from)?) / (to - from))
}

/// Bytes at a moment between two samples; what came between them came evenly.
fn at(samples: &[Sample], moment: f64) -> Option<f64> {
    let after = samples.iter().position(|s| s.at >= moment)?;
    let (b, a) = (samples[after], samples[after.saturating_sub(1)]);
    if b.at <= a.at {
        return Some(b.bytes as f64);
    }
    let way = ((moment - a.at) / (b.at - a.at)).clamp(0.0, 1.0);
    Some(a.bytes as f64 + way * (b.bytes as f64 - a.bytes as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four seconds of reading from `from` on, at 30 MB/s, or at `shared` while the other reads too.
    fn read(from: f64, other: f64, alone: f64, shared: f64) -> Vec<Sample> {
        let mut bytes = 0.0;
        (0..=40)
            .map(|n| {
                let at = from + f64::from(n) / 10.0;
                let busy = at > other && at <= other + 4.0;
                bytes += if n == 0 { 1.0 } else { 0.1e6 } * if busy { shared } else { alone };
                Sample {
                    at,
                    bytes: bytes as u64,
                }
            })
            .collect()
    }

    fn line(alone: [f64; 2], together: [f64; 2]) -> Uplink {
        let mega = |r: [f64; 2]| r.map(|r| r * 1e6);
        Uplink {
            alone: mega(alone),
            together: mega(together),
        }
    }

    #[test]
    fn what_both_said_gives_the_three_rates() {
        let head = read(10.0, 11.5, 30.0, 16.0);
        let other = read(11.5, 10.0, 32.0, 15.0);
        let line = Uplink::of(&head, &other).unwrap();
        let near = |found: f64, is: f64| (found / 1e6 - is).abs() < 0.5;
        assert!(
            near(line.alone[0], 30.0) && near(line.alone[1], 32.0),
            "{line:?}"
        );
        assert!(
            near(line.together[0], 16.0) && near(line.together[1], 15.0),
            "{line:?}"
        );
        assert_eq!(line.parts(None), None, "the line is what both share");
    }

    #[test]
    fn a_measurement_that_does_not_overlap_long_enough_tells_nothing() {
        let head = read(10.0, 99.0, 30.0, 30.0);
        for from in [10.2, 13.5, 15.0] {
            let other = read(from, 99.0, 30.0, 30.0);
            assert_eq!(Uplink::of(&head, &other), None, "{from}");
        }
        assert_eq!(Uplink::of(&head, &[]), None);
        let other = read(11.5, 99.0, 30.0, 30.0);
        assert!(Uplink::of(&head, &other).is_some());
        // A clock that was set, and a counter that began again.
        let mut turned = head.clone();
        turned[20].at -= 5.0;
        assert_eq!(Uplink::of(&turned, &other), None);
        let mut turned = head;
        turned[20].bytes = 1;
        assert_eq!(Uplink::of(&turned, &other), None);
    }

    #[test]
    fn halves_pay_where_both_together_get_clearly_more() {
        assert_eq!(
            line([33.0, 31.0], [31.0, 30.0]).parts(None),
            Some(vec![51, 49])
        );
        assert_eq!(line([33.0, 31.0], [20.0, 20.0]).parts(None), None);
        assert_eq!(
            line([70.0, 30.0], [70.0, 30.0]).parts(None),
            Some(vec![70, 30])
        );
        // A second machine that brings next to nothing is not worth a part.
        assert_eq!(line([100.0, 20.0], [100.0, 20.0]).parts(None), None);
        let one = line([1.0, 100.0], [40.0, 100.0]);
        assert_eq!(one.parts(None).map(|p| p.iter().sum()), Some(100));
        assert_eq!(line([0.0, 0.0], [0.5, 40.0]).parts(None), Some(vec![5, 95]));
    }

    #[test]
    fn what_one_alone_may_take_is_not_divided() {
        let wide = line([33.0, 31.0], [33.0, 31.0]);
        assert_eq!(wide.parts(Some(20_000_000)), None);
        assert_eq!(wide.parts(Some(35_000_000)), None, "35 are not 1.3 x 33");
        assert_eq!(wide.parts(Some(60_000_000)), Some(vec![52, 48]));
    }

    #[test]
    fn the_one_with_the_clearly_better_way_fetches_alone() {
        assert_eq!(line([33.0, 31.0], [16.0, 16.0]).better(), 0);
        assert_eq!(line([30.0, 35.0], [16.0, 16.0]).better(), 0);
        assert_eq!(line([10.0, 35.0], [5.0, 30.0]).better(), 1);
    }

    #[test]
    fn nothing_read_pays_nothing() {
        // Both zero: 0 ≥ 1.3 × 0 would divide by nothing.
        let none = line([0.0, 0.0], [0.0, 0.0]);
        assert_eq!(none.parts(None), None);
    }
}
