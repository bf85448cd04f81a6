//! What comes over a stream before the command's own output: the words of the login shell's start files, then the
//! conversation with sudo. Marks that no output can contain by chance part them. Pure: bytes in, bytes out.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::command::{Elevation, Marks};

/// How many bytes may come before a command's own output.
pub(super) const MOST_BEFORE: usize = 64 << 10;

/// More came before the mark than [`MOST_BEFORE`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuchBefore;

/// One stream up to its last mark. Every byte is looked at once, however many pieces it comes in.
#[derive(Debug)]
struct Opening {
    /// The marks that are still to come, in their order.
    marks: VecDeque<String>,
    /// What came since the last mark.
    text: Vec<u8>,
    /// Up to here `text` holds no mark.
    looked: usize,
}

impl Opening {
    fn new(marks: impl IntoIterator<Item = String>) -> Self {
        Self {
            marks: marks.into_iter().collect(),
            text: Vec::new(),
            looked: 0,
        }
    }

    /// Takes the next bytes and gives back those that come after the last mark.
    fn read<'b>(&mut self, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>, TooMuchBefore> {
        if self.marks.is_empty() {
            return Ok(Cow::Borrowed(bytes));
        }
        self.text.extend_from_slice(bytes);
        while let Some(mark) = self.marks.front() {
            match find(&self.text, mark.as_bytes(), self.looked) {
                Some(end) => {
                    self.text.drain(..end);
                    self.marks.pop_front();
                    self.looked = 0;
                }
                None if self.text.len() > MOST_BEFORE => return Err(TooMuchBefore),
                None => {
                    self.looked = self.text.len().saturating_sub(mark.len() - 1);
                    return Ok(Cow::Borrowed(&[]));
                }
            }
        }
        Ok(Cow::Owned(std::mem::take(&mut self.text)))
    }
}

/// Where `what` ends in `text`, looked for from `from` on.
fn find(text: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let at = rest.windows(what.len()).position(|window| window == what)?;
    Some(from + at + what.len())
}

/// What the last bytes mean for the conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing yet.
    Nothing,
    /// sudo asks for the password.
    Asks,
    /// sudo asks a second time: the password was wrong.
    AsksAgain,
    /// The command runs.
    Started,
}

/// Both streams of a command.
#[derive(Debug)]
pub(super) struct Talk {
    out: Opening,
    err: Opening,
    prompt: Option<String>,
    asked: bool,
    /// Up to here the words of sudo hold no prompt that was not counted.
    prompts_looked: usize,
    /// Which stream tells that the command runs.
    by_sudo: bool,
    started: bool,
}

impl Talk {
    pub(super) fn new(marks: &Marks, elevation: Elevation) -> Self {
        let by_sudo = elevation != Elevation::None;
        let list = || {
            let started = by_sudo.then(|| marks.started.clone());
            std::iter::once(marks.begun.clone()).chain(started)
        };
        Self {
            out: Opening::new(list()),
            err: Opening::new(list()),
            prompt: (elevation == Elevation::Asked).then(|| marks.prompt.clone()),
            asked: false,
            prompts_looked: 0,
            by_sudo,
            started: false,
        }
    }

    /// Takes bytes of stdout and gives back the command's own.
    pub(super) fn stdout<'b>(
        &mut self,
        bytes: &'b [u8],
    ) -> Result<(Cow<'b, [u8]>, Turn), TooMuchBefore> {
        let own = self.out.read(bytes)?;
        let starts = !self.by_sudo && !self.started && self.out.marks.is_empty();
        self.started |= starts;
        let turn = if starts { Turn::Started } else { Turn::Nothing };
        Ok((own, turn))
    }

    /// The same of stderr, where sudo speaks.
    pub(super) fn stderr<'b>(
        &mut self,
        bytes: &'b [u8],
    ) -> Result<(Cow<'b, [u8]>, Turn), TooMuchBefore> {
        let before = self.err.marks.len();
        let own = self.err.read(bytes)?;
        if self.err.marks.len() != before {
            self.prompts_looked = 0;
        }
        if !self.by_sudo || self.started {
            return Ok((own, Turn::Nothing));
        }
        if self.err.marks.is_empty() {
            self.started = true;
            return Ok((own, Turn::Started));
        }
        Ok((own, self.question()))
    }

    fn question(&mut self) -> Turn {
        // Before the first mark it is the shell that speaks.
        let (Some(prompt), 1) = (&self.prompt, self.err.marks.len()) else {
            return Turn::Nothing;
        };
        match find(&self.err.text, prompt.as_bytes(), self.prompts_looked) {
            Some(end) => {
                self.prompts_looked = end;
                if std::mem::replace(&mut self.asked, true) {
                    Turn::AsksAgain
                } else {
                    Turn::Asks
                }
            }
            None => {
                let kept = self.err.text.len().saturating_sub(prompt.len() - 1);
                self.prompts_looked = self.prompts_looked.max(kept);
                Turn::Nothing
            }
        }
    }

    /// Whether the login shell came to our line.
    pub(super) fn begun(&self) -> bool {
        self.out.marks.len() <= usize::from(self.by_sudo)
    }

    /// Whether the command itself was started.
    pub(super) fn started(&self) -> bool {
        self.started
    }

    /// What sudo said, without its prompt.
    pub(super) fn sudo_said(&self) -> String {
        let text = String::from_utf8_lossy(&self.err.text).into_owned();
        match &self.prompt {
            Some(prompt) => text.replace(prompt, ""),
            None => text,
        }
    }

    /// What the shell printed before our line, on both streams.
    pub(super) fn shell_said(&self) -> String {
        let said = [&self.out.text[..], &self.err.text[..]].concat();
        String::from_utf8_lossy(&said).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_BEFORE, Talk, TooMuchBefore, Turn};
    use crate::ssh::command::{Elevation, Marks};

    fn marks() -> Marks {
        Marks {
            begun: "<begun>".into(),
            prompt: "<ask>".into(),
            started: "<go>".into(),
        }
    }

    #[test]
    fn what_start_files_print_is_passed_over_in_any_cut() {
        let text = b"Welcome to spark-a\n<beg<begun>aarch64\n";
        for piece in 1..text.len() {
            let mut talk = Talk::new(&marks(), Elevation::None);
            let (mut own, mut turns) = (Vec::new(), Vec::new());
            for part in text.chunks(piece) {
                let (bytes, turn) = talk.stdout(part).expect("little came before");
                own.extend_from_slice(&bytes);
                turns.push(turn);
            }
            assert_eq!(own, b"aarch64\n", "in pieces of {piece}");
            turns.retain(|t| *t != Turn::Nothing);
            assert_eq!(turns, [Turn::Started]);
            assert!(talk.begun() && talk.started());
        }
    }

    #[test]
    fn the_conversation_with_sudo_is_understood_byte_by_byte() {
        let mut talk = Talk::new(&marks(), Elevation::Asked);
        let (mut own, mut turns) = (Vec::new(), Vec::new());
        for byte in b"bashrc: <ask>\n<begun>the lecture\n<ask><go>warning: x" {
            let byte = [*byte];
            let (bytes, turn) = talk.stderr(&byte).expect("little came before");
            own.extend_from_slice(&bytes);
            turns.push(turn);
        }
        turns.retain(|t| *t != Turn::Nothing);
        assert_eq!(turns, [Turn::Asks, Turn::Started]);
        assert_eq!(own, b"warning: x", "only the command's own words are left");
    }

    #[test]
    fn a_second_question_means_that_the_password_was_wrong() {
        let mut talk = Talk::new(&marks(), Elevation::Asked);
        let ask = b"<begun>[sudo: <ask>] Password: ";
        assert_eq!(talk.stderr(ask).expect("read").1, Turn::Asks);
        let again = b"\nsudo: Authentication failed, try again.\n[sudo: <ask>] Password: ";
        assert_eq!(talk.stderr(again).expect("read").1, Turn::AsksAgain);
    }

    #[test]
    fn words_without_a_mark_have_an_end() {
        let mut talk = Talk::new(&marks(), Elevation::Asked);
        let mut read = 0;
        let outcome = loop {
            read += 1000;
            if let Err(e) = talk.stderr(&[b'x'; 1000]) {
                break e;
            }
        };
        assert_eq!(outcome, TooMuchBefore);
        assert!(read < MOST_BEFORE + 2000, "{read}");
        assert!(!talk.begun());
    }
}
