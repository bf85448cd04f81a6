//! The BLAKE3 tree of a file, made from pieces that arrive in any order.
//!
//! A piece is a whole subtree, so that its hash is a node of the file's own tree: the pieces' nodes give
//! the very hash that reading the file from front to back gives, and where two trees differ they tell
//! which pieces do.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

/// Bytes of a piece: a power of two, large against the talk about it, small against a file.
pub const PIECE: u64 = 16 << 20;

/// Bytes read at a time; they stay in the processor's own cache between reading and hashing.
const STRIDE: usize = 512 << 10;

/// Pieces of a file of this size.
pub fn pieces(size: u64) -> usize {
    size.div_ceil(PIECE).max(1) as usize
}

/// Where a piece begins and ends.
pub fn bounds(piece: usize, size: u64) -> (u64, u64) {
    let from = piece as u64 * PIECE;
    (from, size.min(from + PIECE))
}

/// Takes the bytes of one piece in.
pub struct PieceHasher {
    inner: blake3::Hasher,
    whole: bool,
}

impl PieceHasher {
    /// For a piece of a file of this size.
    pub fn new(piece: usize, size: u64) -> Self {
        let mut inner = blake3::Hasher::new();
        inner.set_input_offset(piece as u64 * PIECE);
        Self {
            inner,
            whole: pieces(size) == 1,
        }
    }

    /// Takes bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
    }

    /// The piece's node; of a file that is one piece, the file's hash itself.
    pub fn node(&self) -> ChainingValue {
        if self.whole {
            *self.inner.finalize().as_bytes()
        } else {
            self.inner.finalize_non_root()
        }
    }
}

/// The node of a piece that lies in a file. `going` is asked now and then; `None` when it says no.
pub fn read_node(
    file: &File,
    piece: usize,
    size: u64,
    going: impl Fn() -> bool,
) -> io::Result<Option<ChainingValue>> {
    let (mut at, to) = bounds(piece, size);
    let mut hasher = PieceHasher::new(piece, size);
    let mut buffer = vec![0; STRIDE];
    while at < to {
        if !going() {
            return Ok(None);
        }
        let want = (to - at).min(STRIDE as u64) as usize;
        file.read_exact_at(&mut buffer[..want], at)?;
        hasher.update(&buffer[..want]);
        at += want as u64;
    }
    Ok(Some(hasher.node()))
}

/// The file's hash in hex, from the nodes of all its pieces in order. The left half of a tree is never less
/// than a piece where there is more than one.
pub fn root(nodes: &[ChainingValue], size: u64) -> String {
    let hash = match nodes {
        [only] => blake3::Hash::from_bytes(*only),
        _ => {
            let left = left_subtree_len(size);
            let (a, b) = nodes.split_at((left / PIECE) as usize);
            merge_subtrees_root(&node(a, left), &node(b, size - left), Mode::Hash)
        }
    };
    hash.to_hex().to_string()
}

fn node(nodes: &[ChainingValue], size: u64) -> ChainingValue {
    match nodes {
        [only] => *only,
        _ => {
            let left = left_subtree_len(size);
            let (a, b) = nodes.split_at((left / PIECE) as usize);
            merge_subtrees_non_root(&node(a, left), &node(b, size - left), Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(size: u64) -> Vec<u8> {
        (0..size).map(|i| (i * 31 + (i >> 9)) as u8).collect()
    }

    #[test]
    fn pieces_in_any_order_give_the_hash_of_the_whole() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5, 5 * PIECE] {
            let bytes = content(size);
            let mut nodes = vec![[0; 32]; pieces(size)];
            for piece in (0..pieces(size)).rev() {
                let (from, to) = bounds(piece, size);
                let mut hasher = PieceHasher::new(piece, size);
                for part in bytes[from as usize..to as usize].chunks(70_001) {
                    hasher.update(part);
                }
                nodes[piece] = hasher.node();
            }
            assert_eq!(
                root(&nodes, size),
                blake3::hash(&bytes).to_hex().as_str(),
                "{size}"
            );
        }
    }

    #[test]
    fn a_changed_byte_changes_its_own_piece_only() {
        let size = 2 * PIECE + 100;
        let mut bytes = content(size);
        let file = tempfile::tempfile().unwrap();
        let nodes = |bytes: &[u8]| -> Vec<ChainingValue> {
            file.write_all_at(bytes, 0).unwrap();
            (0..pieces(size))
                .map(|p| read_node(&file, p, size, || true).unwrap().unwrap())
                .collect()
        };
        let before = nodes(&bytes);
        bytes[PIECE as usize + 7] ^= 1;
        let after = nodes(&bytes);
        let differ: Vec<bool> = before.iter().zip(&after).map(|(a, b)| a != b).collect();
        assert_eq!(differ, [false, true, false]);
        assert_ne!(root(&before, size), root(&after, size));
        assert_eq!(read_node(&file, 0, size, || false).unwrap(), None);
    }
}
