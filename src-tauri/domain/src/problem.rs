//! What a person is told when something did not happen: what, why, what to do.
//!
//! A [`Problem`] is the only shape in which a failure reaches the window, the journal or a report.

use serde::{Deserialize, Serialize};

/// Which failure it is. The window and the tests branch on it; the words are in the [`Problem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The machine did not accept the password.
    WrongPassword,
    /// The machine accepted none of the keys offered, and no password was given.
    KeyRefused,
    /// The machine shows another host key than the one pinned.
    HostKeyChanged,
    /// No host key is pinned yet, so nothing may be sent.
    HostKeyUnknown,
    /// Nothing answers at the address.
    Unreachable,
    /// An SSH server did not answer there, or spoke something else.
    NotSsh,
    /// The connection ended in the middle of something.
    ConnectionLost,
    /// The remote command took longer than it may.
    TimedOut,
    /// A command printed, or a file holds, more than Tandem takes.
    TooLarge,
    /// The user's login shell does not run commands as it should.
    LoginShell,
    /// The user's password is too old.
    PasswordExpired,
    /// Both addresses lead to one machine.
    SameMachineTwice,
    /// The user may not become root there.
    SudoRefused,
    /// Becoming root needs a password that is not in memory.
    SudoPasswordNeeded,
    /// The machine is not one the recipe can serve on.
    MachineUnfit,
    /// Docker's socket is closed to the user.
    DockerDenied,
    /// Docker is installed but its engine does not answer.
    DockerNotRunning,
    /// Docker is not there.
    DockerMissing,
    /// The image could not be pulled.
    ImagePull,
    /// The two machines hold different images under one name.
    ImageDiffers,
    /// The disk has not the room.
    DiskTooSmall,
    /// The disk became full while writing.
    DiskFull,
    /// The Hub refused the token.
    HubToken,
    /// The repository asks for a licence to be accepted first.
    HubGated,
    /// The Hub has no such repository, or not for this token.
    RepositoryMissing,
    /// The Hub has no such revision.
    RevisionMissing,
    /// The Hub does not answer.
    HubUnreachable,
    /// The Hub asks Tandem to wait.
    HubBusy,
    /// What arrived is not what the Hub announced.
    HashMismatch,
    /// Files of the checkpoint are missing or damaged.
    CheckpointIncomplete,
    /// The checkpoint has a shape that the graft does not know.
    GraftUnknownShape,
    /// The machines hold different results.
    ResultsDiffer,
    /// The node program is missing, of another version, or did not start.
    NodeProgram,
    /// The remote job is gone without an outcome: the machine restarted or the process was killed.
    JobLost,
    /// The address plan cannot be used.
    NetworkPlan,
    /// `netplan` refused the files.
    NetplanRefused,
    /// The private link does not carry what it should.
    LinkFails,
    /// A TCP port that is needed is held by something else.
    PortTaken,
    /// A container of our name exists that we did not make.
    ContainerForeign,
    /// The container ended before the server was ready.
    ServerDied,
    /// The server did not become ready in the time allowed.
    ServerNotReady,
    /// The server answers, but not as a model should.
    ServerAnswer,
    /// The server has no free memory to start in.
    MemoryShort,
    /// The checkpoint has no MTP tensors where MTP was asked for.
    MtpMissing,
    /// Another copy of Tandem works on this machine.
    Locked,
    /// The run cannot be gone on with, because what it was planned for has changed.
    PlanStale,
    /// The journal could not be written, so nothing was done.
    JournalWrite,
    /// The person's input cannot be used.
    BadInput,
    /// The image file cannot be used.
    BadImage,
    /// The keyring does not answer.
    Keyring,
    /// Nothing serves a model.
    NothingServed,
    /// A file on a machine could not be read or written: as a rule its permissions forbid it.
    FileAccess,
    /// A fault of ours.
    Broken,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// It went on, but not as it should.
    Warning,
    /// It did not happen.
    Error,
    /// A fault of Tandem itself.
    Broken,
}

/// Whether trying again without a change can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// It would end the same way.
    No,
    /// It may help at once.
    Now,
    /// It may help after this many seconds.
    After(u32),
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Fix {
    /// An imperative sentence.
    pub sentence: String,
    /// A shell command that does it, to copy.
    pub command: Option<String>,
}

/// A failure in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Problem {
    /// Which failure it is.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// What did not happen, in the person's terms.
    pub message: String,
    /// Why, with the facts.
    pub cause: Option<String>,
    /// What to do. None is better than a guess.
    pub fix: Option<Fix>,
    /// Whether trying again can help.
    pub retry: Retry,
    /// The machine it happened on, by its name.
    pub machine: Option<String>,
    /// The chain of errors, outermost first; folded away until asked for.
    pub details: Vec<String>,
    /// Whether the words came from the program on a machine: they are shown as what the machine says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "bindings", specta(optional))]
    pub told: bool,
}

impl Problem {
    /// An error that ends what was going on.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let severity = if code == Code::Broken {
            Severity::Broken
        } else {
            Severity::Error
        };
        Self {
            code,
            severity,
            message: message.into(),
            cause: None,
            fix: None,
            retry: Retry::No,
            machine: None,
            details: Vec::new(),
            told: false,
        }
    }

    /// Adds why. Other programs' words may end in a full stop of their own; one is enough.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        let mut cause: String = cause.into();
        if cause.ends_with("..") && !cause.ends_with("...") {
            cause.pop();
        }
        self.cause = Some(cause);
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn fix(mut self, sentence: impl Into<String>) -> Self {
        self.fix = Some(Fix {
            sentence: sentence.into(),
            command: None,
        });
        self
    }

    /// Adds what to do, with the command that does it.
    #[must_use]
    pub fn fix_with(mut self, sentence: impl Into<String>, command: impl Into<String>) -> Self {
        self.fix = Some(Fix {
            sentence: sentence.into(),
            command: Some(command.into()),
        });
        self
    }

    /// Names the machine.
    #[must_use]
    pub fn on(mut self, machine: impl Into<String>) -> Self {
        self.machine = Some(machine.into());
        self
    }

    /// Says whether trying again can help.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how much it matters.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Adds a line to the details.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.machine {
            Some(machine) => write!(f, "{} ({machine})", self.message)?,
            None => f.write_str(&self.message)?,
        }
        if let Some(cause) = &self.cause {
            write!(f, "\n  {cause}")?;
        }
        if let Some(fix) = &self.fix {
            write!(f, "\n  {}", fix.sentence)?;
            if let Some(command) = &fix.command {
                write!(f, "\n    {command}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// Writes a count of bytes as people read it: `4.86 GB`, decimal units as disks and the Hub use.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ if value >= 100.0 => format!("{value:.0} {}", UNITS[unit]),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Problem};

    #[test]
    fn a_cause_ends_in_one_full_stop() {
        let cause = |text: &str| Problem::new(Code::Broken, "").cause(text).cause.unwrap();
        assert_eq!(
            cause("The server answered: No."),
            "The server answered: No."
        );
        assert_eq!(
            cause("The server answered: No.."),
            "The server answered: No."
        );
        assert_eq!(cause("And so on..."), "And so on...", "an ellipsis stays");
    }
}
