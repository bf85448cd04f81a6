//! Hashes of files: sha256, and the sha1 by which git names a blob.

use std::fs::File;
use std::os::unix::fs::FileExt;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

/// Bytes read at a time; large enough for the disk, small beside the memory allowed.
pub const STRIDE: usize = 1 << 20;

/// A hash in the making.
#[derive(Clone)]
pub struct Hasher {
    context: Context,
    tree: Option<Box<blake3::Hasher>>,
}

/// What bytes hashed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The hash, in hex.
    pub hex: String,
    /// The BLAKE3 of the same bytes in hex, where [`Hasher::with_tree`] asked for it.
    pub tree: Option<String>,
}

impl Hasher {
    /// A sha256.
    pub fn sha256() -> Self {
        Self::over(Context::new(&SHA256))
    }

    /// The sha1 of a git blob of this size.
    pub fn git_blob(size: u64) -> Self {
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        context.update(format!("blob {size}\0").as_bytes());
        Self::over(context)
    }

    fn over(context: Context) -> Self {
        Self {
            context,
            tree: None,
        }
    }

    /// The same, with the BLAKE3 of the same bytes beside it: what was checked against the Hub can then be
    /// known again by a hash that keeps up with the private link.
    #[must_use]
    pub fn with_tree(mut self) -> Self {
        self.tree = Some(Box::default());
        self
    }

    /// The hash that an etag of the Hub stands for: 64 digits are the sha256 of an LFS file, 40 the
    /// git name of a small one. Another server's etag may be anything, and then nothing is hashed.
    pub fn of_etag(etag: &str, size: u64) -> Option<Self> {
        if !etag.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        match etag.len() {
            64 => Some(Self::sha256()),
            40 => Some(Self::git_blob(size)),
            _ => None,
        }
    }

    /// Takes bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        if let Some(tree) = &mut self.tree {
            tree.update(bytes);
        }
    }

    /// The hash in hex.
    pub fn hex(self) -> String {
        hex::encode(self.context.finish())
    }

    /// All that was asked for.
    pub fn finish(self) -> Digest {
        let tree = self
            .tree
            .as_ref()
            .map(|t| t.finalize().to_hex().to_string());
        Digest {
            hex: self.hex(),
            tree,
        }
    }
}

/// The sha256 of some bytes, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hasher = Hasher::sha256();
    hasher.update(bytes);
    hasher.hex()
}

/// Reads a file from its start to its end, a stride at a time, until `each` says stop with `false`.
/// Says whether the end was reached.
pub fn read_through(
    file: &File,
    mut each: impl FnMut(u64, &[u8]) -> bool,
) -> std::io::Result<bool> {
    let mut buffer = vec![0; STRIDE];
    let mut at = 0;
    loop {
        let n = file.read_at(&mut buffer, at)?;
        if n == 0 {
            return Ok(true);
        }
        if !each(at, &buffer[..n]) {
            return Ok(false);
        }
        at += n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hashes_are_the_ones_git_and_sha256sum_give() {
        // printf hello | git hash-object --stdin, and sha256sum.
        let mut git = Hasher::git_blob(5);
        git.update(b"hello");
        assert_eq!(git.hex(), "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
        assert_eq!(
            sha256(b"hello"),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
    }

    #[test]
    fn an_etag_of_another_kind_is_not_a_hash() {
        assert!(Hasher::of_etag(&"a".repeat(64), 1).is_some());
        assert!(Hasher::of_etag(&"a".repeat(40), 1).is_some());
        assert!(Hasher::of_etag("5f3-17a", 1).is_none());
        assert!(Hasher::of_etag(&"z".repeat(64), 1).is_none());
    }
}
