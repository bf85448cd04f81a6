//! Whether the ranks of a server meet. A rank that waits for another says nothing until its own time is up, which is
//! as long as loading may take: half an hour of silence for an address that does not answer.

use std::time::Duration;

use crate::engine::Meeting;

/// How long ranks may wait for each other. They meet within seconds where the way is open; the slowest of them may
/// still read its programs from a cold disk, and it prints lines meanwhile.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// What the logs of all ranks said of it so far.
#[derive(Debug)]
pub(super) struct Rendezvous {
    ranks: Vec<Rank>,
}

#[derive(Debug, Clone, Copy)]
struct Rank {
    /// Since when it waits.
    waits: Option<Duration>,
    met: bool,
    /// When it printed its last line.
    spoke: Duration,
}

impl Rendezvous {
    /// So many ranks, started at `now`.
    pub(super) fn new(ranks: usize, now: Duration) -> Self {
        let rank = Rank {
            waits: None,
            met: false,
            spoke: now,
        };
        Self {
            ranks: vec![rank; ranks],
        }
    }

    /// A rank printed a line that says this of the meeting.
    pub(super) fn heard(&mut self, rank: usize, meeting: Option<Meeting>, now: Duration) {
        let Some(rank) = self.ranks.get_mut(rank) else {
            return;
        };
        rank.spoke = now;
        match meeting {
            Some(Meeting::Waits) => rank.waits = rank.waits.or(Some(now)),
            Some(Meeting::Met) => rank.met = true,
            None => {}
        }
    }

    /// Whether they will not meet: one has waited for its whole time, and each other one waits as long or is silent
    /// as long.
    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        let long = |since: Duration| now.saturating_sub(since) >= PATIENCE;
        self.ranks.len() > 1
            && self.ranks.iter().all(|r| !r.met)
            && self.ranks.iter().any(|r| r.waits.is_some_and(long))
            && self.ranks.iter().all(|r| long(r.waits.unwrap_or(r.spoke)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(events: &[(usize, Option<Meeting>, u64)], now: u64) -> bool {
        let mut ranks = Rendezvous::new(2, Duration::ZERO);
        for &(rank, meeting, at) in events {
            ranks.heard(rank, meeting, Duration::from_secs(at));
        }
        ranks.is_overdue(Duration::from_secs(now))
    }

    #[test]
    fn two_that_wait_for_each_other_in_vain_are_given_up() {
        let both = [(0, Some(Meeting::Waits), 40), (1, Some(Meeting::Waits), 50)];
        assert!(!after(&both, 169));
        assert!(after(&both, 170));
        let warns = [both[0], both[1], (1, None, 165)];
        assert!(after(&warns, 170), "it says only that it tries again");
    }

    #[test]
    fn one_that_waits_for_a_silent_one_is_given_up_and_for_a_busy_one_is_not() {
        let one = (0, Some(Meeting::Waits), 40);
        assert!(after(&[one, (1, None, 10)], 160));
        assert!(
            !after(&[one, (1, None, 100)], 160),
            "it still reads its programs"
        );
        assert!(!after(&[(1, None, 0)], 1_000), "nobody waits yet");
    }

    #[test]
    fn ranks_that_met_may_load_as_long_as_they_need() {
        let met = [
            (0, Some(Meeting::Waits), 40),
            (1, Some(Meeting::Waits), 41),
            (0, Some(Meeting::Met), 44),
        ];
        assert!(!after(&met, 1_000));
        let mut alone = Rendezvous::new(1, Duration::ZERO);
        alone.heard(0, Some(Meeting::Waits), Duration::ZERO);
        assert!(!alone.is_overdue(Duration::from_secs(1_000)));
    }
}
