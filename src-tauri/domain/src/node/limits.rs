//! How much of the line a fetch may take, and at which hours of the day.

use serde::{Deserialize, Serialize};

use crate::problem::{Code, Problem};
use crate::run::PauseReason;

/// The least rate that a fetch can be limited to, in bytes a second. Below it a single answer of the Hub takes
/// longer than a line may stay silent.
pub const LEAST_RATE: u64 = 16 << 10;

/// Minutes of a day.
const DAY: u32 = 24 * 60;

/// The limits of a fetch. They can be changed while it runs: `tandem-node limit --job NAME` reads it from
/// stdin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(default)]
pub struct FetchLimits {
    /// Bytes a second over all connections; `None` takes as much as there is.
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub bytes_per_second: Option<u64>,
    /// Nothing is fetched until this is taken back.
    pub paused: bool,
    /// The hours in which it fetches; `None` is around the clock.
    pub hours: Option<FetchHours>,
    /// Nothing comes through Xet, see [`crate::node::xet`]. It counts from the next start of a fetch on.
    pub ranges_only: bool,
}

/// A stretch of the day in the machine's local time, which may go over midnight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct FetchHours {
    /// From then on, as `23:00`.
    pub from: String,
    /// Until then, as `07:00`.
    pub to: String,
}

/// Whether bytes may flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// They may.
    Open,
    /// Somebody paused it.
    Paused,
    /// It waits for its hours.
    Until {
        /// When they begin, as `23:00`.
        opens: String,
        /// Minutes until then.
        minutes: u32,
    },
}

impl Flow {
    /// What is waited for; `None` where bytes may flow.
    pub fn held(&self) -> Option<PauseReason> {
        match self {
            Self::Open => None,
            Self::Paused => Some(PauseReason::Paused),
            Self::Until { opens, .. } => Some(PauseReason::Until {
                opens: opens.clone(),
            }),
        }
    }
}

impl FetchLimits {
    /// Refuses limits that cannot be kept.
    pub fn check(&self) -> Result<(), Problem> {
        let bad = |cause: String, fix: &str| {
            Err(
                Problem::new(Code::BadInput, "The limits of the download cannot be used.")
                    .cause(cause)
                    .fix(fix),
            )
        };
        if let Some(rate) = self.bytes_per_second.filter(|r| *r < LEAST_RATE) {
            return bad(
                format!("{rate} bytes a second is less than the {LEAST_RATE} that are needed."),
                "Give a higher rate, or pause the download.",
            );
        }
        if let Some(hours) = &self.hours
            && hours.minutes().is_none()
        {
            return bad(
                format!("The hours are given as “{}” to “{}”.", hours.from, hours.to),
                "Give two different times of the day, such as 23:00 and 07:00.",
            );
        }
        Ok(())
    }

    /// Whether bytes may flow at a minute of the day. Where the time is not known, hours do not hold
    /// anything back: a download that never begins is worse than one at noon.
    pub fn flow(&self, minute: Option<u32>) -> Flow {
        if self.paused {
            return Flow::Paused;
        }
        let hours = self.hours.as_ref().and_then(|h| Some((h, h.minutes()?)));
        let (Some((hours, (from, to))), Some(now)) = (hours, minute) else {
            return Flow::Open;
        };
        let since = |start: u32| (now % DAY + DAY - start) % DAY;
        if since(from) < (to + DAY - from) % DAY {
            Flow::Open
        } else {
            Flow::Until {
                opens: hours.from.clone(),
                minutes: (from + DAY - now % DAY) % DAY,
            }
        }
    }
}

impl FetchHours {
    /// Both as minutes of the day; `None` where they are no two times.
    fn minutes(&self) -> Option<(u32, u32)> {
        let (from, to) = (minute_of(&self.from)?, minute_of(&self.to)?);
        (from != to).then_some((from, to))
    }
}

/// The minute of the day that `HH:MM` names.
pub fn minute_of(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |t: &str| (t.len() == 2).then(|| t.parse::<u32>().ok()).flatten();
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_night() -> FetchLimits {
        FetchLimits {
            hours: Some(FetchHours {
                from: "23:00".into(),
                to: "07:00".into(),
            }),
            ..FetchLimits::default()
        }
    }

    #[test]
    fn hours_over_midnight_open_and_close_at_their_minute() {
        let flow = |text| at_night().flow(minute_of(text));
        for open in ["23:00", "23:59", "00:00", "06:59"] {
            assert_eq!(flow(open), Flow::Open, "{open}");
        }
        for (closed, minutes) in [("07:00", 960), ("12:00", 660), ("22:59", 1)] {
            let opens = "23:00".into();
            assert_eq!(flow(closed), Flow::Until { opens, minutes }, "{closed}");
        }
    }

    #[test]
    fn hours_within_a_day_are_the_other_way_round() {
        let limits = FetchLimits {
            hours: Some(FetchHours {
                from: "09:30".into(),
                to: "17:00".into(),
            }),
            ..FetchLimits::default()
        };
        assert_eq!(limits.flow(minute_of("09:30")), Flow::Open);
        assert_eq!(limits.flow(minute_of("16:59")), Flow::Open);
        assert_eq!(
            limits.flow(minute_of("17:00")),
            Flow::Until {
                opens: "09:30".into(),
                minutes: 990
            }
        );
    }

    #[test]
    fn a_pause_comes_before_hours_and_an_unknown_time_holds_nothing_back() {
        let mut limits = at_night();
        assert_eq!(limits.flow(None), Flow::Open);
        limits.paused = true;
        assert_eq!(limits.flow(minute_of("23:30")), Flow::Paused);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        assert!(at_night().check().is_ok());
        assert!(FetchLimits::default().check().is_ok());
        let rate = |bytes_per_second| FetchLimits {
            bytes_per_second,
            ..FetchLimits::default()
        };
        assert!(rate(Some(LEAST_RATE)).check().is_ok());
        assert!(rate(Some(0)).check().is_err());
        for (from, to) in [
            ("7:00", "08:00"),
            ("24:00", "08:00"),
            ("08:00", "08:00"),
            ("", ""),
        ] {
            let limits = FetchLimits {
                hours: Some(FetchHours {
                    from: from.into(),
                    to: to.into(),
                }),
                ..FetchLimits::default()
            };
            let problem = limits.check().unwrap_err();
            assert!(problem.fix.is_some(), "{from} to {to}");
        }
    }

    #[test]
    fn limits_of_an_older_app_are_none() {
        let limits: FetchLimits = serde_json::from_str("{}").unwrap();
        assert_eq!(limits, FetchLimits::default());
    }
}
