//! The most tokens in a second.

/// Seconds of the window in which the most tokens are looked for.
const WINDOW_S: f64 = 1.0;

/// A hair less than a window, so that the tokens at both its ends are not of one second.
const EDGE_S: f64 = 1e-9;

/// Tokens that came at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moment {
    /// Seconds since the request.
    pub(crate) at: f64,
    /// Seconds since the request of the last chunk that counts as this moment.
    pub(crate) end: f64,
    /// Tokens; a part of one where they are spread over chunks.
    pub(crate) tokens: f64,
}

/// The most tokens in any second, of the times of all; over all the time where that is shorter.
pub(crate) fn most_in_a_second(times: &[f64]) -> f64 {
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return 0.0;
    };
    let span = last - first;
    if span < WINDOW_S {
        let total = times.len() as f64;
        return if span > 0.0 { total / span } else { 0.0 };
    }
    let (mut from, mut most) = (0, 0);
    for (to, time) in times.iter().enumerate() {
        while time - times[from] >= WINDOW_S - EDGE_S {
            from += 1;
        }
        most = most.max(to + 1 - from);
    }
    most as f64
}

/// The time of each token. Those of one chunk are spread evenly over the time since the chunk before, as llama-benchy does;
/// parts of a token are carried over to the next moment.
pub(crate) fn token_times(moments: &[Moment]) -> Vec<f64> {
    let mut times = Vec::new();
    let (mut before, mut carried) = (None, 0.0);
    for moment in moments {
        carried += moment.tokens;
        let whole = (carried + EDGE_S).floor();
        carried -= whole;
        let from = before.unwrap_or(moment.at);
        let count = whole as usize;
        times.extend((1..=count).map(|n| from + (moment.at - from) * n as f64 / whole));
        before = Some(moment.at);
    }
    times
}
