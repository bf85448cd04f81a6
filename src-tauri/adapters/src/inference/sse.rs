//! Server-sent events, cut out of a byte stream in whatever pieces it arrives.

/// The longest line and the longest event, in bytes. A token is some hundred.
const LONGEST: usize = 1 << 20;

/// A byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// A line or an event has more than [`LONGEST`] bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventTooLong;

/// Collects bytes and gives back the data of every event that is complete.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    begun: bool,
    line: Vec<u8>,
    data: Option<String>,
    after_return: bool,
}

impl EventReader {
    /// Takes the next bytes and calls back with the data of each event they complete.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(&str),
    ) -> Result<(), EventTooLong> {
        for &byte in bytes {
            let was_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if was_return => {}
                b'\n' | b'\r' => self.end_line(&mut on_event)?,
                _ if self.line.len() == LONGEST => return Err(EventTooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(())
    }

    fn end_line(&mut self, on_event: &mut impl FnMut(&str)) -> Result<(), EventTooLong> {
        let mut line = std::mem::take(&mut self.line);
        // The standard tells readers to drop a byte order mark before the first line.
        if !std::mem::replace(&mut self.begun, true) && line.starts_with(MARK) {
            line.drain(..MARK.len());
        }
        if line.is_empty() {
            if let Some(data) = self.data.take() {
                on_event(&data);
            }
            return Ok(());
        }
        // Other fields and comments (`: keep-alive`) mean nothing to this API.
        let Some(value) = line.strip_prefix(b"data:") else {
            return Ok(());
        };
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match &mut self.data {
            None => self.data = Some(value.into_owned()),
            Some(data) if data.len() + value.len() >= LONGEST => return Err(EventTooLong),
            Some(data) => {
                data.push('\n');
                data.push_str(&value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{EventReader, EventTooLong, LONGEST};

    fn events(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = EventReader::default();
        let mut out = Vec::new();
        for piece in pieces {
            let read = reader.feed(piece, |data| out.push(data.to_owned()));
            read.expect("short events");
        }
        out
    }

    #[test]
    fn every_kind_of_line_end_and_every_cut_gives_the_same_events() {
        let plain =
            "data: {\"a\":\"é€\"}\n\n: keep-alive\n\ndata:two\ndata: lines\n\ndata: [DONE]\n\n";
        let wanted = vec![
            "{\"a\":\"é€\"}".to_owned(),
            "two\nlines".into(),
            "[DONE]".into(),
        ];
        for text in [
            plain.to_owned(),
            plain.replace('\n', "\r\n"),
            plain.replace('\n', "\r"),
        ] {
            let bytes = text.as_bytes();
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(events(&single), wanted, "byte by byte");
            for at in 0..bytes.len() {
                assert_eq!(events(&[&bytes[..at], &bytes[at..]]), wanted, "cut at {at}");
            }
        }
    }

    #[test]
    fn an_event_without_its_blank_line_is_not_complete() {
        assert!(events(&[b"data: half"]).is_empty());
        assert!(
            events(&[b"event: ping\n\n"]).is_empty(),
            "no data, no event"
        );
    }

    #[test]
    fn an_event_without_an_end_is_not_held() {
        for piece in [&b"data: xxxxxxxxxxxxxxxx"[..], b"data: xxxxxxxxxxxxxxxx\n"] {
            let mut reader = EventReader::default();
            let mut held = 0;
            let outcome = loop {
                held += piece.len();
                match reader.feed(piece, |_| {}) {
                    Ok(()) => {}
                    Err(e) => break e,
                }
            };
            assert_eq!(outcome, EventTooLong);
            assert!(held < 2 * LONGEST, "{held}");
        }
    }
}
