//! Refusals and faults of the Hub, told apart by what can be done about them.

use std::error::Error;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use super::Asked;
use crate::hub_error::HubError;

/// The longest time to wait that a Hub is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// Why a question had no good answer.
#[derive(Debug)]
pub enum Fault {
    /// It may pass.
    Again {
        /// What happened, as part of a sentence.
        why: String,
        /// How long the Hub asks to wait.
        after: Option<Duration>,
    },
    /// A signed address is no longer good; ask the Hub for another.
    Expired {
        /// What happened.
        why: String,
    },
    /// It will not pass.
    Fatal(Box<HubError>),
}

impl From<HubError> for Fault {
    fn from(error: HubError) -> Self {
        Self::Fatal(Box::new(error))
    }
}

impl Fault {
    /// A connection that failed before or during an answer.
    pub fn of_transport(error: &reqwest::Error) -> Self {
        // The innermost error says what happened; an address in the outer ones may be signed.
        let mut source: &dyn Error = error;
        while let Some(inner) = source.source() {
            source = inner;
        }
        let said = source.to_string();
        if said.contains("certificate") {
            return HubError::Certificate { said }.into();
        }
        let what = if error.is_timeout() {
            "it took too long to answer"
        } else if error.is_connect() {
            "no connection could be made"
        } else {
            "the connection was lost"
        };
        Self::Again {
            why: format!("{what} ({source})"),
            after: None,
        }
    }

    /// An answer that is not the one hoped for.
    pub(super) fn of_response(response: &Response, asked: Asked<'_>, token: bool) -> Self {
        Self::of_headers(response.status(), response.headers(), None, asked, token)
    }

    pub(super) fn of_headers(
        status: StatusCode,
        headers: &HeaderMap,
        said: Option<String>,
        asked: Asked<'_>,
        token: bool,
    ) -> Self {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        of_status(
            status,
            text("x-error-code"),
            text("x-error-message").map(short).or(said).as_deref(),
            retry_after(headers),
            asked,
            token,
        )
    }
}

/// What a Hub says, as far as people read it.
pub(super) fn short(said: &str) -> String {
    let shown = said.chars().filter(|c| !c.is_control());
    shown.take(300).collect()
}

/// How long the Hub asks to wait: `Retry-After` in seconds or as a date, else what is left of the window
/// in `RateLimit`. A date is held against the answer's own, since this machine's clock may be wrong.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let seconds = match text("retry-after") {
        Some(told) => match told.trim().parse().ok() {
            Some(seconds) => Some(seconds),
            None => Some(seconds_of(told)?.saturating_sub(seconds_of(text("date")?)?)),
        },
        None => window(text("ratelimit")?),
    };
    seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// The `t=` of `"api";r=0;t=55`, where nothing is left to ask for.
fn window(limit: &str) -> Option<u64> {
    let part = |name: &str| {
        let mut parts = limit.split(';').map(str::trim);
        parts.find_map(|p| p.strip_prefix(name)?.parse::<u64>().ok())
    };
    (part("r=") == Some(0)).then(|| part("t=")).flatten()
}

/// A date as HTTP writes it, `Sun, 06 Nov 1994 08:49:37 GMT`, in seconds since 1970.
fn seconds_of(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = date.trim().split_once(", ")?;
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts.as_slice() else {
        return None;
    };
    let month = MONTHS.iter().position(|m| m == month)? as u64 + 1;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u64> = time.split(':').filter_map(|t| t.parse().ok()).collect();
    let [hour, minute, second] = clock.as_slice() else {
        return None;
    };
    let is_a_time = *hour < 24 && *minute < 60 && *second <= 60;
    if !((1970..10_000).contains(&year) && (1..=31).contains(&day) && is_a_time) {
        return None;
    }
    // Years that begin in March have the leap day at their end.
    let (years, months) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let days = 365 * years + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day;
    // 719 469 days lie between that count's beginning and the first day of 1970.
    Some(((days.checked_sub(719_469)? * 24 + hour) * 60 + minute) * 60 + second)
}

fn of_status(
    status: StatusCode,
    code: Option<&str>,
    message: Option<&str>,
    after: Option<Duration>,
    asked: Asked<'_>,
    token: bool,
) -> Fault {
    let said = message.unwrap_or_default();
    let answer = || match message {
        Some(text) => format!("the Hub answered {} ({text})", status.as_u16()),
        None => format!("the Hub answered {}", status.as_u16()),
    };
    match (status.as_u16(), code) {
        (429, _) => Fault::Again {
            why: answer(),
            after: Some(after.unwrap_or(Duration::from_secs(2))),
        },
        (408 | 500..=599, _) => Fault::Again {
            why: answer(),
            after,
        },
        (401 | 403, Some("GatedRepo")) => gated(asked, token, said).into(),
        (401 | 404, Some("RepoNotFound")) => repository_missing(asked, token, message).into(),
        (404, Some("RevisionNotFound")) => revision_missing(asked).into(),
        (404, Some("EntryNotFound")) => file_missing(asked).into(),
        (403, _) if said.contains("is disabled") => withheld(asked, answer()),
        (451, _) => withheld(asked, answer()),
        (401, _) if token => HubError::TokenRefused {
            repo: asked.repo.to_owned(),
            answer: answer(),
        }
        .into(),
        (401, _) => repository_missing(asked, token, message).into(),
        (403, _) => HubError::TokenMayNot {
            repo: asked.repo.to_owned(),
            answer: answer(),
        }
        .into(),
        (404, _) if asked.file.is_some() => file_missing(asked).into(),
        (404, _) => repository_missing(asked, token, message).into(),
        _ => HubError::NotUsable {
            repo: asked.repo.to_owned(),
            cause: format!("Asked for it, {}.", answer()),
        }
        .into(),
    }
}

/// A repository that is closed: `huggingface_hub` knows it by these words, and HTTP has a status for it.
///
/// <https://github.com/huggingface/huggingface_hub/blob/main/src/huggingface_hub/utils/_http.py>
fn withheld(asked: Asked<'_>, answer: String) -> Fault {
    let repo = asked.repo.to_owned();
    HubError::Withheld { repo, answer }.into()
}

fn gated(asked: Asked<'_>, token: bool, said: &str) -> HubError {
    HubError::Gated {
        repo: asked.repo.to_owned(),
        token,
        said: said.to_owned(),
    }
}

fn repository_missing(asked: Asked<'_>, token: bool, said: Option<&str>) -> HubError {
    let repo = asked.repo.to_owned();
    match said.filter(|s| token && s.contains("Invalid credentials")) {
        Some(said) => HubError::TokenRefused {
            repo,
            answer: format!("it said “{said}”"),
        },
        None => HubError::RepositoryMissing { repo, token },
    }
}

fn revision_missing(asked: Asked<'_>) -> HubError {
    HubError::RevisionMissing {
        repo: asked.repo.to_owned(),
        revision: asked.revision.to_owned(),
    }
}

fn file_missing(asked: Asked<'_>) -> HubError {
    HubError::FileMissing {
        repo: asked.repo.to_owned(),
        revision: asked.revision.to_owned(),
        file: asked.file.map(str::to_owned),
    }
}

pub(super) fn not_a_hub(asked: Asked<'_>) -> HubError {
    HubError::NotUsable {
        repo: asked.repo.to_owned(),
        cause: "The answer is not the Hub's JSON. A login page of a network answers like this."
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::problem::Code;

    use super::*;

    fn code(status: u16, error: Option<&str>, message: Option<&str>, token: bool) -> Option<Code> {
        let asked = Asked {
            repo: "o/n",
            revision: "main",
            file: None,
        };
        match of_status(
            StatusCode::from_u16(status).unwrap(),
            error,
            message,
            None,
            asked,
            token,
        ) {
            Fault::Fatal(error) => {
                let problem = error.problem();
                assert!(problem.cause.is_some(), "{status} has a cause");
                Some(problem.code)
            }
            _ => None,
        }
    }

    fn asks_to_wait(headers: &[(&'static str, &'static str)]) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        retry_after(&map).map(|d| d.as_secs())
    }

    #[test]
    fn the_wait_is_read_in_each_of_its_forms() {
        assert_eq!(asks_to_wait(&[]), None);
        assert_eq!(asks_to_wait(&[("retry-after", "120")]), Some(120));
        assert_eq!(asks_to_wait(&[("retry-after", "soon")]), None);
        assert_eq!(asks_to_wait(&[("ratelimit", "\"api\";r=0;t=55")]), Some(55));
        assert_eq!(asks_to_wait(&[("ratelimit", "\"api\";r=7;t=55")]), None);
    }

    #[test]
    fn a_date_is_held_against_the_answer_s_own_and_not_against_the_clock_here() {
        // In 1994, as seen from a machine of any other year.
        let told = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        let date = ("date", "Sun, 06 Nov 1994 08:48:07 GMT");
        assert_eq!(asks_to_wait(&[told, date]), Some(90));
        let later = ("date", "Mon, 07 Nov 1994 00:00:00 GMT");
        assert_eq!(asks_to_wait(&[told, later]), Some(0), "it is over");
        assert_eq!(asks_to_wait(&[told]), None);
        // As `date -u -d … +%s` has it.
        assert_eq!(seconds_of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(
            seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        assert_eq!(
            seconds_of("Thu, 29 Feb 2024 23:59:59 GMT"),
            Some(1_709_251_199)
        );
        assert_eq!(seconds_of("Sun, 06 Nov 0000 08:49:37 GMT"), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_header_says_the_wait_is_a_day_at_most(
            told in "[0-9]{1,25}|[A-Z][a-z]{2}, [0-9]{1,20} (Jan|Feb|Mar|Dec) [0-9]{1,20} [0-9]{1,20}:[0-9]{1,20}:[0-9]{1,3} GMT|\\PC{0,40}",
            date in "Sun, [0-9]{1,3} Nov (1994|2[0-9]{3}) [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
        ) {
            let mut map = HeaderMap::new();
            map.insert("date", date.parse().unwrap());
            for name in ["retry-after", "ratelimit"] {
                if let Ok(told) = told.parse() {
                    map.insert(name, told);
                }
            }
            let _ = seconds_of(&told);
            proptest::prop_assert!(retry_after(&map).is_none_or(|wait| wait <= LONGEST_WAIT));
        }

        #[test]
        fn a_date_is_read_as_it_was_written(days in 0_u64..2_900_000, second in 0_u64..86_400) {
            // Counted day by day from 1970, and not by the formula.
            let (mut left, mut year, mut month) = (days, 1970_u64, 0_usize);
            let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
            while left >= if leap(year) { 366 } else { 365 } {
                left -= if leap(year) { 366 } else { 365 };
                year += 1;
            }
            let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            while left >= lengths[month] {
                left -= lengths[month];
                month += 1;
            }
            let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            let text = format!(
                "Thu, {:02} {} {year:04} {:02}:{:02}:{:02} GMT",
                left + 1, names[month], second / 3600, second / 60 % 60, second % 60
            );
            proptest::prop_assert_eq!(seconds_of(&text), Some(days * 86_400 + second));
        }
    }

    #[test]
    fn a_wait_without_an_end_is_a_day() {
        for told in ["18446744073709551615", "86401"] {
            assert_eq!(asks_to_wait(&[("retry-after", told)]), Some(86_400));
        }
        assert_eq!(
            asks_to_wait(&[("ratelimit", "\"api\";r=0;t=18446744073709551615")]),
            Some(86_400)
        );
    }

    #[test]
    fn each_refusal_of_the_hub_has_its_own_code() {
        assert_eq!(
            code(401, Some("GatedRepo"), None, false),
            Some(Code::HubGated)
        );
        assert_eq!(
            code(403, Some("GatedRepo"), None, true),
            Some(Code::HubGated)
        );
        assert_eq!(
            code(
                401,
                Some("RepoNotFound"),
                Some("Invalid username or password."),
                false
            ),
            Some(Code::RepositoryMissing)
        );
        assert_eq!(
            code(
                401,
                None,
                Some("Invalid credentials in Authorization header"),
                true
            ),
            Some(Code::HubToken)
        );
        assert_eq!(
            code(404, Some("RevisionNotFound"), None, true),
            Some(Code::RevisionMissing)
        );
        assert_eq!(
            code(404, Some("RepoNotFound"), None, true),
            Some(Code::RepositoryMissing)
        );
        let disabled = Some("Access to this resource is disabled.");
        for token in [true, false] {
            let closed = [
                code(403, None, disabled, token),
                code(451, None, None, token),
            ];
            assert_eq!(closed, [Some(Code::RepositoryMissing); 2]);
        }
        assert_eq!(code(403, None, None, true), Some(Code::HubToken));
        assert_eq!(code(429, None, None, true), None, "busy passes");
        assert_eq!(code(503, None, None, true), None, "so does an outage");
    }
}
