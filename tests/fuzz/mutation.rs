//! A sample with some of its bytes changed.

use bolero::TypeGenerator;

/// What is done to one of the samples.
#[derive(Debug, Clone, TypeGenerator)]
pub(crate) struct Mutation {
    sample: u8,
    changes: Vec<Change>,
    /// Nothing of a sample but these bytes, now and then.
    instead: Option<Vec<u8>>,
}

#[derive(Debug, Clone, TypeGenerator)]
enum Change {
    Set { at: u16, to: u8 },
    Insert { at: u16, what: Token },
    Remove { at: u16, len: u8 },
    Double { at: u16, len: u16 },
    Cut { at: u16 },
}

/// What readers trip over.
#[derive(Debug, Clone, TypeGenerator)]
enum Token {
    Byte(u8),
    Quote,
    Brace,
    Bracket,
    Largest,
    Negative,
    NotANumber,
    Huge,
    LineBreak,
    Escape,
    Turned,
    Parent,
    Null,
}

impl Token {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Byte(byte) => vec![*byte],
            Self::Quote => b"\"".to_vec(),
            Self::Brace => b"{".to_vec(),
            Self::Bracket => b"[".to_vec(),
            Self::Largest => b"18446744073709551615".to_vec(),
            Self::Negative => b"-1".to_vec(),
            Self::NotANumber => b"NaN".to_vec(),
            Self::Huge => b"1e999".to_vec(),
            Self::LineBreak => b"\r\n".to_vec(),
            Self::Escape => b"\x1b[201~".to_vec(),
            Self::Turned => "\u{202e}".into(),
            Self::Parent => b"../".to_vec(),
            Self::Null => b"null".to_vec(),
        }
    }
}

impl Mutation {
    /// The changed sample.
    pub(crate) fn of(&self, samples: &[Vec<u8>]) -> Vec<u8> {
        if let Some(instead) = &self.instead
            && self.sample.is_multiple_of(8)
        {
            return instead.clone();
        }
        let mut bytes = samples[usize::from(self.sample) % samples.len()].clone();
        for change in self.changes.iter().take(8) {
            let place = |at: u16| usize::from(at) % (bytes.len() + 1);
            match change {
                Change::Set { at, to } => {
                    let at = place(*at);
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = *to;
                    }
                }
                Change::Insert { at, what } => {
                    let at = place(*at);
                    bytes.splice(at..at, what.bytes());
                }
                Change::Remove { at, len } => {
                    let from = place(*at);
                    let to = (from + usize::from(*len)).min(bytes.len());
                    bytes.drain(from..to);
                }
                Change::Double { at, len } => {
                    let from = place(*at);
                    let to = (from + usize::from(*len)).min(bytes.len());
                    let again = bytes[from..to].to_vec();
                    bytes.splice(to..to, again);
                }
                Change::Cut { at } => bytes.truncate(place(*at)),
            }
        }
        bytes
    }
}
