//! What is still to be fetched, in the order in which it is.

use std::collections::VecDeque;

/// Files under way at once. One alone would leave its hash to one core, which a fast line outruns; many
/// would all be finished late, and what is finished can be copied on.
const AT_ONCE: usize = 2;

/// A segment of a piece, in the target's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) piece: usize,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The segments of each target, in order of place.
pub(super) struct SegmentQueue {
    lanes: Vec<VecDeque<Segment>>,
    turn: usize,
}

impl SegmentQueue {
    /// Without any segment.
    pub(super) fn new(targets: usize) -> Self {
        Self {
            lanes: vec![VecDeque::new(); targets],
            turn: 0,
        }
    }

    /// Adds a segment after those of its target.
    pub(super) fn push(&mut self, target: usize, segment: Segment) {
        self.lanes[target].push_back(segment);
    }

    /// Takes the next one: of the first few targets that have any, in turns.
    pub(super) fn next(&mut self) -> Option<Segment> {
        let mut busy = (0..self.lanes.len()).filter(|i| !self.lanes[*i].is_empty());
        let (first, second) = (busy.next()?, busy.next());
        drop(busy);
        self.turn = (self.turn + 1) % AT_ONCE;
        let lane = match second {
            Some(second) if self.turn == 0 => second,
            _ => first,
        };
        self.lanes[lane].pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_fill_from_their_first_byte_and_the_third_waits() {
        let mut lanes = SegmentQueue::new(4);
        for piece in [0, 2, 3] {
            for from in 0..3 {
                let to = from + 1;
                lanes.push(piece, Segment { piece, from, to });
            }
        }
        let order: Vec<(usize, u64)> =
            std::iter::from_fn(|| lanes.next().map(|s| (s.piece, s.from))).collect();
        let of = |piece| -> Vec<u64> {
            let mine = order.iter().filter(|s| s.0 == piece);
            mine.map(|s| s.1).collect()
        };
        for piece in [0, 2, 3] {
            assert_eq!(of(piece), [0, 1, 2], "in order of place");
        }
        assert!(
            order[..4].iter().all(|s| s.0 != 3),
            "two at once: {order:?}"
        );
        assert!(
            order[..2].iter().any(|s| s.0 == 2),
            "two at once: {order:?}"
        );
        assert_eq!(order.len(), 9);
    }
}
