//! Whether a server worked for the measurement alone, by its own counters; and how long its silence is patience's.

use crate::bench::Doubt;
use crate::engine::metrics::ServerLoad;

/// Counters may differ from answers by this share: a scrape may fall between two tokens.
const SHARE: f64 = 0.1;

/// Tokens by which they may differ whatever the size.
const LEAST: f64 = 16.0;

/// Prompt tokens per second of the slowest machine that is waited for.
const SLOWEST_PROMPT: u64 = 50;

/// What the measurement itself asked of the server between two scrapes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Own {
    /// Requests that were answered.
    pub(crate) requests: u32,
    /// Tokens that their answers count.
    pub(crate) generated: u32,
}

/// Requests that run and that wait, besides `own` of the measurement; `None` if there are none or the server does not say.
pub(crate) fn others(load: &ServerLoad, own: u32) -> Option<(u32, u32)> {
    let count = |value: Option<f64>| value.unwrap_or_default().max(0.0) as u32;
    let (running, waiting) = (count(load.running), count(load.waiting));
    let besides = (running + waiting).saturating_sub(own);
    (besides > 0).then(|| {
        let waiting = waiting.min(besides);
        (besides - waiting, waiting)
    })
}

/// Holds what the answers count against what the server's counters grew by.
///
/// Counters that did not move at all, or that went back since the server was started anew, say nothing.
pub(crate) fn judge(before: &ServerLoad, after: &ServerLoad, own: Own) -> Result<(), Doubt> {
    let grown = |counter: fn(&ServerLoad) -> Option<f64>| {
        Some(counter(after)? - counter(before)?).filter(|n| *n > 0.0)
    };
    let requests = grown(|l| l.finished).unwrap_or_default();
    let own_tokens = f64::from(own.generated);
    let tokens = grown(|l| l.generated_tokens);
    let more_tokens = tokens.unwrap_or_default() - own_tokens;
    let more_requests = requests - f64::from(own.requests);
    if more_requests >= 1.0 || more_tokens > own_tokens * SHARE + LEAST {
        return Err(Doubt::Others {
            requests: more_requests.max(1.0) as u32,
            tokens: more_tokens.max(0.0) as u32,
        });
    }
    match tokens {
        Some(counted) if counted < own_tokens * (1.0 - SHARE) - LEAST.min(own_tokens * SHARE) => {
            Err(Doubt::Counters {
                counted: own.generated,
                counters: counted as u32,
            })
        }
        _ => Ok(()),
    }
}

/// Seconds after which a silent server is given up whatever it says: the longer, the longer its prompt.
pub(crate) fn longest_silence(patience_s: u64, prompt_tokens: u32) -> u64 {
    patience_s + u64::from(prompt_tokens) / SLOWEST_PROMPT
}

/// The silence of one server, as seen every second.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    since_s: f64,
    heard: u32,
    counters: Option<(f64, f64)>,
}

impl Silence {
    /// Whether the server is to be given up at `now_s`, in seconds since the request, with its silence in seconds.
    ///
    /// A chunk and a counter that moves end the silence. Over `patience_s` it is waited as long as the server says that
    /// it works, or says nothing of it, and never longer than `longest_s`.
    pub(crate) fn gives_up(
        &mut self,
        now_s: f64,
        heard: u32,
        load: Option<&ServerLoad>,
        (patience_s, longest_s): (u64, u64),
    ) -> Option<u64> {
        let counters = load.map(|l| {
            let of = |value: Option<f64>| value.unwrap_or_default();
            (of(l.prompt_tokens), of(l.generated_tokens))
        });
        let moved = counters.is_some() && self.counters.is_some() && counters != self.counters;
        if heard != self.heard || moved {
            self.since_s = now_s;
        }
        self.heard = heard;
        self.counters = counters.or(self.counters);
        let silent = (now_s - self.since_s).max(0.0) as u64;
        let idle =
            load.is_some_and(|l| l.running == Some(0.0) && l.waiting.unwrap_or_default() <= 0.0);
        let limit = if idle { patience_s } else { longest_s };
        (silent >= limit).then_some(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(running: f64, finished: f64, generated: f64) -> ServerLoad {
        ServerLoad {
            running: Some(running),
            waiting: Some(0.0),
            prompt_tokens: Some(0.0),
            generated_tokens: Some(generated),
            finished: Some(finished),
        }
    }

    #[test]
    fn who_else_is_there_is_counted_without_oneself() {
        assert_eq!(others(&ServerLoad::default(), 0), None, "it does not say");
        assert_eq!(others(&load(1.0, 0.0, 0.0), 1), None);
        assert_eq!(others(&load(3.0, 0.0, 0.0), 1), Some((2, 0)));
        let waits = ServerLoad {
            waiting: Some(1.0),
            ..load(3.0, 0.0, 0.0)
        };
        assert_eq!(others(&waits, 0), Some((3, 1)));
        assert_eq!(others(&waits, 3), Some((0, 1)));
    }

    #[test]
    fn counters_tell_of_others_and_of_wrong_counts() {
        let own = Own {
            requests: 1,
            generated: 64,
        };
        let before = load(0.0, 7.0, 1000.0);
        for (finished, generated, right) in [
            (8.0, 1064.0, true),
            (8.0, 1063.0, true),
            (7.0, 1000.0, true),
            (0.0, 64.0, true),
        ] {
            let judged = judge(&before, &load(0.0, finished, generated), own);
            assert_eq!(judged.is_ok(), right, "{finished} {generated}");
        }
        let besides = judge(&before, &load(0.0, 10.0, 1064.0), own);
        assert_eq!(
            besides,
            Err(Doubt::Others {
                requests: 2,
                tokens: 0
            })
        );
        assert_eq!(
            judge(&before, &load(1.0, 8.0, 1300.0), own),
            Err(Doubt::Others {
                requests: 1,
                tokens: 236
            }),
            "one is not finished yet"
        );
        let tenfold = Own {
            requests: 1,
            generated: 640,
        };
        assert_eq!(
            judge(&before, &load(0.0, 8.0, 1064.0), tenfold),
            Err(Doubt::Counters {
                counted: 640,
                counters: 64
            })
        );
    }

    #[test]
    fn patience_grows_with_the_prompt_and_ends_where_nothing_works() {
        let longest = longest_silence(120, 131_072);
        assert!(longest > 1000, "{longest}");
        let works = load(1.0, 0.0, 0.0);
        let mut silence = Silence::default();
        for second in 1..1000 {
            let given_up = silence.gives_up(f64::from(second), 0, Some(&works), (120, longest));
            assert_eq!(given_up, None, "it reads for {second} s");
        }
        let mut silence = Silence::default();
        assert_eq!(
            silence.gives_up(119.0, 0, Some(&load(0.0, 0.0, 0.0)), (120, longest)),
            None
        );
        assert_eq!(
            silence.gives_up(120.0, 0, Some(&load(0.0, 0.0, 0.0)), (120, longest)),
            Some(120),
            "nothing runs there any more"
        );
        let mut silence = Silence::default();
        assert_eq!(
            silence.gives_up(100.0, 0, Some(&load(0.0, 0.0, 1.0)), (120, 130)),
            None
        );
        assert_eq!(
            silence.gives_up(129.0, 0, Some(&load(0.0, 0.0, 2.0)), (120, 130)),
            None
        );
        assert_eq!(
            silence.gives_up(200.0, 0, None, (120, 130)),
            None,
            "a counter moved at 129 s"
        );
        assert_eq!(silence.gives_up(259.0, 0, None, (120, 130)), Some(130));
        assert_eq!(
            silence.gives_up(260.0, 1, None, (120, 130)),
            None,
            "words came"
        );
    }
}
