//! One Linux machine: commands, files, and why they did not happen.

use std::time::Duration;

use async_trait::async_trait;

use crate::problem::{Code, Problem, Retry, bytes as bytes_text};
use crate::shell::quote;

/// What a command may print where nothing else is said.
const MOST: usize = 1 << 20;
/// The longest line that [`Machine::lines`] takes, in bytes.
pub const LONGEST_LINE: usize = 256 << 10;

/// A command on a machine: a program and its arguments, never a shell string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, found on the PATH or by its absolute path; `~/` stands for the home folder.
    pub program: String,
    /// Its arguments, quoted by the port. `~/` is not expanded here.
    pub args: Vec<String>,
    /// What it reads. Secrets go this way only.
    pub stdin: Vec<u8>,
    /// Whether it runs as root.
    pub sudo: bool,
    /// How long it may take. `None` waits for ever.
    pub timeout: Option<Duration>,
    /// How many bytes it may print on stdout and how many on stderr, each counted for itself; with one more it
    /// is ended. [`Machine::lines`] does not count the bytes of stdout, but each line has a limit there.
    pub most: usize,
}

impl Command {
    /// A command with a limit of 60 s and 1 MiB of output, as the machine's user, with nothing on stdin.
    pub fn new<A: Into<String>>(
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            sudo: false,
            timeout: Some(Duration::from_secs(60)),
            most: MOST,
        }
    }

    /// The same as root.
    #[must_use]
    pub fn sudo(mut self) -> Self {
        self.sudo = true;
        self
    }

    /// The same with this on stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The same with this limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with room for this many bytes of output.
    #[must_use]
    pub fn most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + n when ended by signal n.
    pub status: i32,
    /// All of its stdout (of [`Machine::lines`]: empty, the lines were handed over).
    pub stdout: Vec<u8>,
    /// All of its stderr.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it ended with 0.
    pub fn ok(&self) -> bool {
        self.status == 0
    }

    /// Its stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its stderr as text, trimmed.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// A file to be written on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Absolute, or `~/…` for the user's home.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
    /// Its permission bits, e.g. `0o600`.
    pub mode: u32,
    /// Whether root writes it.
    pub sudo: bool,
}

/// Why an act on a machine did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// Nothing answers at the address.
    #[error("no answer from {address}: {detail}")]
    Unreachable {
        /// The address that was tried, as the person gave it.
        address: String,
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
    /// Something answers that is not an SSH server, or none we can speak with.
    #[error("{address} did not answer as an SSH server: {detail}")]
    NotSsh {
        /// The address that was tried, as the person gave it.
        address: String,
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
    /// The host key is another than the pinned one.
    #[error("the host key of {address} changed from {pinned} to {shown}")]
    HostKeyChanged {
        /// The address that was tried, as the person gave it.
        address: String,
        /// The fingerprint that was pinned.
        pinned: String,
        /// The fingerprint that the server shows.
        shown: String,
    },
    /// The person's own ssh knows this host by another key.
    #[error("ssh knows {address} by {known}, and it showed {shown}")]
    KnownByAnotherKey {
        /// The address that was tried, as the person gave it.
        address: String,
        /// The fingerprint that ssh knows.
        known: String,
        /// The fingerprint that the server shows.
        shown: String,
        /// The file of known hosts.
        file: String,
        /// The line there, from 1.
        line: usize,
        /// The name by which the file has it.
        name: String,
    },
    /// The key is marked as revoked in a file of known hosts.
    #[error("the host key {shown} of {address} is revoked")]
    HostKeyRevoked {
        /// The address that was tried, as the person gave it.
        address: String,
        /// The fingerprint that the server shows.
        shown: String,
        /// The file of known hosts.
        file: String,
        /// The line there, from 1.
        line: usize,
    },
    /// The password was refused.
    #[error("{user}@{address} did not accept the password")]
    WrongPassword {
        /// The user who logs in.
        user: String,
        /// The address that was tried, as the person gave it.
        address: String,
    },
    /// No key was accepted and no password was given.
    #[error("{user}@{address} accepted no key ({tried} tried)")]
    KeyRefused {
        /// The user who logs in.
        user: String,
        /// The address that was tried, as the person gave it.
        address: String,
        /// How many keys were offered.
        tried: usize,
        /// What could not be offered.
        passed_over: Vec<PassedOver>,
    },
    /// The connection ended.
    #[error("the connection was lost while {during}")]
    Lost {
        /// What was going on, such as `logging in`.
        during: String,
    },
    /// The command took too long and was ended.
    #[error("`{program}` did not end within {seconds} s")]
    TimedOut {
        /// The program, without its arguments.
        program: String,
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The command printed more than it may and was ended.
    #[error("`{program}` printed {what} of more than {most} bytes")]
    TooMuch {
        /// The program, without its arguments.
        program: String,
        /// What was too long.
        what: TooLong,
        /// How many bytes it may have.
        most: usize,
    },
    /// A file is larger than Tandem reads of such a file.
    #[error("`{path}` has more than {most} bytes")]
    FileTooLarge {
        /// The path on the machine.
        path: String,
        /// How many bytes it may have.
        most: usize,
    },
    /// The user's login shell did not start the command. A start file ended it, or prints without an end.
    #[error("the login shell of {user} did not start the command: {printed}")]
    Shell {
        /// The user whose shell it is.
        user: String,
        /// The first line that it printed; empty where it printed nothing.
        printed: String,
    },
    /// The password is right and too old: the system wants a new one before it does anything else.
    #[error("the password of {user} has expired")]
    PasswordExpired {
        /// The user who logs in.
        user: String,
    },
    /// The user may not become root.
    #[error("sudo refused: {detail}")]
    SudoRefused {
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
    /// Becoming root needs a password and none is in memory.
    #[error("sudo asks for a password")]
    SudoPasswordNeeded,
    /// A file could not be read or written.
    #[error("could not {act} `{path}`: {detail}")]
    File {
        /// What was tried, as a verb: `read`, `pull`.
        act: &'static str,
        /// The path on the machine.
        path: String,
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
    /// The disk is full.
    #[error("no space left for `{path}`")]
    DiskFull {
        /// The path on the machine.
        path: String,
    },
}

/// A key, or a holder of keys, that was named and could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassedOver {
    /// The key is locked by a passphrase, which Tandem does not ask for.
    LockedKey {
        /// Its file on this computer.
        path: String,
    },
    /// The file holds no key that can be used.
    UnusableKey {
        /// The file on this computer.
        path: String,
        /// Why, without a full stop.
        detail: String,
    },
    /// The agent that the configuration names does not answer.
    SilentAgent {
        /// Its socket on this computer.
        path: String,
    },
}

impl std::fmt::Display for PassedOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LockedKey { path } => write!(f, "The key `{path}` is locked by a passphrase."),
            Self::UnusableKey { path, detail } => {
                write!(f, "`{path}` holds no key that Tandem can use: {detail}.")
            }
            Self::SilentAgent { path } => write!(f, "The agent at `{path}` does not answer."),
        }
    }
}

/// What of a command's output was longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLong {
    /// All of it.
    Output,
    /// One line.
    Line,
}

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Output => "an output",
            Self::Line => "a line",
        })
    }
}

impl MachineError {
    /// The error of a command that printed more than it may.
    pub fn too_much(command: &Command, what: TooLong) -> Self {
        Self::TooMuch {
            program: command.program.clone(),
            what,
            most: match what {
                TooLong::Output => command.most,
                TooLong::Line => LONGEST_LINE,
            },
        }
    }

    /// The error in words, for a machine of this name.
    pub fn problem(&self, machine: &str) -> Problem {
        let p = match self {
            Self::Unreachable { address, detail } => Problem::new(Code::Unreachable, format!("`{address}` did not answer."))
                .cause(format!("The connection could not be opened: {detail}."))
                .fix("Check that the machine is on, that it is on the same network as this computer, and that the address is right.")
                .retry(Retry::Now),
            Self::NotSsh { address, detail } => Problem::new(Code::NotSsh, format!("`{address}` answered, but not as an SSH server."))
                .cause(format!("{detail}."))
                .fix("Check the address and the port; a Spark listens on port 22."),
            Self::HostKeyChanged { address, pinned, shown } => {
                Problem::new(Code::HostKeyChanged, format!("Tandem did not connect to `{address}`."))
                    .cause(format!("Its host key was {pinned} and is now {shown}. Either the machine was set up afresh, or another one answers at this address."))
                    .fix("If you know why the key changed, remove the machine here and add it again. Otherwise find out which machine answers.")
            }
            Self::WrongPassword { user, address } => Problem::new(Code::WrongPassword, format!("`{address}` did not let `{user}` in."))
                .cause("The password was not accepted.")
                .fix("Type the password you use on that machine itself, and check the user name."),
            Self::KeyRefused { user, address, tried, passed_over } => key_refused(user, address, *tried, passed_over),
            Self::KnownByAnotherKey { address, known, shown, file, line, name } => {
                Problem::new(Code::HostKeyChanged, format!("Tandem did not connect to `{address}`."))
                    .cause(format!("Your ssh knows it by the key {known} (`{file}`, line {line}), and it showed {shown}. Either the machine was set up afresh, or another one answers at this address."))
                    .fix_with(
                        "If you know why the key changed, remove the old one, then try again. Otherwise find out which machine answers.",
                        format!("ssh-keygen -R {} -f {}", quote(name), quote(file)),
                    )
            }
            Self::HostKeyRevoked { address, shown, file, line } => {
                Problem::new(Code::HostKeyChanged, format!("Tandem did not connect to `{address}`."))
                    .cause(format!("It showed the key {shown}, which is marked as revoked (`{file}`, line {line}): whoever has it may not be trusted."))
                    .fix("Give the machine a new host key on its own screen, then add it again.")
            }
            Self::Lost { during } => Problem::new(Code::ConnectionLost, "The connection to the machine was lost.")
                .cause(format!("It ended while {during}."))
                .fix("Check the network; then resume. What was under way on the machine goes on there.")
                .retry(Retry::Now),
            Self::TimedOut { program, seconds } => Problem::new(Code::TimedOut, format!("`{program}` did not end."))
                .cause(format!("It was given {seconds} s."))
                .retry(Retry::Now),
            Self::TooMuch { program, what, most } => Problem::new(Code::TooLarge, format!("Tandem stopped `{program}`."))
                .cause(format!("It printed {what} of more than {}; what Tandem asks it for is shorter.", bytes_text(*most as u64)))
                .fix(format!("Run `{program}` on the machine and look at what it prints.")),
            Self::FileTooLarge { path, most } => Problem::new(Code::TooLarge, format!("Tandem did not read `{path}`."))
                .cause(format!("It has more than {}; the file that Tandem looks for there is smaller.", bytes_text(*most as u64)))
                .fix("Look at the file on the machine, and move it away if it is not what its name says."),
            Self::Shell { user, printed } => Problem::new(Code::LoginShell, format!("The login shell of `{user}` did not run Tandem's command."))
                .cause(match printed.as_str() {
                    "" => "It ended before the command began, and printed nothing.".to_owned(),
                    line => format!("It ended before the command began, or printed without an end. Its first line was: {line}"),
                })
                .fix_with(
                    "A start file of the shell ends it, or prints, where nobody types. In `~/.bashrc` this line at the top prevents both. Then try again.",
                    "case $- in *i*) ;; *) return ;; esac",
                ),
            Self::PasswordExpired { user } => Problem::new(Code::PasswordExpired, format!("The password of `{user}` has expired."))
                .cause("The machine wants a new one before it does anything else.")
                .fix("Sign in on the machine itself, set a new password with `passwd`, then type the new one here."),
            Self::SudoRefused { detail } if !is_about_rights(detail) => Problem::new(Code::SudoRefused, "sudo did not run the command.")
                .cause(format!("It answered: {detail}."))
                .fix("Run `sudo true` on the machine as this user. When that works, try again."),
            Self::SudoRefused { detail } => Problem::new(Code::SudoRefused, "The user may not do this as root.")
                .cause(format!("sudo answered: {detail}."))
                .fix("Add the user to the group `sudo` from an account that is in it, then try again."),
            Self::SudoPasswordNeeded => Problem::new(Code::SudoPasswordNeeded, "This step needs the password of the machine's user.")
                .cause("sudo asks for it, and Tandem keeps passwords only until it is closed.")
                .fix("Type the password, then resume."),
            Self::File { act, path, detail } => Problem::new(Code::FileAccess, format!("Tandem could not {act} `{path}`."))
                .cause(format!("{detail}."))
                .fix("Check its owner and its permissions on the machine, then resume.")
                .retry(Retry::Now),
            Self::DiskFull { path } => Problem::new(Code::DiskFull, format!("`{path}` could not be written."))
                .cause("The disk is full.")
                .fix("Free some space on the machine, then resume; what is there already is kept.")
                .retry(Retry::Now),
        };
        p.on(machine)
    }
}

fn key_refused(user: &str, address: &str, tried: usize, passed_over: &[PassedOver]) -> Problem {
    let offered = match tried {
        0 => "No key was offered and no password was given.".to_owned(),
        1 => "The one key that was offered was not accepted, and no password was given.".to_owned(),
        n => format!(
            "None of the {n} keys that were offered was accepted, and no password was given."
        ),
    };
    let passed = passed_over.iter().map(PassedOver::to_string);
    let cause: Vec<String> = std::iter::once(offered).chain(passed).collect();
    let problem = Problem::new(
        Code::KeyRefused,
        format!("`{address}` did not let `{user}` in."),
    )
    .cause(cause.join(" "));
    let locked = passed_over.iter().find_map(|p| match p {
        PassedOver::LockedKey { path } => Some(path),
        _ => None,
    });
    match locked {
        Some(path) => problem.fix_with(
            "Unlock the key into your SSH agent on this computer, then try again. Or give the password once; Tandem then installs a key of its own.",
            format!("ssh-add {}", quote(path)),
        ),
        None => problem.fix("Give the password once; Tandem then installs a key of its own."),
    }
}

/// Whether sudo refused because of who the user is: the words of sudo and of sudo-rs.
fn is_about_rights(detail: &str) -> bool {
    [
        "sudoers",
        "not allowed to",
        "may not run",
        "I'm afraid I can't do that",
    ]
    .iter()
    .any(|words| detail.contains(words))
}

/// One Linux machine.
#[async_trait]
pub trait Machine: Send + Sync {
    /// The name people know it by.
    fn name(&self) -> &str;

    /// Runs a command to its end and gives back all it printed. More than [`Command::most`] is an error. A status other than 0 is not an error here.
    async fn exec(&self, command: &Command) -> Result<Output, MachineError>;

    /// Runs a command and hands over each line of its stdout as it comes, without the line end. A line of more
    /// than [`LONGEST_LINE`] bytes ends the command and is an error.
    async fn lines(
        &self,
        command: &Command,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<Output, MachineError>;

    /// Reads a whole file; `None` where there is none. `sudo` reads as root.
    async fn read(&self, path: &str, sudo: bool) -> Result<Option<Vec<u8>>, MachineError>;

    /// Writes beside the target and renames, so that a reader sees the old file or the new one.
    /// Makes missing folders.
    async fn write(&self, file: &RemoteFile) -> Result<(), MachineError>;

    /// Sends a file of this computer, as [`Machine::write`] does but without holding it in memory.
    async fn upload(
        &self,
        local: &std::path::Path,
        path: &str,
        mode: u32,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError>;

    /// Forgets the connection, so that the next call makes a new one with the machine's groups of then.
    async fn reconnect(&self);
}
