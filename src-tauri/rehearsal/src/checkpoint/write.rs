//! Writes safetensors files whose content follows from the tensors' names alone.
//!
//! A tensor of one name and shape has the same bytes in every file, so that a graft can be compared
//! with the release that has the layers built in.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::shape::{Kind, Tensor};

const BLOCK: usize = 1 << 20;

/// Sends everything on and hashes it on the way.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(data)?;
        self.hash.update(&data[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its size.
    pub bytes: u64,
    /// Its sha256 in hex.
    pub sha256: String,
}

/// The 8-byte length and the JSON of a safetensors file with these tensors, in this order.
pub fn header(tensors: &[Tensor]) -> Vec<u8> {
    let mut map = serde_json::Map::new();
    map.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut offset = 0;
    for t in tensors {
        let end = offset + t.bytes();
        map.insert(
            t.name.clone(),
            json!({"dtype": t.kind.name(), "shape": t.shape, "data_offsets": [offset, end]}),
        );
        offset = end;
    }
    let mut text = Value::Object(map).to_string().into_bytes();
    while !text.len().is_multiple_of(8) {
        text.push(b' ');
    }
    let mut out = (text.len() as u64).to_le_bytes().to_vec();
    out.extend(text);
    out
}

/// Writes one file. Its tensors are put in the order that the safetensors library uses: wide
/// elements first, then by name.
pub fn shard(path: &Path, mut tensors: Vec<Tensor>) -> io::Result<Written> {
    tensors.sort_by(|a, b| {
        b.kind
            .bytes()
            .cmp(&a.kind.bytes())
            .then_with(|| a.name.cmp(&b.name))
    });
    let mut out = Hashed {
        inner: BufWriter::with_capacity(BLOCK, File::create(path)?),
        hash: Sha256::new(),
        bytes: 0,
    };
    out.write_all(&header(&tensors))?;
    for t in &tensors {
        content(&mut out, t)?;
    }
    out.flush()?;
    Ok(Written {
        bytes: out.bytes,
        sha256: hex::encode(out.hash.finalize()),
    })
}

/// FNV-1a of a name, never zero.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    }) | 1
}

/// Bits to keep and bits to set in eight bytes, so that every number is small and none is NaN.
fn tame(kind: Kind) -> (u64, u64) {
    match kind {
        Kind::Bf16 => (0x80ff_80ff_80ff_80ff, 0x3c00_3c00_3c00_3c00),
        Kind::F32 => (0x80ff_ffff_80ff_ffff, 0x3c00_0000_3c00_0000),
        Kind::U8 => (u64::MAX, 0),
        Kind::F8 => (0x3737_3737_3737_3737, 0),
    }
}

/// Writes a tensor's content: one pseudo-random block, repeated with its number at its front.
fn content(out: &mut impl Write, tensor: &Tensor) -> io::Result<()> {
    let total = tensor.bytes();
    let (keep, set) = tame(tensor.kind);
    let mut state = seed(&tensor.name);
    let mut block = vec![0u8; BLOCK.min(total.next_multiple_of(8) as usize)];
    for chunk in block.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&(state & keep | set).to_le_bytes());
    }
    let mut left = total;
    let mut number: u64 = 0;
    while left > 0 {
        if number > 0 {
            let mark = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            block[..8].copy_from_slice(&(mark & keep | set).to_le_bytes());
        }
        let n = left.min(block.len() as u64);
        out.write_all(&block[..n as usize])?;
        left -= n;
        number += 1;
    }
    Ok(())
}

/// Deals tensors into files of about equal size, in order.
pub fn deal(tensors: Vec<Tensor>, files: usize) -> Vec<Vec<Tensor>> {
    let total: u64 = tensors.iter().map(Tensor::bytes).sum();
    let share = total.div_ceil(files as u64).max(1);
    let mut out: Vec<Vec<Tensor>> = vec![Vec::new(); files];
    let mut before = 0;
    for t in tensors {
        let bytes = t.bytes();
        let file = usize::try_from(before / share)
            .unwrap_or(files - 1)
            .min(files - 1);
        out[file].push(t);
        before += bytes;
    }
    out.retain(|file| !file.is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::{deal, shard};
    use crate::checkpoint::shape::{Kind, Release, Tensor, Widths, body, mtp};

    #[test]
    fn a_written_file_is_read_by_the_library_and_hashes_as_told() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("a.safetensors");
        let mut tensors = mtp(&Widths::TINY);
        tensors.push(Tensor {
            name: "odd".into(),
            kind: Kind::U8,
            shape: vec![3],
        });
        tensors.push(Tensor {
            name: "scalar".into(),
            kind: Kind::F32,
            shape: vec![],
        });
        let written = shard(&path, tensors).expect("written");
        let bytes = std::fs::read(&path).expect("read");
        assert_eq!(bytes.len() as u64, written.bytes);
        use sha2::{Digest, Sha256};
        assert_eq!(hex::encode(Sha256::digest(&bytes)), written.sha256);
        let parsed = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
        assert_eq!(parsed.len(), 53);
        let head = parsed
            .tensor("model.layers.45.transformer.shared_head.output.weight")
            .expect("there");
        assert_eq!(head.shape(), [320, 64]);
        assert!(
            head.data().chunks(2).all(|c| c[1] & 0x7f == 0x3c),
            "small BF16 numbers"
        );
    }

    #[test]
    fn dealing_loses_nothing() {
        let all = body(&Widths::TINY, Release::Bf16);
        let count = all.len();
        let dealt = deal(all, 6);
        assert_eq!(dealt.len(), 6);
        assert_eq!(dealt.iter().map(Vec::len).sum::<usize>(), count);
    }
}
