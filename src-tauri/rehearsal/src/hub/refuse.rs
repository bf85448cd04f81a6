//! The Hub's refusals, in its own words and headers.

use http::StatusCode;
use serde_json::json;

use super::State;
use super::catalog::Absent;
use super::faults::{FaultKind, Side};
use crate::wire::{Answer, empty, json as answer_json, set, whole};

/// An error with the headers by which clients tell which one it is.
pub(crate) fn refuse(status: u16, code: Option<&str>, message: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer_json(status, &json!({"error": message}));
    if let Some(code) = code {
        set(&mut response, "x-error-code", code);
    }
    set(&mut response, "x-error-message", message);
    response
}

/// What a network sends until somebody has agreed to its terms.
const LOGIN_PAGE: &[u8] = b"<!doctype html><title>Welcome</title><p>Log in to use this network.";

const NOT_FOUND_WITHOUT_TOKEN: &str = "Invalid username or password.";

/// A repository that is not there, or not for this person: the Hub does not say which.
pub(crate) fn no_repo(token: Option<&str>) -> Answer {
    match token {
        None => refuse(401, Some("RepoNotFound"), NOT_FOUND_WITHOUT_TOKEN),
        Some(_) => refuse(404, Some("RepoNotFound"), "Repository not found"),
    }
}

/// A branch or commit that is not there.
pub(crate) fn absent(what: Absent, revision: &str, token: Option<&str>) -> Answer {
    match what {
        Absent::Repo => no_repo(token),
        Absent::Revision => refuse(
            404,
            Some("RevisionNotFound"),
            &format!("Invalid rev id: {revision}"),
        ),
    }
}

/// A file that is not there.
pub(crate) fn no_entry() -> Answer {
    refuse(404, Some("EntryNotFound"), "Entry not found")
}

/// Who may come in, as the faults in force say; `None` lets them.
pub(crate) fn access(
    state: &State,
    side: Side,
    repo: &str,
    path: &str,
    token: Option<&str>,
) -> Option<Answer> {
    let busy = state.faults.strike(side, path, |k| match k {
        FaultKind::Status {
            status,
            retry_after,
        } => Some((*status, *retry_after)),
        _ => None,
    });
    if let Some((status, retry_after)) = busy {
        let message = match status {
            429 => "We had to rate limit you. Upgrade or wait.",
            _ => "Internal Error - We're working hard to fix this as soon as possible!",
        };
        let mut response = refuse(status, None, message);
        if status == 429 {
            let wait = retry_after.unwrap_or(300);
            set(&mut response, "ratelimit", format!("\"api\";r=0;t={wait}"));
            set(
                &mut response,
                "ratelimit-policy",
                "\"fixed window\";\"api\";q=500;w=300",
            );
        }
        if let Some(seconds) = retry_after {
            set(&mut response, "retry-after", seconds.to_string());
        }
        return Some(response);
    }
    let dated = state.faults.strike(side, path, |k| match k {
        FaultKind::BusyByDate { seconds } => Some((*seconds).min(49)),
        _ => None,
    });
    if let Some(seconds) = dated {
        let mut response = refuse(429, None, "We had to rate limit you. Upgrade or wait.");
        let at = |second: u32| format!("Sun, 06 Nov 1994 08:49:{second:02} GMT");
        set(&mut response, "date", at(10));
        set(&mut response, "retry-after", at(10 + seconds));
        return Some(response);
    }
    let page = state.faults.strike(side, path, |k| {
        matches!(k, FaultKind::LoginPage).then_some(())
    });
    if page.is_some() {
        let mut response = empty(StatusCode::OK);
        *response.body_mut() = whole(bytes::Bytes::from_static(LOGIN_PAGE));
        set(&mut response, "content-type", "text/html");
        set(
            &mut response,
            "content-length",
            LOGIN_PAGE.len().to_string(),
        );
        return Some(response);
    }
    let bad_token = || refuse(401, None, "Invalid credentials in Authorization header");
    state.faults.strike(side, path, |k| match k {
        FaultKind::MissingRepo => Some(no_repo(token)),
        FaultKind::KnownTokens { tokens } => {
            let bad = token.is_some_and(|t| !tokens.iter().any(|k| k == t));
            bad.then(bad_token)
        }
        FaultKind::RequireToken { tokens } => match token {
            None => Some(no_repo(None)),
            Some(t) if tokens.iter().any(|k| k == t) => None,
            Some(_) => Some(bad_token()),
        },
        FaultKind::Gated { granted, others } => match token {
            None => Some(refuse(
                401,
                Some("GatedRepo"),
                &format!("Access to model {repo} is restricted. You must have access to it and be authenticated to access it. Please log in."),
            )),
            Some(t) if granted.iter().any(|k| k == t) => None,
            Some(t) if others.iter().any(|k| k == t) => Some(refuse(
                403,
                Some("GatedRepo"),
                &format!("Access to model {repo} is restricted and you are not in the authorized list. Visit https://huggingface.co/{repo} to ask for access."),
            )),
            Some(_) => Some(bad_token()),
        },
        _ => None,
    })
}
