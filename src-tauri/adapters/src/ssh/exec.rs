//! Running one command on a machine and listening to it until it has ended.

use std::time::Duration;

use russh::ChannelMsg;
use tandem_domain::ports::{Command, MachineError};
use tandem_domain::secret::Secret;

use super::command::{self, Elevation, Marks};
use super::error;
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
}

/// Runs a command and hands over its stdout as it comes. Dropping the future ends the command.
pub(super) async fn run(
    session: &Session,
    command: &Command,
    who: Who<'_>,
    on_stdout: &mut (dyn FnMut(&[u8]) + Send),
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
    /// Nothing: sudo has not let us in yet.
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
    on_stdout: &mut (dyn FnMut(&[u8]) + Send),
) -> Result<Ended, MachineError> {
    let during = || error::lost(format!("running `{}`", command.program));
    let elevation = match (command.sudo, &who.sudo_password) {
        (false, _) => Elevation::None,
        (true, None) => Elevation::Free(Marks::new()),
        (true, Some(_)) => Elevation::Asked(Marks::new()),
    };
    let mut channel = session.command_channel().await?;
    let writer = channel.writer();
    writer
        .exec(true, command::line(command, &elevation))
        .await
        .map_err(|_| during())?;

    let mut sudo = SudoTalk::new(&elevation);
    let mut feed = if command.sudo {
        Feed::Hold
    } else {
        Feed::Stdin
    };
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
                tokio::select! {
                    biased;
                    message = message => match message {
                        Err(_) => break Next::Finished,
                        Ok(None) if status.is_some() => break Next::Finished,
                        Ok(None) => return Err(during()),
                        Ok(Some(ChannelMsg::Data { data })) => on_stdout(&data),
                        Ok(Some(ChannelMsg::ExtendedData { data, ext: 1 })) => {
                            stderr.extend_from_slice(&data);
                            match sudo.read(&mut stderr) {
                                SudoState::Nothing => {}
                                SudoState::Asks => break Next::Feed(Feed::Password),
                                SudoState::Root => break Next::Feed(Feed::Stdin),
                                SudoState::AsksAgain => {
                                    return Err(MachineError::WrongPassword {
                                        user: who.user.to_owned(),
                                        address: who.address.to_owned(),
                                    });
                                }
                            }
                        }
                        Ok(Some(ChannelMsg::ExitStatus { exit_status })) => {
                            status = Some(i32::try_from(exit_status).unwrap_or(i32::MAX));
                        }
                        Ok(Some(ChannelMsg::ExitSignal { signal_name, .. })) => {
                            status = Some(128 + signal_number(&signal_name));
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
                        Ok(Some(_)) => {}
                    },
                    sent = &mut sending => {
                        sent.map_err(|_| during())?;
                        break Next::Feed(match feed { Feed::Password => Feed::Hold, _ => Feed::Done });
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
    if sudo.is_waiting() {
        return Err(refusal(&sudo.strip(&stderr)));
    }
    Ok(Ended { status, stderr })
}

enum Next {
    Feed(Feed),
    Finished,
}

/// Follows what sudo prints on stderr until the command starts.
struct SudoTalk {
    marks: Option<Marks>,
    asked: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum SudoState {
    Nothing,
    Asks,
    AsksAgain,
    Root,
}

impl SudoTalk {
    fn new(elevation: &Elevation) -> Self {
        let marks = match elevation {
            Elevation::None => None,
            Elevation::Free(marks) | Elevation::Asked(marks) => Some(marks.clone()),
        };
        Self { marks, asked: 0 }
    }

    fn is_waiting(&self) -> bool {
        self.marks.is_some()
    }

    /// Looks at stderr so far. Once the command has started, cuts off all that came before it.
    fn read(&mut self, stderr: &mut Vec<u8>) -> SudoState {
        let Some(marks) = &self.marks else {
            return SudoState::Nothing;
        };
        if let Some(at) = find(stderr, marks.started.as_bytes()) {
            stderr.drain(..at + marks.started.len());
            self.marks = None;
            return SudoState::Root;
        }
        let asked = String::from_utf8_lossy(stderr)
            .matches(&marks.prompt)
            .count();
        if asked == self.asked {
            return SudoState::Nothing;
        }
        self.asked = asked;
        if asked == 1 {
            SudoState::Asks
        } else {
            SudoState::AsksAgain
        }
    }

    fn strip(&self, stderr: &[u8]) -> String {
        let text = String::from_utf8_lossy(stderr).into_owned();
        match &self.marks {
            Some(marks) => text.replace(&marks.prompt, ""),
            None => text,
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// What sudo meant when it did not start the command. Its language is fixed to English.
fn refusal(stderr: &str) -> MachineError {
    if stderr.contains("a password is required") {
        return MachineError::SudoPasswordNeeded;
    }
    let line = stderr
        .lines()
        .map(str::trim)
        .rfind(|l| !l.is_empty())
        .unwrap_or("nothing");
    let line = line
        .strip_prefix("sudo: ")
        .unwrap_or(line)
        .trim_end_matches('.');
    MachineError::SudoRefused {
        detail: line.to_owned(),
    }
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
    use super::{Elevation, Marks, SudoState, SudoTalk, refusal};
    use tandem_domain::ports::MachineError;

    #[test]
    fn the_talk_is_understood_byte_by_byte() {
        let marks = Marks {
            prompt: "<ask>".into(),
            started: "<go>".into(),
        };
        let mut talk = SudoTalk::new(&Elevation::Asked(marks));
        let mut stderr = Vec::new();
        let mut heard = Vec::new();
        for byte in b"the lecture\n<ask><go>warning: x" {
            stderr.push(*byte);
            match talk.read(&mut stderr) {
                SudoState::Nothing => {}
                other => heard.push(other),
            }
        }
        assert_eq!(heard, [SudoState::Asks, SudoState::Root]);
        assert_eq!(
            stderr, b"warning: x",
            "only the command's own words are left"
        );
    }

    #[test]
    fn a_second_question_means_that_the_password_was_wrong() {
        let marks = Marks {
            prompt: "<ask>".into(),
            started: "<go>".into(),
        };
        let mut talk = SudoTalk::new(&Elevation::Asked(marks));
        let mut stderr = b"<ask>".to_vec();
        assert_eq!(talk.read(&mut stderr), SudoState::Asks);
        stderr.extend_from_slice(b"Sorry, try again.\n<ask>");
        assert_eq!(talk.read(&mut stderr), SudoState::AsksAgain);
    }

    #[test]
    fn the_reasons_of_sudo_are_told_apart() {
        assert_eq!(
            refusal("sudo: a password is required\n"),
            MachineError::SudoPasswordNeeded
        );
        assert_eq!(
            refusal("\nnvidia is not in the sudoers file.\n"),
            MachineError::SudoRefused {
                detail: "nvidia is not in the sudoers file".into()
            }
        );
    }
}
