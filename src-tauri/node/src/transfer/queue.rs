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

/// What is to be fetched of each target, in order of place. Segments are cut off its front one by one: a list of
/// all of them would be as long as a file is told to be.
pub(super) struct SegmentQueue {
    lanes: Vec<VecDeque<Segment>>,
    /// Bytes of a segment at most.
    segment: u64,
    turn: usize,
}

impl SegmentQueue {
    /// With nothing to fetch, in segments of this many bytes.
    pub(super) fn new(targets: usize, segment: u64) -> Self {
        Self {
            lanes: vec![VecDeque::new(); targets],
            segment,
            turn: 0,
        }
    }

    /// Adds a stretch after those of its target.
    pub(super) fn push(&mut self, target: usize, stretch: Segment) {
        if stretch.from < stretch.to {
            self.lanes[target].push_back(stretch);
        }
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
        let lane = &mut self.lanes[lane];
        let stretch = lane.front_mut()?;
        let mut taken = *stretch;
        if stretch.to - stretch.from > self.segment {
            taken.to = stretch.from + self.segment;
            stretch.from = taken.to;
        } else {
            lane.pop_front();
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_fill_from_their_first_byte_and_the_third_waits() {
        let mut lanes = SegmentQueue::new(4, 1);
        for piece in [0, 2, 3] {
            lanes.push(
                piece,
                Segment {
                    piece,
                    from: 0,
                    to: 3,
                },
            );
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

    #[test]
    fn a_file_of_any_length_costs_the_queue_nothing() {
        let mut lanes = SegmentQueue::new(1, 1 << 20);
        let to = u64::MAX;
        lanes.push(
            0,
            Segment {
                piece: 0,
                from: 0,
                to,
            },
        );
        for n in 0..3 {
            let taken = lanes.next().unwrap();
            assert_eq!((taken.from, taken.to), (n << 20, (n + 1) << 20));
        }
        assert_eq!(lanes.lanes[0].len(), 1);
    }
}
