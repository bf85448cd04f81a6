//! Refusals and faults of the Hub, told apart by what can be done about them.

use std::error::Error;
use std::time::Duration;

use hf_hub::HFError;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use tandem_domain::problem::{Code, Problem};

use super::Asked;

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
    Fatal(Box<Problem>),
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        Self::Fatal(Box::new(problem))
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
        let text = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned)
        };
        of_status(
            response.status(),
            text("x-error-code").as_deref(),
            text("x-error-message").as_deref(),
            retry_after(response.headers()),
            asked,
            token,
        )
    }
}

/// `Retry-After` in seconds. The form with a date is rare and then left to the back-off.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?;
    Some(Duration::from_secs(text.trim().parse().ok()?))
}

/// The fault of a listing that `hf-hub` asked for.
pub(super) fn of_listing(error: &HFError, asked: Asked<'_>, token: bool) -> Fault {
    // The crate does not give the type of a context a public name.
    macro_rules! of {
        ($context:expr, $after:expr) => {
            of_status(
                $context.status,
                $context.error_code.as_deref(),
                $context.server_message.as_deref(),
                $after,
                asked,
                token,
            )
        };
    }
    match error {
        HFError::Http { context }
        | HFError::AuthRequired { context }
        | HFError::Forbidden { context }
        | HFError::Conflict { context } => of!(context, None),
        HFError::RateLimited {
            retry_after,
            context,
        } => of!(context, *retry_after),
        HFError::RepoNotFound {
            context: Some(context),
            ..
        }
        | HFError::RevisionNotFound {
            context: Some(context),
            ..
        } => of!(context, None),
        HFError::RepoNotFound { .. } => repository_missing(asked, token, None).into(),
        HFError::RevisionNotFound { .. } => revision_missing(asked).into(),
        HFError::Request { source, .. } if source.is_decode() => not_a_hub(asked).into(),
        HFError::Request { source, .. } => Fault::of_transport(source),
        HFError::Json(_) | HFError::MalformedResponse { .. } => not_a_hub(asked).into(),
        other => Problem::new(Code::Broken, "The Hub could not be asked.")
            .cause(other.to_string())
            .into(),
    }
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
        (404, Some("EntryNotFound")) => entry_missing(asked).into(),
        (401, _) if token => Problem::new(Code::HubToken, "The Hub refused the token.")
            .cause(format!("Asked for {}: {}.", asked.repo, answer()))
            .fix("Make a new token with read access at huggingface.co/settings/tokens and give it here.")
            .into(),
        (401, _) => repository_missing(asked, token, message).into(),
        (403, _) => Problem::new(
            Code::HubToken,
            format!("The Hub does not let this token read {}.", asked.repo),
        )
        .cause(format!("Asked for it, {}.", answer()))
        .fix("Give a token whose account may read the repository.")
        .into(),
        (404, _) if asked.file.is_some() => entry_missing(asked).into(),
        (404, _) => repository_missing(asked, token, message).into(),
        _ => Problem::new(
            Code::HubUnreachable,
            format!("What the Hub says about {} cannot be used.", asked.repo),
        )
        .cause(format!("Asked for it, {}.", answer()))
        .fix("Check the Hub's address.")
        .into(),
    }
}

fn gated(asked: Asked<'_>, token: bool, said: &str) -> Problem {
    let fix = if token {
        format!(
            "Accept the licence of {} on its page with the account of this token.",
            asked.repo
        )
    } else {
        format!(
            "Accept the licence of {} on its page, then give a token of that account.",
            asked.repo
        )
    };
    Problem::new(
        Code::HubGated,
        format!("{} asks for its licence to be accepted first.", asked.repo),
    )
    .cause(format!("The Hub says: {said}"))
    .fix(fix)
}

fn repository_missing(asked: Asked<'_>, token: bool, said: Option<&str>) -> Problem {
    // The Hub answers alike for a repository that is private and for one that does not exist.
    if token && said.is_some_and(|s| s.contains("Invalid credentials")) {
        return Problem::new(Code::HubToken, "The Hub refused the token.")
            .cause(format!("Asked for {}, it said: {}.", asked.repo, said.unwrap_or_default()))
            .fix("Make a new token with read access at huggingface.co/settings/tokens and give it here.");
    }
    let visible = if token {
        "or this token may not see it"
    } else {
        "or it is private and no token was given"
    };
    Problem::new(
        Code::RepositoryMissing,
        format!("The Hub has no repository {}.", asked.repo),
    )
    .cause(format!("There is none of that name, {visible}."))
    .fix("Check the name, and give a token if the repository is private.")
}

fn revision_missing(asked: Asked<'_>) -> Problem {
    Problem::new(
        Code::RevisionMissing,
        format!("{} has no revision {}.", asked.repo, asked.revision),
    )
    .cause("The repository is there, but no branch, tag or commit of that name.")
    .fix("Check the revision; “main” is the newest.")
}

fn entry_missing(asked: Asked<'_>) -> Problem {
    Problem::new(
        Code::CheckpointIncomplete,
        format!(
            "{} has no file {} at {}.",
            asked.repo,
            asked.file.unwrap_or("of that name"),
            asked.revision
        ),
    )
    .cause("The Hub knows the revision, but not the file.")
}

fn not_a_hub(asked: Asked<'_>) -> Problem {
    Problem::new(
        Code::HubUnreachable,
        format!("What the Hub says about {} cannot be used.", asked.repo),
    )
    .cause("The answer is not the Hub's JSON. A login page of a network answers like this.")
    .fix("Check the Hub's address, and that this machine reaches the internet.")
}

#[cfg(test)]
mod tests {
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
            Fault::Fatal(problem) => {
                assert!(problem.cause.is_some(), "{status} has a cause");
                Some(problem.code)
            }
            _ => None,
        }
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
        assert_eq!(code(429, None, None, true), None, "busy passes");
        assert_eq!(code(503, None, None, true), None, "so does an outage");
    }
}
