//! The header of a GGUF file: magic, version, counts, then typed values under names. The tensors' own entries follow;
//! they are not read. Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::BTreeMap;
use std::io::Read;

use crate::checkpoint::CheckpointError;

/// The most bytes of a header that are read. A vocabulary of 250,000 words with its scores takes some 10 MB.
pub const LONGEST: u64 = 64 << 20;
/// The most values. Published files have fewer than a hundred.
const MOST_VALUES: u64 = 4096;
/// The longest name, by the format.
const LONGEST_NAME: u64 = 65_535;
/// How deep lists may lie in lists. The format has no limit; published files have no lists in lists.
const DEEPEST: u32 = 4;

/// A value of a header.
#[derive(Debug, Clone, PartialEq)]
pub enum GgufValue {
    /// A whole number that is not negative, of any width.
    Number(u64),
    /// A negative whole number, of any width.
    Negative(i64),
    /// A float, of either width.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// A text.
    Text(String),
    /// The length of a list. Lists are vocabularies and the like; their items are not kept.
    List(u64),
}

/// What the header says of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufHeader {
    /// The format's version: 2 or 3.
    pub version: u32,
    /// Tensors in this file; a split checkpoint has more in its other files.
    pub tensors: u64,
    /// The values, by their full names: `general.architecture`, `llama.block_count`.
    pub values: BTreeMap<String, GgufValue>,
}

impl GgufHeader {
    /// The architecture, such as `llama`. The names of most values begin with it.
    pub fn architecture(&self) -> Option<&str> {
        match self.values.get("general.architecture") {
            Some(GgufValue::Text(name)) => Some(name),
            _ => None,
        }
    }

    /// A number of the architecture: `of_model("block_count")` is the number of layers.
    pub fn of_model(&self, name: &str) -> Option<u64> {
        self.number(&format!("{}.{name}", self.architecture()?))
    }

    /// Which file of how many this is, counted from 1; `None` of a checkpoint in one file.
    pub fn split(&self) -> Option<(u64, u64)> {
        let files = self.number("split.count").filter(|n| *n > 1)?;
        Some((self.number("split.no")?.checked_add(1)?, files))
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.values.get(name) {
            Some(GgufValue::Number(n)) => Some(*n),
            _ => None,
        }
    }
}

/// Reads a header from the beginning of a file. It reads at most [`LONGEST`] bytes, and `file` is for the error's words.
pub fn read(file: &str, from: impl Read) -> Result<GgufHeader, CheckpointError> {
    let bad = |why: String| CheckpointError::Gguf {
        file: file.to_owned(),
        why,
    };
    let mut from = Cursor(from.take(LONGEST));
    if &from.bytes::<4>().map_err(bad)? != b"GGUF" {
        return Err(bad("it does not begin with `GGUF`".to_owned()));
    }
    let version = from.u32().map_err(bad)?;
    // Version 1 has lengths of four bytes; a large number is a small one with its bytes the other way round.
    if !(2..=3).contains(&version) {
        return Err(bad(match version.swap_bytes() {
            2..=3 => "its numbers are big-endian".to_owned(),
            _ => format!("version {version} is not known"),
        }));
    }
    let tensors = from.u64().map_err(bad)?;
    let count = from.u64().map_err(bad)?;
    if count > MOST_VALUES {
        return Err(bad(format!("it names {count} values")));
    }
    let mut values = BTreeMap::new();
    for _ in 0..count {
        let name = from.name().map_err(bad)?;
        let kind = from.u32().map_err(bad)?;
        let value = from
            .value(kind, 0)
            .map_err(|why| bad(format!("`{}`: {why}", name.escape_debug())))?;
        if values.insert(name.clone(), value).is_some() {
            return Err(bad(format!("`{}` stands twice", name.escape_debug())));
        }
    }
    Ok(GgufHeader {
        version,
        tensors,
        values,
    })
}

/// Reads little-endian values. What is wrong is the rest of a sentence.
struct Cursor<R>(std::io::Take<R>);

impl<R: Read> Cursor<R> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(self.end()),
            Err(e) => Err(e.to_string()),
        }
    }

    fn end(&self) -> String {
        if self.0.limit() == 0 {
            format!("it is longer than {LONGEST} bytes")
        } else {
            "it ends in the middle".to_owned()
        }
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn name(&mut self) -> Result<String, String> {
        let length = self.u64()?;
        if length > LONGEST_NAME {
            return Err(format!("a name has {length} bytes"));
        }
        self.text_of(length)
    }

    fn text_of(&mut self, length: u64) -> Result<String, String> {
        // The buffer grows with what comes, not with what the length says.
        let mut bytes = Vec::new();
        let read = (&mut self.0).take(length).read_to_end(&mut bytes);
        if read.map_err(|e| e.to_string())? as u64 != length {
            return Err(self.end());
        }
        String::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())
    }

    fn skip(&mut self, bytes: u64) -> Result<(), String> {
        let skipped = std::io::copy(&mut (&mut self.0).take(bytes), &mut std::io::sink());
        match skipped.map_err(|e| e.to_string())? {
            n if n == bytes => Ok(()),
            _ => Err(self.end()),
        }
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<GgufValue, String> {
        let signed = |n: i64| u64::try_from(n).map_or(GgufValue::Negative(n), GgufValue::Number);
        Ok(match kind {
            0 => GgufValue::Number(self.bytes::<1>()?[0].into()),
            1 => signed(i8::from_le_bytes(self.bytes()?).into()),
            2 => GgufValue::Number(u16::from_le_bytes(self.bytes()?).into()),
            3 => signed(i16::from_le_bytes(self.bytes()?).into()),
            4 => GgufValue::Number(self.u32()?.into()),
            5 => signed(i32::from_le_bytes(self.bytes()?).into()),
            6 => GgufValue::Float(f32::from_le_bytes(self.bytes()?).into()),
            7 => match self.bytes::<1>()?[0] {
                0 => GgufValue::Flag(false),
                1 => GgufValue::Flag(true),
                other => return Err(format!("{other} is neither yes nor no")),
            },
            8 => {
                let length = self.u64()?;
                GgufValue::Text(self.text_of(length)?)
            }
            9 => GgufValue::List(self.list(depth)?),
            10 => GgufValue::Number(self.u64()?),
            11 => signed(i64::from_le_bytes(self.bytes()?)),
            12 => GgufValue::Float(f64::from_le_bytes(self.bytes()?)),
            other => return Err(format!("type {other} is not known")),
        })
    }

    /// Passes over a list and says how long it is.
    fn list(&mut self, depth: u32) -> Result<u64, String> {
        if depth == DEEPEST {
            return Err("lists lie in lists too deep".to_owned());
        }
        let kind = self.u32()?;
        let length = self.u64()?;
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                for _ in 0..length {
                    let bytes = self.u64()?;
                    self.skip(bytes)?;
                }
                return Ok(length);
            }
            9 => {
                for _ in 0..length {
                    self.list(depth + 1)?;
                }
                return Ok(length);
            }
            other => return Err(format!("type {other} is not known")),
        };
        let bytes = length
            .checked_mul(width)
            .ok_or("a list is longer than any file")?;
        self.skip(bytes)?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn value(name: &str, kind: u32, bytes: &[u8]) -> Vec<u8> {
        [&text(name)[..], &kind.to_le_bytes(), bytes].concat()
    }

    fn file(values: &[Vec<u8>]) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend(723_u64.to_le_bytes());
        file.extend((values.len() as u64).to_le_bytes());
        file.extend(values.concat());
        file
    }

    fn of_a_model() -> Vec<Vec<u8>> {
        let words = [
            &8_u32.to_le_bytes()[..],
            &2_u64.to_le_bytes(),
            &text("<s>"),
            &text("</s>"),
        ];
        vec![
            value("general.architecture", 8, &text("llama")),
            value("llama.block_count", 4, &61_u32.to_le_bytes()),
            value("llama.rope.freq_base", 6, &1e6_f32.to_le_bytes()),
            value("tokenizer.ggml.tokens", 9, &words.concat()),
            value(
                "tokenizer.ggml.padding_token_id",
                5,
                &(-1_i32).to_le_bytes(),
            ),
            value("tokenizer.ggml.add_bos_token", 7, &[1]),
            value("split.no", 2, &1_u16.to_le_bytes()),
            value("split.count", 2, &3_u16.to_le_bytes()),
        ]
    }

    fn why(bytes: &[u8]) -> String {
        read("a.gguf", bytes)
            .expect_err("it is refused")
            .to_string()
    }

    #[test]
    fn a_header_says_what_the_model_is() {
        let header = read("a.gguf", &file(&of_a_model())[..]).expect("it can be read");
        assert_eq!((header.version, header.tensors), (3, 723));
        assert_eq!(header.architecture(), Some("llama"));
        assert_eq!(header.of_model("block_count"), Some(61));
        assert_eq!(header.of_model("context_length"), None);
        assert_eq!(
            header.split(),
            Some((2, 3)),
            "files are counted from 1 for people"
        );
        let of = |name: &str| &header.values[name];
        assert_eq!(*of("tokenizer.ggml.tokens"), GgufValue::List(2));
        assert_eq!(
            *of("tokenizer.ggml.padding_token_id"),
            GgufValue::Negative(-1)
        );
        assert_eq!(*of("tokenizer.ggml.add_bos_token"), GgufValue::Flag(true));
        assert_eq!(*of("llama.rope.freq_base"), GgufValue::Float(1e6));
    }

    #[test]
    fn what_is_no_header_is_refused_in_words() {
        assert!(why(b"PK\x03\x04").contains("does not begin with `GGUF`"));
        assert!(why(b"GGUF\x01\0\0\0").contains("version 1 is not known"));
        assert!(why(b"GGUF\0\0\0\x03").contains("big-endian"));
        let twice = value("a", 0, &[1]);
        assert!(why(&file(&[twice.clone(), twice])).contains("`a` stands twice"));
        let kind = file(&[value("a", 13, &[])]);
        assert!(why(&kind).contains("`a`: type 13 is not known"));
        let whole = file(&of_a_model());
        for end in 0..whole.len() {
            assert!(
                why(&whole[..end]).contains("ends in the middle"),
                "at {end}"
            );
        }
    }

    #[test]
    fn a_length_that_is_not_there_takes_no_memory() {
        let huge = value("a", 8, &u64::MAX.to_le_bytes());
        assert!(why(&file(&[huge])).contains("ends in the middle"));
        let list = [&12_u32.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat();
        assert!(why(&file(&[value("a", 9, &list)])).contains("longer than any file"));
        let nested: Vec<u8> = std::iter::repeat_n(
            [&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes()].concat(),
            64,
        )
        .flatten()
        .collect();
        assert!(why(&file(&[value("a", 9, &nested)])).contains("too deep"));
        let endless = file(&[value("a", 8, &u64::MAX.to_le_bytes())]);
        let endless = std::io::Read::chain(&endless[..], std::io::repeat(b'x'));
        let error = read("a.gguf", endless).expect_err("it is refused");
        assert!(error.to_string().contains("longer than"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = read("a.gguf", &file(std::slice::from_ref(&bytes))[..]);
            let _ = read("a.gguf", &bytes[..]);
        }

        #[test]
        fn a_flipped_byte_is_an_error_or_another_header(at in 0_usize..200, to in any::<u8>()) {
            let mut whole = file(&of_a_model());
            let at = at % whole.len();
            whole[at] = to;
            let _ = read("a.gguf", &whole[..]);
        }
    }
}
