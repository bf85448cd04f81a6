//! Why the Hub did not give what it was asked for, and how people are told.

use std::time::Duration;

use tandem_domain::node::told::CLOCK;
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_domain::repository::is_commit;

/// Why the Hub did not give what it was asked for, at last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubError {
    /// It did not answer for as long as is waited.
    Silent {
        /// What it was asked about.
        about: String,
        /// What happened, as part of a sentence.
        why: String,
    },
    /// It asks to wait for longer than is waited.
    Busy {
        /// What it was asked about.
        about: String,
        /// What happened, as part of a sentence.
        why: String,
        /// How long it asks to wait.
        after: Duration,
    },
    /// Its certificate was not accepted.
    Certificate {
        /// What the TLS library says.
        said: String,
    },
    /// What it answers is not what a Hub answers.
    NotUsable {
        /// The repository.
        repo: String,
        /// Why, as a sentence.
        cause: String,
    },
    /// It does not say where a file is.
    NoPlace {
        /// The file.
        file: String,
        /// The repository.
        repo: String,
        /// What its answer has instead, as part of a sentence.
        what: String,
    },
    /// It leads to another address, which does not tell of the file as a Hub does.
    LedAway {
        /// The file.
        file: String,
        /// The repository.
        repo: String,
        /// Where it leads, without what may be a signature.
        to: String,
        /// What came of asking there, as part of a sentence.
        what: String,
    },
    /// It lists a file at a commit and has none of that name there.
    CommitGone {
        /// The repository.
        repo: String,
        /// The commit.
        commit: String,
        /// The file.
        file: String,
    },
    /// It gives the repository to nobody.
    Withheld {
        /// The repository.
        repo: String,
        /// What it answered, as part of a sentence.
        answer: String,
    },
    /// It gives a file as a whole only.
    NoRanges {
        /// The file.
        file: String,
    },
    /// It refused the token.
    TokenRefused {
        /// The repository.
        repo: String,
        /// What it answered, as part of a sentence.
        answer: String,
    },
    /// The token is good, but not for this repository.
    TokenMayNot {
        /// The repository.
        repo: String,
        /// What it answered, as part of a sentence.
        answer: String,
    },
    /// The repository's licence has to be accepted first.
    Gated {
        /// The repository.
        repo: String,
        /// Whether a token was given.
        token: bool,
        /// What it says.
        said: String,
    },
    /// It has no such repository, or does not show it.
    RepositoryMissing {
        /// The repository.
        repo: String,
        /// Whether a token was given.
        token: bool,
    },
    /// The repository has no such revision.
    RevisionMissing {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// The revision has no such file.
    FileMissing {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file, where it has a name.
        file: Option<String>,
    },
    /// Anything else.
    Other(Box<Problem>),
}

impl From<Problem> for HubError {
    fn from(problem: Problem) -> Self {
        Self::Other(Box::new(problem))
    }
}

impl HubError {
    /// Whether it may be over in a while: the Hub is silent or busy.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::Busy { .. })
    }

    /// Whether it says nothing of the repository, only that the Hub cannot be asked about it from here.
    pub fn is_of_the_line(&self) -> bool {
        !matches!(
            self,
            Self::RepositoryMissing { .. }
                | Self::RevisionMissing { .. }
                | Self::FileMissing { .. }
                | Self::CommitGone { .. }
                | Self::Withheld { .. }
                | Self::Other(_)
        )
    }

    /// For people.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Silent { about, why } => {
                Problem::new(Code::HubUnreachable, "The Hub does not answer.")
                    .cause(format!("Asked for {about}: {why}."))
                    .fix("Check that this machine reaches the internet, then resume; what has arrived is kept.")
                    .retry(Retry::Now)
            }
            Self::Busy { about, why, after } => {
                Problem::new(Code::HubBusy, "The Hub asks Tandem to wait.")
                    .cause(format!("Asked for {about}: {why}."))
                    .fix(format!("Go on in {} seconds.", after.as_secs().max(1)))
                    .retry(Retry::After(after.as_secs().clamp(1, 86_400) as u32))
            }
            Self::Certificate { said } => of_certificate(said),
            Self::NotUsable { repo, cause } => Problem::new(
                Code::HubUnreachable,
                format!("What the Hub says about {repo} cannot be used."),
            )
            .cause(cause.clone())
            .fix("Check the Hub's address, and that this machine reaches the internet."),
            Self::NoPlace { file, repo, what } => Problem::new(
                Code::HubUnreachable,
                format!("The Hub does not say where {file} of {repo} is."),
            )
            .cause(format!("Its answer has {what}."))
            .fix("Check the Hub's address."),
            Self::LedAway {
                file,
                repo,
                to,
                what,
            } => Problem::new(
                Code::HubUnreachable,
                format!("The Hub does not say where {file} of {repo} is."),
            )
            .cause(format!("Its address redirects to {to}, and {what}."))
            .fix("Give the address that it redirects to as the Hub's, if you trust it, or a mirror that has the files itself."),
            Self::CommitGone { repo, commit, file } => Problem::new(
                Code::RevisionMissing,
                format!("The files of {repo} at {commit} are not on the Hub any more."),
            )
            .cause(format!(
                "The Hub lists {file} at this commit and answers that it has no such file there. So it is after the repository's history was rewritten, while the list of it is an old one, and on a mirror that has the list alone."
            ))
            .fix("Take another revision of the repository, or try again in some minutes, when the Hub lists the new one.")
            .retry(Retry::After(300)),
            Self::Withheld { repo, answer } => Problem::new(
                Code::RepositoryMissing,
                format!("The Hub gives {repo} to nobody."),
            )
            .cause(format!("Asked for it, {answer}. So it answers where it or its owner has closed a repository; no token opens it."))
            .fix("Read on the repository's page why it is closed, and take another repository that has the model."),
            Self::NoRanges { file } => Problem::new(
                Code::HubUnreachable,
                format!("Only the whole of {file} could be fetched."),
            )
            .cause("The server ignores the range that is asked for, and the file is far larger than what is needed of it.")
            .fix("If a proxy stands between this machine and the Hub, let it pass Range requests."),
            Self::TokenRefused { repo, answer } => {
                Problem::new(Code::HubToken, "The Hub refused the token.")
                    .cause(format!("Asked for {repo}: {answer}."))
                    .fix("Make a new token with read access at huggingface.co/settings/tokens and give it here.")
            }
            Self::TokenMayNot { repo, answer } => Problem::new(
                Code::HubToken,
                format!("The Hub does not let this token read {repo}."),
            )
            .cause(format!("Asked for it, {answer}."))
            .fix("Give a token whose account may read the repository."),
            Self::Gated { repo, token, said } => {
                let fix = if *token {
                    format!("Accept the licence of {repo} on its page with the account of this token.")
                } else {
                    format!("Accept the licence of {repo} on its page, then give a token of that account.")
                };
                Problem::new(
                    Code::HubGated,
                    format!("{repo} asks for its licence to be accepted first."),
                )
                .cause(format!("The Hub says: {said}"))
                .fix(fix)
            }
            Self::RepositoryMissing { repo, token } => {
                // The Hub answers alike for a repository that is private and for one that does not exist.
                let visible = if *token {
                    "or this token may not see it"
                } else {
                    "or it is private and no token was given"
                };
                Problem::new(
                    Code::RepositoryMissing,
                    format!("The Hub has no repository {repo}."),
                )
                .cause(format!("There is none of that name, {visible}."))
                .fix("Check the name, and give a token if the repository is private.")
            }
            Self::RevisionMissing { repo, revision } => {
                let problem = Problem::new(
                    Code::RevisionMissing,
                    format!("{repo} has no revision {revision}."),
                );
                if is_commit(revision) {
                    problem
                        .cause("The repository is there, but not this commit. So it is where its history was rewritten since, or the commit is another repository's.")
                        .fix("Take a commit that the repository has now; “main” is the newest.")
                } else {
                    problem
                        .cause("The repository is there, but no branch, tag or commit of that name.")
                        .fix("Check the revision; “main” is the newest.")
                }
            }
            Self::FileMissing {
                repo,
                revision,
                file,
            } => Problem::new(
                Code::CheckpointIncomplete,
                format!(
                    "{repo} has no file {} at {revision}.",
                    file.as_deref().unwrap_or("of that name")
                ),
            )
            .cause("The Hub knows the revision, but not the file."),
            Self::Other(problem) => (**problem).clone(),
        }
    }
}

/// A certificate that is not accepted will not be accepted the next time either. A clock that is far off
/// makes every certificate too old or too new.
fn of_certificate(said: &str) -> Problem {
    let problem = Problem::new(
        Code::HubUnreachable,
        "The Hub's certificate was not accepted.",
    );
    let lower = said.to_lowercase();
    if lower.contains("expired") || lower.contains("valid yet") || lower.contains("notvalidyet") {
        problem
            .cause(format!("{said}. The clock of this machine may be wrong."))
            .fix_with(
                "Look at the machine's time, and let it be set over the network.",
                CLOCK,
            )
    } else {
        problem
            .cause(format!("{said}."))
            .fix("If a proxy here reads HTTPS, install its certificate on the machine with update-ca-certificates.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_out_of_its_time_leads_to_the_clock_and_another_to_the_proxy() {
        let fix = |said| of_certificate(said).fix.unwrap().sentence;
        assert!(
            fix("invalid peer certificate: certificate expired: verification time 1")
                .contains("time")
        );
        assert!(fix("invalid peer certificate: certificate not valid yet").contains("time"));
        assert!(fix("invalid peer certificate: UnknownIssuer").contains("proxy"));
    }
}
