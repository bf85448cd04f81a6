//! Log lines out of a container's raw output.

use std::collections::VecDeque;

/// How many bytes of a line are kept. What follows up to its end is left out, and three dots stand for it.
const LONGEST_LINE: usize = 64 << 10;

/// How many bytes of a log's end are held.
const MOST_TAIL: usize = 4 << 20;

/// Cuts a stream at `\n` and `\r` and takes the colours out. Progress bars redraw their line with a
/// lone `\r`: each drawing is a line of its own.
#[derive(Debug, Default)]
pub struct LineCutter {
    line: Vec<u8>,
    after_return: bool,
    /// Whether bytes of this line were left out.
    cut: bool,
}

impl LineCutter {
    /// Takes the next bytes and calls back with each line they complete.
    pub fn feed(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for &byte in bytes {
            let was_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if was_return => {}
                b'\n' => self.end_line(on_line),
                b'\r' if self.line.is_empty() => {}
                b'\r' => self.end_line(on_line),
                _ if self.line.len() == LONGEST_LINE => self.cut = true,
                _ => self.line.push(byte),
            }
        }
    }

    /// Hands over what is left without a line end.
    pub fn end(mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.line.is_empty() {
            self.end_line(on_line);
        }
    }

    fn end_line(&mut self, on_line: &mut dyn FnMut(&str)) {
        let line = std::mem::take(&mut self.line);
        let mut line = plain(&String::from_utf8_lossy(&line));
        if std::mem::take(&mut self.cut) {
            line.push('…');
        }
        on_line(&line);
    }
}

/// The text without terminal sequences: CSI (`ESC [ … letter`), OSC (`ESC ] … BEL or ESC \`) and
/// the two-character ones.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('[') => {
                while rest
                    .next()
                    .is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c))
                {}
            }
            Some(']') => {
                while let Some(c) = rest.next() {
                    if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    out
}

/// Which of a container's two outputs.
#[derive(Debug, Clone, Copy)]
pub(super) enum OutputStream {
    Out,
    Err,
}

/// How many bytes of each output were read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen([usize; 2]);

impl Seen {
    /// What of the next `bytes` was not read yet. Takes from the count.
    pub(super) fn rest_of<'b>(&mut self, stream: OutputStream, bytes: &'b [u8]) -> &'b [u8] {
        let left = &mut self.0[stream as usize];
        let known = bytes.len().min(*left);
        *left -= known;
        &bytes[known..]
    }
}

/// A log read in one go or several. The two outputs are cut apart, because a line of one may be
/// interrupted by the other; which of two lines came first is not known across them.
#[derive(Debug, Default)]
pub(super) struct LogReading {
    seen: Seen,
    cutters: [LineCutter; 2],
}

impl LogReading {
    pub(super) fn seen(&self) -> Seen {
        self.seen
    }

    pub(super) fn feed(
        &mut self,
        stream: OutputStream,
        bytes: &[u8],
        on_line: &mut dyn FnMut(&str),
    ) {
        self.seen.0[stream as usize] += bytes.len();
        self.cutters[stream as usize].feed(bytes, on_line);
    }

    /// Hands over what is left without a line end.
    pub(super) fn end(self, on_line: &mut dyn FnMut(&str)) {
        for cutter in self.cutters {
            cutter.end(on_line);
        }
    }
}

/// The last lines of a log, of which no more is held than is asked for.
#[derive(Debug)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    most: usize,
}

impl Tail {
    /// Room for this many lines, and for [`MOST_TAIL`] bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            most,
        }
    }

    pub(super) fn push(&mut self, line: &str) {
        self.bytes += line.len();
        self.lines.push_back(line.to_owned());
        while self.lines.len() > self.most || self.bytes > MOST_TAIL {
            let Some(first) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= first.len();
        }
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_LINE, LineCutter, LogReading, OutputStream, Tail};

    fn lines(text: &str, piece: usize) -> Vec<String> {
        let mut cutter = LineCutter::default();
        let mut out = Vec::new();
        for part in text.as_bytes().chunks(piece) {
            cutter.feed(part, &mut |line| out.push(line.to_owned()));
        }
        cutter.end(&mut |line| out.push(line.to_owned()));
        out
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = "\u{1b}[0;36m(EngineCore pid=7)\u{1b}[0;0m INFO é\r\n\nLoading:   0%|  | 0/3\rLoading:  33%|# | 1/3\r\n\u{1b}]0;title\u{7}last";
        let wanted = [
            "(EngineCore pid=7) INFO é",
            "",
            "Loading:   0%|  | 0/3",
            "Loading:  33%|# | 1/3",
            "last",
        ];
        for piece in [1, 2, 7, text.len()] {
            assert_eq!(lines(text, piece), wanted, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut cutter = LineCutter::default();
        let mut lines = Vec::new();
        for _ in 0..100 {
            cutter.feed(&[b'x'; 10_000], &mut |line| lines.push(line.len()));
            assert!(cutter.line.len() <= LONGEST_LINE);
        }
        cutter.feed(b"\nnext\n", &mut |line| lines.push(line.len()));
        assert_eq!(lines, [LONGEST_LINE + "…".len(), 4]);
    }

    #[test]
    fn what_was_read_is_not_read_again() {
        let mut lines = Vec::new();
        let mut push = |line: &str| lines.push(line.to_owned());
        let mut read = LogReading::default();
        read.feed(OutputStream::Out, b"one\ntw", &mut push);
        read.feed(OutputStream::Err, b"aside\n", &mut push);
        let mut skip = read.seen();
        for (stream, bytes) in [
            (OutputStream::Err, &b"asi"[..]),
            (OutputStream::Out, b"one\n"),
            (OutputStream::Out, b"two"),
            (OutputStream::Err, b"de\nlast"),
        ] {
            read.feed(stream, skip.rest_of(stream, bytes), &mut push);
        }
        read.end(&mut push);
        assert_eq!(lines, ["one", "aside", "two", "last"]);
    }

    #[test]
    fn of_a_log_only_the_end_is_held() {
        let mut tail = Tail::new(2);
        for line in ["one", "two", "three"] {
            tail.push(line);
        }
        assert_eq!(tail.into_lines(), ["two", "three"]);
        let mut tail = Tail::new(usize::MAX);
        let long = "x".repeat(LONGEST_LINE);
        for _ in 0..1000 {
            tail.push(&long);
        }
        assert_eq!(tail.into_lines().len(), 64, "4 MiB");
    }
}
