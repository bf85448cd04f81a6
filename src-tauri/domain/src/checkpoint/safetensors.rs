//! Safetensors headers: eight bytes of length, that many bytes of JSON, then the data.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::checkpoint::CheckpointError;
use crate::sizes::FileSize;

/// Bytes in front of the JSON.
pub const PREFIX: u64 = 8;

/// The longest header that is read. The format allows 100 MB; a model of ten thousand tensors needs
/// two, and the node program keeps a header in memory.
pub const LONGEST: u64 = 16 << 20;

/// One tensor as its header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// For example `model.layers.45.eh_proj.weight`.
    pub name: String,
    /// For example `BF16`.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// First byte, counted from the start of the file.
    pub begin: u64,
    /// The byte after the last, counted from the start of the file.
    pub end: u64,
}

impl Tensor {
    /// Bytes it takes.
    pub fn bytes(&self) -> u64 {
        self.end - self.begin
    }

    /// Dtype and shape as people write them: `BF16 [4096, 8192]`.
    pub fn kind(&self) -> String {
        format!("{} {:?}", self.dtype, self.shape)
    }
}

/// The tensors of one file, in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The tensors.
    pub tensors: Vec<Tensor>,
    /// Bytes of the whole file, as the header implies.
    pub file_size: u64,
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Reads the length in front of a header.
pub fn length(file: &str, prefix: [u8; 8]) -> Result<u64, CheckpointError> {
    let n = u64::from_le_bytes(prefix);
    if (2..=LONGEST).contains(&n) {
        Ok(n)
    } else {
        Err(bad(
            file,
            format!("its length of {n} bytes is out of bounds"),
        ))
    }
}

/// Reads a header's JSON.
pub fn parse(file: &str, text: &[u8]) -> Result<Header, CheckpointError> {
    let raw: BTreeMap<String, Value> =
        serde_json::from_slice(text).map_err(|e| bad(file, format!("it is not JSON ({e})")))?;
    let data = PREFIX + text.len() as u64;
    let mut tensors = Vec::with_capacity(raw.len());
    for (name, value) in raw {
        if name == "__metadata__" {
            continue;
        }
        let entry: RawTensor = serde_json::from_value(value)
            .map_err(|e| bad(file, format!("{name} is not described ({e})")))?;
        let (from, to) = entry.data_offsets;
        let bytes = entry
            .shape
            .iter()
            .try_fold(1_u64, |n, d| n.checked_mul(*d))
            .and_then(|n| n.checked_mul(bits(&entry.dtype)?))
            .map(|bits| bits / 8);
        if from > to || bytes.is_some_and(|n| n != to - from) {
            return Err(bad(
                file,
                format!("{name} has a range that does not fit its shape"),
            ));
        }
        tensors.push(Tensor {
            name,
            dtype: entry.dtype,
            shape: entry.shape,
            begin: place(file, data, from)?,
            end: place(file, data, to)?,
        });
    }
    tensors.sort_by(|a, b| (a.begin, a.end, &a.name).cmp(&(b.begin, b.end, &b.name)));
    let mut at = data;
    for tensor in &tensors {
        if tensor.begin != at {
            return Err(bad(
                file,
                format!("{} does not follow the tensor before it", tensor.name),
            ));
        }
        at = tensor.end;
    }
    Ok(Header {
        tensors,
        file_size: at,
    })
}

/// A place in the file, where there can be one.
fn place(file: &str, data: u64, offset: u64) -> Result<u64, CheckpointError> {
    let at = data
        .checked_add(offset)
        .and_then(|at| FileSize::told(at).ok());
    at.map(FileSize::bytes)
        .ok_or_else(|| bad(file, "a range is too large"))
}

/// Writes the header of a file that holds `tensors` in this order, prefix included, and says where
/// each one's bytes go. Equal input gives equal bytes; the data starts at a multiple of eight.
pub fn write<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a str, &'a [u64], u64)>,
) -> (Vec<u8>, Vec<(u64, u64)>) {
    let mut map = Map::new();
    map.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut at = 0;
    let mut ranges = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let end = at + bytes;
        map.insert(
            name.to_owned(),
            json!({"dtype": dtype, "shape": shape, "data_offsets": [at, end]}),
        );
        ranges.push((at, end));
        at = end;
    }
    let mut text = Value::Object(map).to_string().into_bytes();
    while !text.len().is_multiple_of(8) {
        text.push(b' ');
    }
    let data = PREFIX + text.len() as u64;
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.append(&mut text);
    for range in &mut ranges {
        range.0 += data;
        range.1 += data;
    }
    (out, ranges)
}

/// Bits of one element, `None` for a dtype not known here.
fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F4" => 4,
        "F6_E2M3" | "F6_E3M2" => 6,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" | "F8_E4M3FNUZ"
        | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

fn bad(file: &str, why: impl Into<String>) -> CheckpointError {
    CheckpointError::Header {
        file: file.to_owned(),
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_with_the_same_ranges() {
        let (bytes, ranges) = write([
            ("b", "BF16", &[2_u64, 3][..], 12),
            ("a", "F32", &[1][..], 4),
        ]);
        let n = length("x", bytes[..8].try_into().unwrap()).unwrap();
        assert_eq!(
            n as usize + 8,
            bytes.len(),
            "the prefix counts the JSON exactly"
        );
        assert_eq!(bytes.len() % 8, 0, "the data is aligned");
        let header = parse("x", &bytes[8..]).unwrap();
        let read: Vec<_> = header.tensors.iter().map(|t| (t.begin, t.end)).collect();
        assert_eq!(read, ranges, "ranges are counted from the file's start");
        assert_eq!(header.tensors[0].kind(), "BF16 [2, 3]");
        assert_eq!(header.file_size, bytes.len() as u64 + 16);
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        for text in [
            r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,5]}}"#,
            r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[4,0]}}"#,
            r#"{"a":{"dtype":"BF16","shape":[2],"data_offsets":[2,6]}}"#,
            r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
            r#"{"a":{"dtype":"BF16"}}"#,
            "[]",
        ] {
            assert!(parse("x", text.as_bytes()).is_err(), "{text}");
        }
        assert!(
            length("x", 0_u64.to_le_bytes()).is_err(),
            "no room for {{}}"
        );
        assert!(length("x", u64::MAX.to_le_bytes()).is_err(), "absurd");
    }
}
