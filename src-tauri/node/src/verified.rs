//! A blob's own note of what its bytes were proven to be, so that a whole model need not be hashed again
//! before it is copied on.
//!
//! It is kept with the file as an extended attribute: it goes where the file goes, away with it, and
//! counts only as long as size and time of the last change are those of then. It stands for what was read
//! then; a disk that decays later is what a deep check is for.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use crate::digest::{Digest, Hasher, read_through};

const NAME: &str = "user.tandem.proven";
const VERSION: &str = "1";
/// In the place of the version: the hash was told by another machine, and not taken here yet.
const TOLD: &str = "told-1";

/// What a file was proven to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedMark {
    /// Its name in the cache, which is the hash that was checked.
    pub etag: String,
    /// The BLAKE3 of the same bytes, read in the same pass, in hex.
    pub tree: String,
}

fn stamp(file: &File) -> io::Result<String> {
    let meta = file.metadata()?;
    Ok(format!(
        "{} {}.{:09}",
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec()
    ))
}

impl VerifiedMark {
    /// What a hasher with a tree found; `None` where it had none.
    pub fn of(digest: &Digest) -> Option<Self> {
        Some(Self {
            etag: digest.hex.clone(),
            tree: digest.tree.clone()?,
        })
    }
}

/// Notes it. Nothing writes to the file after this. Where the disk takes no attributes nothing is noted,
/// and whoever needs the proof reads the file again.
pub fn note(file: &File, proof: &VerifiedMark) {
    write(file, VERSION, proof);
}

/// Notes what another machine says that a file is, where the tree was compared with what came and the hash that
/// the file is named by was not taken. It is no proof: [`read`] does not give it.
pub fn note_told(file: &File, told: &VerifiedMark) {
    write(file, TOLD, told);
}

/// The hash of a file was taken here and is this one: what was told becomes a proof.
pub fn was_hashed(file: &File, etag: &str) {
    if let Some(told) = read_told(file).filter(|told| told.etag == etag) {
        note(file, &told);
    }
}

fn write(file: &File, kind: &str, mark: &VerifiedMark) {
    let Ok(stamp) = stamp(file) else { return };
    let text = format!("{kind} {stamp} {} {}", mark.etag, mark.tree);
    let _ = rustix::fs::fsetxattr(file, NAME, text.as_bytes(), rustix::fs::XattrFlags::empty());
}

/// The proof that a file carries, if it still is the file of then.
pub fn read(file: &File) -> Option<VerifiedMark> {
    mark(file, VERSION)
}

/// What another machine told of a file, if it still is the file of then.
pub fn read_told(file: &File) -> Option<VerifiedMark> {
    mark(file, TOLD)
}

fn mark(file: &File, kind: &str) -> Option<VerifiedMark> {
    let mut buffer = [0u8; 512];
    let n = rustix::fs::fgetxattr(file, NAME, &mut buffer).ok()?;
    let text = std::str::from_utf8(buffer.get(..n)?).ok()?;
    let rest = text.strip_prefix(kind)?.strip_prefix(' ')?;
    let rest = rest.strip_prefix(&stamp(file).ok()?)?.strip_prefix(' ')?;
    let (etag, tree) = rest.split_once(' ')?;
    Some(VerifiedMark {
        etag: etag.to_owned(),
        tree: tree.to_owned(),
    })
}

/// What reading a file from front to back gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// It is what its etag says; now noted.
    Verified(VerifiedMark),
    /// It has another hash, this one.
    Wrong(String),
    /// Its etag is no hash, so that nothing can prove it.
    Unknown,
    /// It was told to stop.
    Stopped,
}

/// Reads a file once through for both hashes. `going` is asked now and then.
pub fn prove(file: &File, etag: &str, going: impl Fn() -> bool) -> io::Result<Reading> {
    let Some(hasher) = Hasher::of_etag(etag, file.metadata()?.len()) else {
        return Ok(Reading::Unknown);
    };
    let before = stamp(file)?;
    let mut hasher = hasher.with_tree();
    let whole = read_through(file, |_, bytes| {
        hasher.update(bytes);
        going()
    })?;
    if !whole {
        return Ok(Reading::Stopped);
    }
    let digest = hasher.finish();
    match VerifiedMark::of(&digest) {
        Some(proof) if proof.etag == etag && stamp(file)? == before => {
            note(file, &proof);
            Ok(Reading::Verified(proof))
        }
        _ => Ok(Reading::Wrong(digest.hex)),
    }
}

/// The same for a file that is named by its BLAKE3 alone.
pub fn prove_by_tree(file: &File, name: &str, going: impl Fn() -> bool) -> io::Result<Reading> {
    let before = stamp(file)?;
    let mut hasher = blake3::Hasher::new();
    let whole = read_through(file, |_, bytes| {
        hasher.update(bytes);
        going()
    })?;
    if !whole {
        return Ok(Reading::Stopped);
    }
    let tree = hasher.finalize().to_hex().to_string();
    if tree != name || stamp(file)? != before {
        return Ok(Reading::Wrong(tree));
    }
    let proof = VerifiedMark {
        etag: tree.clone(),
        tree,
    };
    note(file, &proof);
    Ok(Reading::Verified(proof))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_named_by_its_tree_is_proven_by_it() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, b"hello").unwrap();
        let file = File::open(&path).unwrap();
        let name = blake3::hash(b"hello").to_hex().to_string();
        let Reading::Verified(proof) = prove_by_tree(&file, &name, || true).unwrap() else {
            panic!("it is what its name says");
        };
        assert_eq!((&proof.etag, &proof.tree), (&name, &name));
        assert_eq!(read(&file), Some(proof), "it is noted");
        let other = blake3::hash(b"other").to_hex();
        let wrong = prove_by_tree(&file, other.as_str(), || true).unwrap();
        assert_eq!(wrong, Reading::Wrong(name.clone()));
        let stopped = prove_by_tree(&file, &name, || false).unwrap();
        assert_eq!(stopped, Reading::Stopped);
    }

    #[test]
    fn a_proof_is_kept_until_the_file_changes() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("blob");
        std::fs::write(&path, b"hello").unwrap();
        let file = File::options().read(true).append(true).open(&path).unwrap();
        assert_eq!(read(&file), None);
        let etag = crate::digest::sha256(b"hello");
        let Reading::Verified(proof) = prove(&file, &etag, || true).unwrap() else {
            panic!("it is what its name says");
        };
        assert_eq!(proof.tree, blake3::hash(b"hello").to_hex().as_str());
        assert_eq!(read(&File::open(&path).unwrap()), Some(proof));
        (&file).write_all(b"!").unwrap();
        assert_eq!(read(&file), None, "it is another file now");
        assert!(matches!(
            prove(&file, &etag, || true).unwrap(),
            Reading::Wrong(_)
        ));
        assert_eq!(prove(&file, "5f3-17a", || true).unwrap(), Reading::Unknown);
        assert_eq!(prove(&file, &etag, || false).unwrap(), Reading::Stopped);
    }

    #[test]
    fn what_was_told_is_no_proof_until_it_was_hashed_here() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("blob");
        std::fs::write(&path, b"hello").unwrap();
        let file = File::open(&path).unwrap();
        let told = VerifiedMark {
            etag: crate::digest::sha256(b"hello"),
            tree: blake3::hash(b"hello").to_hex().to_string(),
        };
        note_told(&file, &told);
        assert_eq!((read(&file), read_told(&file)), (None, Some(told.clone())));
        was_hashed(&file, &crate::digest::sha256(b"other"));
        assert_eq!(read(&file), None);
        was_hashed(&file, &told.etag);
        assert_eq!((read(&file), read_told(&file)), (Some(told), None));
    }
}
