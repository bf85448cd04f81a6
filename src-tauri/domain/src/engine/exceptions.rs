//! What a Python program's log says of its end: exceptions, apart from warnings and from words that only sound like one.
//!
//! Processes write into one log, each line with the process before it, and vLLM with level, time and place:
//! `(Worker_TP1 pid=88) ERROR 11-20 09:15:44 [multiproc_executor.py:772] ValueError: …`.

/// Lines that are looked back for the places an exception came through.
const TRACEBACK: usize = 200;

/// One line without what stands before its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogLine<'a> {
    /// The process, as the log names it; empty where it does not.
    process: &'a str,
    /// `MM-DD HH:MM:SS`, where the line says it.
    time: Option<&'a str>,
    /// Whether the program itself calls it information or a warning.
    harmless: bool,
    /// The words.
    pub(super) words: &'a str,
}

/// Takes a line apart.
pub(super) fn line(text: &str) -> LogLine<'_> {
    let mut found = LogLine {
        process: "",
        time: None,
        harmless: false,
        words: text,
    };
    if let Some((process, rest)) = text.strip_prefix('(').and_then(|t| t.split_once(") "))
        && process.contains("pid=")
    {
        (found.process, found.words) = (process, rest);
    }
    let level = |name: &str| {
        let rest = found.words.strip_prefix(name)?.strip_prefix(' ')?;
        let time = rest.get(..14).filter(|t| is_time(t))?;
        let (_, words) = rest.split_once("] ")?;
        Some((time, words))
    };
    for (name, harmless) in [
        ("ERROR", false),
        ("CRITICAL", false),
        ("WARNING", true),
        ("INFO", true),
        ("DEBUG", true),
    ] {
        if let Some((time, words)) = level(name) {
            found = LogLine {
                time: Some(time),
                harmless,
                words,
                ..found
            };
            return found;
        }
    }
    // As PyTorch's own log has it: `[rank1]:[W1126 19:33:59.723498809 TCPStore.cpp:125] …`, and of an exception
    // `[rank1]: ValueError: …`.
    if let Some((_, rest)) = found
        .words
        .strip_prefix("[rank")
        .and_then(|t| t.split_once("]:"))
    {
        let rest = rest.trim_start_matches(' ');
        found.harmless = rest.starts_with("[W") || rest.starts_with("[I");
        found.words = rest;
    }
    found
}

/// `11-20 09:15:44`
fn is_time(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, byte)| match at {
        2 => byte == b'-',
        5 => byte == b' ',
        8 | 11 => byte == b':',
        _ => byte.is_ascii_digit(),
    })
}

impl LogLine<'_> {
    /// Whether a failure can be read from it.
    pub(super) fn counts(&self) -> bool {
        !self.harmless
    }
}

/// An exception's own last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exception {
    /// Its line, counted from 0.
    pub(super) at: usize,
    /// Name and message.
    pub(super) text: String,
    /// `MM-DD HH:MM:SS`, where the log says it.
    pub(super) time: Option<String>,
}

/// The exceptions of a log, in its order.
pub(super) fn exceptions(log: &[String]) -> Vec<Exception> {
    let mut found = Vec::new();
    for (at, text) in log.iter().enumerate() {
        let here = line(text);
        if !here.counts() || !is_exception(here.words) {
            continue;
        }
        let mut said = here.words.trim_end().to_owned();
        // pydantic says in the first line how many, and in the next what.
        if said.contains("validation error")
            && let Some(next) = log.get(at + 1)
        {
            said = format!("{said}: {}", line(next).words.trim());
        }
        found.push(Exception {
            at,
            text: said,
            time: here.time.map(str::to_owned),
        });
    }
    found
}

/// The places that the exception in this line came through, as far as the log has them.
pub(super) fn frames(log: &[String], at: usize) -> impl Iterator<Item = &str> {
    let process = log.get(at).map_or("", |l| line(l).process);
    log[..at.min(log.len())]
        .iter()
        .rev()
        .take(TRACEBACK)
        .map(|text| line(text))
        .filter(move |before| before.process == process)
        .take_while(|before| {
            !before
                .words
                .starts_with("Traceback (most recent call last)")
        })
        .map(|before| before.words.trim_start())
        .filter(|words| words.starts_with("File \""))
}

/// Whether words are the last line of an exception: `ValueError: …`, `torch.OutOfMemoryError: …`.
fn is_exception(words: &str) -> bool {
    let name = words.split(':').next().unwrap_or_default().trim_end();
    let last = name.rsplit('.').next().unwrap_or_default();
    let named = ["Error", "Exception"].iter().any(|end| last.ends_with(end));
    let path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    // "Error 803: …" and "Last error:" are words of a message.
    named
        && last != "Error"
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    fn texts(text: &str) -> Vec<String> {
        exceptions(&log(text)).into_iter().map(|e| e.text).collect()
    }

    #[test]
    fn an_exception_is_told_from_a_warning_that_quotes_one() {
        let warned = "(APIServer pid=1) WARNING 11-26 19:28:07 [system_utils.py:299] Found ulimit of 20000. This can cause fd limit errors like `OSError: [Errno 24] Too many open files`.\n\
            [rank1]:[W1126 19:33:59.723498809 TCPStore.cpp:125] [c10d] recvValue failed: Connection was likely closed.\n\
            (Worker pid=2) ERROR 11-26 19:33:14 [multiproc_executor.py:901]     raise RuntimeError(f\"NCCL error: {error_str}\")\n\
            Last error:\nError: nothing\nWarning: old";
        assert_eq!(texts(warned), Vec::<String>::new());
    }

    #[test]
    fn its_own_last_line_is_kept_without_what_stands_before() {
        let said = "(EngineCore_DP0 pid=9) ERROR 11-20 13:09:12 [core.py:866] AssertionError: They differ.\n\
            torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB.\n\
            [rank1]: ValueError: no\nKeyError\n\
            (APIServer pid=1) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n\
            (APIServer pid=1)   Value error, User-specified max_model_len (9) is greater";
        assert_eq!(
            texts(said),
            [
                "AssertionError: They differ.",
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB.",
                "ValueError: no",
                "KeyError",
                "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig: Value error, User-specified max_model_len (9) is greater",
            ]
        );
        let first = &exceptions(&log(said))[0];
        assert_eq!(first.time.as_deref(), Some("11-20 13:09:12"));
    }

    #[test]
    fn the_places_of_another_process_are_not_its_own() {
        let said = log(
            "(A pid=1) Traceback (most recent call last):\n(A pid=1)   File \"old.py\", line 1\n(A pid=1) KeyError: 'x'\n\
             (A pid=1) Traceback (most recent call last):\n(A pid=1)   File \"a.py\", line 1\n(B pid=2)   File \"b.py\", line 2\n\
             (A pid=1)     a()\n(A pid=1) IndexError: list index out of range",
        );
        let places: Vec<&str> = frames(&said, 7).collect();
        assert_eq!(places, ["File \"a.py\", line 1"]);
    }
}
