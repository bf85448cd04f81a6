//! A rate kept over many connections: each says what it took, and hears how long to wait.

use std::time::Duration;

/// What may come at once after a while of nothing, as a part of a second of the rate.
const BURST: f64 = 0.25;

/// Tokens are bytes. It may go into debt, and whoever makes the debt waits until it is paid.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    level: f64,
    at: Duration,
}

impl Bucket {
    /// Takes `n` bytes at the time `now`, counted from any moment, and says how long to wait before more
    /// may be taken. `rate` is in bytes a second and may differ from call to call.
    pub(super) fn take(&mut self, rate: u64, now: Duration, n: u64) -> Duration {
        let rate = rate.max(1) as f64;
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.level = (self.level + rate * passed).min(rate * BURST) - n as f64;
        if self.level >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-self.level / rate)
        }
    }

    /// Forgets debt and savings, at the time `now`.
    pub(super) fn clear(&mut self, now: Duration) {
        *self = Self {
            level: 0.0,
            at: now,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets eight connections take pieces as fast as they are allowed, on a clock of its own, and gives
    /// the bytes of all of them up to `end`.
    fn taken(bucket: &mut Bucket, rate: u64, piece: u64, begin: Duration, end: Duration) -> u64 {
        let mut next = [begin; 8];
        let mut sum = 0;
        loop {
            let (who, now) = next
                .iter()
                .copied()
                .enumerate()
                .min_by_key(|(_, t)| *t)
                .expect("there are eight");
            if now >= end {
                return sum;
            }
            sum += piece;
            // The line itself is a hundred times faster than the limit.
            let line = Duration::from_secs_f64(piece as f64 / (rate as f64 * 100.0));
            next[who] = now + bucket.take(rate, now, piece).max(line);
        }
    }

    #[test]
    fn eight_connections_together_take_the_rate_and_not_more() {
        for (rate, piece) in [
            (16 << 10, 8 << 10),
            (1 << 20, 64 << 10),
            (100 << 20, 400 << 10),
        ] {
            let seconds = 60;
            let mut bucket = Bucket::default();
            let end = Duration::from_secs(seconds);
            let sum = taken(&mut bucket, rate, piece, Duration::ZERO, end);
            let most = rate * seconds + rate / 4 + 8 * piece;
            assert!(sum <= most, "{sum} of at most {most} at {rate}");
            assert!(
                sum as f64 >= 0.98 * (rate * seconds) as f64,
                "{sum} at {rate}"
            );
        }
    }

    #[test]
    fn another_rate_holds_from_the_moment_it_is_given() {
        let mut bucket = Bucket::default();
        let (ten, twenty) = (Duration::from_secs(10), Duration::from_secs(20));
        let slow = taken(&mut bucket, 1 << 20, 64 << 10, Duration::ZERO, ten);
        let fast = taken(&mut bucket, 8 << 20, 64 << 10, ten, twenty);
        assert!(slow <= (11 << 20) && fast >= (78 << 20), "{slow}, {fast}");
        assert!(fast <= (84 << 20), "{fast}");
    }

    #[test]
    fn a_long_wait_saves_up_no_more_than_a_moment() {
        let mut bucket = Bucket::default();
        let day = Duration::from_secs(86_400);
        assert_eq!(bucket.take(1000, day, 250), Duration::ZERO);
        assert!(bucket.take(1000, day, 500) >= Duration::from_millis(499));
    }
}
