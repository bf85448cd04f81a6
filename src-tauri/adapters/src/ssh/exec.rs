//! Running one command on a machine and listening to it until it has ended.

use std::time::Duration;

use russh::ChannelMsg;
use tandem_domain::foreign_text::visible;
use tandem_domain::ports::{Command, MachineError, TooLong};
use tandem_domain::secret::Secret;

use super::command::{self, Elevation, Marks};
use super::error;
use super::opening::{Talk, Turn};
use super::session::Session;

/// How long a stream that the command left open to a child of its own is still listened to.
const GRACE: Duration = Duration::from_secs(2);

/// How a command ended.
pub(super) struct Ended {
    pub(super) status: i32,
    pub(super) stderr: Vec<u8>,
}

/// Who runs it, for the words of a refusal.
pub(super) struct Who<'a> {
    pub(super) user: &'a str,
    pub(super) address: &'a str,
    pub(super) sudo_password: Option<Secret>,
    /// What the command finds in its environment.
    pub(super) environment: &'a [(String, String)],
}

/// What is given the command's stdout as it comes. An error ends the command.
pub(super) type Take<'a> = dyn FnMut(&[u8]) -> Result<(), TooLong> + Send + 'a;

/// Runs a command and hands over its stdout as it comes. Dropping the future ends the command.
pub(super) async fn run(
    session: &Session,
    command: &Command,
    who: Who<'_>,
    on_stdout: &mut Take<'_>,
) -> Result<Ended, MachineError> {
    let running = listen(session, command, who, on_stdout);
    let Some(limit) = command.timeout else {
        return running.await;
    };
    match tokio::time::timeout(limit, running).await {
        Ok(outcome) => outcome,
        Err(_) => Err(MachineError::TimedOut {
            program: command.program.clone(),
            seconds: limit.as_secs(),
        }),
    }
}

/// What may be sent now.
enum Feed {
    /// Nothing: the shell, or sudo, has not come to the command yet and would take it for itself.
    Hold,
    /// The password, because sudo asked.
    Password,
    /// What the command reads.
    Stdin,
    /// It was sent.
    Done,
}

async fn listen(
    session: &Session,
    command: &Command,
    who: Who<'_>,
    on_stdout: &mut Take<'_>,
) -> Result<Ended, MachineError> {
    let during = || error::lost(format!("running `{}`", command.program));
    let too_much = |what: TooLong| MachineError::too_much(command, what);
    let elevation = match (command.sudo, &who.sudo_password) {
        (false, _) => Elevation::None,
        (true, None) => Elevation::Free,
        (true, Some(_)) => Elevation::Asked,
    };
    let marks = Marks::new();
    let mut channel = session.command_channel().await?;
    let writer = channel.writer();
    writer
        .exec(
            true,
            command::line(command, who.environment, elevation, &marks),
        )
        .await
        .map_err(|_| during())?;

    let mut talk = Talk::new(&marks, elevation);
    let mut feed = Feed::Hold;
    let mut stderr = Vec::new();
    let mut status = None;
    let stdin = bytes::Bytes::copy_from_slice(&command.stdin);
    loop {
        let next = {
            // Sending waits for the other side's window, so it goes on beside the listening. A branch
            // that is dropped half-way would send its bytes again: each is awaited with the messages.
            let sending = async {
                match feed {
                    Feed::Hold | Feed::Done => std::future::pending().await,
                    Feed::Stdin => writer.data_bytes(stdin.clone()).await,
                    Feed::Password => {
                        let word = who.sudo_password.as_ref().map_or("", Secret::reveal);
                        writer.data_bytes(format!("{word}\n").into_bytes()).await
                    }
                }
            };
            tokio::pin!(sending);
            loop {
                let message = async {
                    match status {
                        None => Ok(channel.wait().await),
                        Some(_) => tokio::time::timeout(GRACE, channel.wait()).await,
                    }
                };
                let turn = tokio::select! {
                    biased;
                    message = message => match message {
                        Err(_) => break Next::Finished,
                        Ok(None) if status.is_some() => break Next::Finished,
                        Ok(None) => return Err(during()),
                        Ok(Some(ChannelMsg::Data { data })) => {
                            let heard = talk.stdout(&data);
                            let (own, turn) = heard.map_err(|_| shell(&who, &talk))?;
                            on_stdout(&own).map_err(too_much)?;
                            turn
                        }
                        Ok(Some(ChannelMsg::ExtendedData { data, ext: 1 })) => {
                            let heard = talk.stderr(&data);
                            let (own, turn) = heard.map_err(|_| shell(&who, &talk))?;
                            stderr.extend_from_slice(&own);
                            if stderr.len() > command.most {
                                return Err(too_much(TooLong::Output));
                            }
                            turn
                        }
                        Ok(Some(ChannelMsg::ExitStatus { exit_status })) => {
                            status = Some(i32::try_from(exit_status).unwrap_or(i32::MAX));
                            Turn::Nothing
                        }
                        Ok(Some(ChannelMsg::ExitSignal { signal_name, .. })) => {
                            status = Some(128 + signal_number(&signal_name));
                            Turn::Nothing
                        }
                        Ok(Some(ChannelMsg::Eof | ChannelMsg::Close)) if status.is_some() => {
                            break Next::Finished;
                        }
                        Ok(Some(ChannelMsg::Close)) => return Err(during()),
                        Ok(Some(ChannelMsg::Failure)) => {
                            return Err(MachineError::NotSsh {
                                address: who.address.to_owned(),
                                detail: "the SSH server runs no commands for this user".to_owned(),
                            });
                        }
                        Ok(Some(_)) => Turn::Nothing,
                    },
                    sent = &mut sending => {
                        sent.map_err(|_| during())?;
                        break Next::Feed(match feed { Feed::Password => Feed::Hold, _ => Feed::Done });
                    }
                };
                match turn {
                    Turn::Nothing => {}
                    Turn::Asks => break Next::Feed(Feed::Password),
                    Turn::Started => break Next::Feed(Feed::Stdin),
                    Turn::AsksAgain => {
                        return Err(MachineError::WrongPassword {
                            user: who.user.to_owned(),
                            address: who.address.to_owned(),
                        });
                    }
                }
            }
        };
        match next {
            Next::Feed(what) => feed = what,
            Next::Finished => break,
        }
    }
    let status = status.ok_or_else(during)?;
    match (talk.begun(), talk.started()) {
        (false, _) => Err(shell(&who, &talk)),
        (true, false) => Err(refusal(who.user, &talk.sudo_said())),
        (true, true) => Ok(Ended { status, stderr }),
    }
}

enum Next {
    Feed(Feed),
    Finished,
}

/// The login shell did not come to the command.
fn shell(who: &Who<'_>, talk: &Talk) -> MachineError {
    let said = talk.shell_said();
    if expired(&said) {
        return MachineError::PasswordExpired {
            user: who.user.to_owned(),
        };
    }
    error::shell(who.user, &said)
}

/// Whether the words are PAM's or sudo's for a password that has expired.
fn expired(said: &str) -> bool {
    [
        "assword is expired",
        "assword expired",
        "assword has expired",
        "assword change required",
    ]
    .iter()
    .any(|words| said.contains(words))
}

/// What sudo meant when it did not start the command. Its language is fixed to English.
fn refusal(user: &str, said: &str) -> MachineError {
    // The words of sudo and of sudo-rs.
    let asks = [
        "a password is required",
        "interactive authentication is required",
        "Authentication required but not attempted",
    ];
    if asks.iter().any(|words| said.contains(words)) {
        return MachineError::SudoPasswordNeeded;
    }
    if expired(said) {
        return MachineError::PasswordExpired {
            user: user.to_owned(),
        };
    }
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        // It tells what becomes of the refusal, not why.
        .filter(|l| !l.is_empty() && !l.starts_with("This incident "))
        .map(|l| l.strip_prefix("sudo: ").unwrap_or(l))
        .map(|l| l.trim_end_matches('.'))
        .collect();
    let detail = match lines.len() {
        0 => "it gave no reason".to_owned(),
        n => visible(&lines[n.saturating_sub(3)..].join("; "), error::TOLD),
    };
    MachineError::SudoRefused { detail }
}

/// The number of a signal that ended the whole session, as Linux numbers them.
fn signal_number(signal: &russh::Sig) -> i32 {
    use russh::Sig;
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use tandem_domain::ports::MachineError;

    #[test]
    fn the_reasons_of_sudo_are_told_apart() {
        for words in [
            "sudo: a password is required\n",
            "sudo: interactive authentication is required\n",
        ] {
            assert_eq!(refusal("me", words), MachineError::SudoPasswordNeeded);
        }
        for (words, reason) in [
            (
                "me is not in the sudoers file.\nThis incident has been reported to the administrator.\n",
                "me is not in the sudoers file",
            ),
            (
                "\nSorry, user me is not allowed to execute '/usr/bin/sh -c true' as root on a.\n",
                "Sorry, user me is not allowed to execute '/usr/bin/sh -c true' as root on a",
            ),
            (
                "sudo: /etc/sudo.conf is owned by uid 1000, should be 0\nsudo: effective uid is not 0\n",
                "/etc/sudo.conf is owned by uid 1000, should be 0; effective uid is not 0",
            ),
            ("", "it gave no reason"),
        ] {
            let detail = reason.to_owned();
            assert_eq!(refusal("me", words), MachineError::SudoRefused { detail });
        }
        let old = "sudo: Account or password is expired, reset your password and try again\n";
        let user = "me".to_owned();
        assert_eq!(
            refusal("me", old),
            MachineError::PasswordExpired { user: user.clone() }
        );
    }
}
