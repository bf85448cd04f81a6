//! The store that `huggingface_hub` 2 shares between the repositories of a cache.
//!
//! Files that the Hub keeps in Xet lie once in `hub/blobs/XX/HASH`, by their Xet hash, and a repository's
//! blob is a relative link to one. Beside each lies a list of the links, by which that package knows when
//! nobody needs the file any more; a link that is not listed may lose its file. The store is theirs: it is
//! read and linked to, never made and never cleared out here.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::cache::Cache;
use crate::own_file::{LockState, try_lock};

/// The file that marks the store, and the only layout that is understood.
const MARK: (&str, &str) = (".huggingface-shared-blobs", "1\n");
/// How long a file of the store may be held by somebody who works on it.
const HELD: Duration = Duration::from_secs(5);

/// A file of the store.
pub struct Shared {
    path: PathBuf,
    size: u64,
}

/// Whether a text is a name that Xet gives, and so can stand in a path or an address.
pub fn is_xet_name(xet: &str) -> bool {
    xet.len() == 64 && xet.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Looks for a file by its Xet hash. One of another size, or that cannot be read, is none.
pub fn find(cache: &Cache, xet: &str, size: u64) -> Option<Shared> {
    if !is_xet_name(xet) {
        return None;
    }
    let store = cache.hub().join("blobs");
    let marked = is_file(&store.join(MARK.0), None)
        && std::fs::read_to_string(store.join(MARK.0)).is_ok_and(|text| text == MARK.1);
    let path = store.join(&xet[..2]).join(xet);
    (marked && is_file(&path, Some(size)) && File::open(&path).is_ok())
        .then_some(Shared { path, size })
}

/// Whether a plain file is there, and no link to one.
fn is_file(path: &Path, size: Option<u64>) -> bool {
    std::fs::symlink_metadata(path)
        .is_ok_and(|m| m.is_file() && size.is_none_or(|size| m.len() == size))
}

impl Shared {
    /// Makes a repository's blob a link to it, listed first. `false` means that it went away meanwhile or
    /// that somebody works on it, and that the blob is to be fetched like any other.
    pub fn link(&self, cache: &Cache, repo: &str, etag: &str) -> io::Result<bool> {
        let blob = cache.blob(repo, etag);
        let Some(_held) = self.hold()? else {
            return Ok(false);
        };
        if !is_file(&self.path, Some(self.size)) {
            return Ok(false);
        }
        let Ok(listed) = blob.strip_prefix(cache.hub()) else {
            return Ok(false);
        };
        let mut list = open(&self.beside(".refs"), OpenOptions::new().append(true))?;
        list.write_all(format!("{}\n", listed.display()).as_bytes())?;
        list.sync_all()?;
        let below = self.path.strip_prefix(cache.hub()).unwrap_or(&self.path);
        let target = Path::new("../..").join(below);
        let new = crate::own_file::beside(&blob);
        let _ = std::fs::remove_file(&new);
        symlink(target, &new)?;
        std::fs::rename(&new, &blob)?;
        Ok(true)
    }

    /// Holds it as `huggingface_hub` does, so that it is not cleared out meanwhile. Where there are no locks,
    /// `huggingface_hub` holds none either.
    fn hold(&self) -> io::Result<Option<File>> {
        let lock = open(&self.beside(".lock"), OpenOptions::new().write(true))?;
        let until = Instant::now() + HELD;
        while try_lock(&lock)? == LockState::Taken {
            if Instant::now() > until {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(lock))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_os_string();
        name.push(ending);
        self.path.with_file_name(name)
    }
}

/// Opens a file of the store, made if need be for all who share the cache; never through a link.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options
        .create(true)
        .truncate(false)
        .mode(0o666)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const XET: &str = "5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c5d1c";

    fn cache() -> (tempfile::TempDir, Cache, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::find(dir.path().to_str()).unwrap();
        let store = cache.hub().join("blobs");
        std::fs::create_dir_all(store.join("5d")).unwrap();
        std::fs::create_dir_all(cache.repo("o/n").join("blobs")).unwrap();
        std::fs::write(store.join("5d").join(XET), b"weights").unwrap();
        (dir, cache, store)
    }

    #[test]
    fn a_file_of_a_marked_store_is_linked_and_listed() {
        let (_dir, cache, store) = cache();
        assert!(find(&cache, XET, 7).is_none(), "the store is not marked");
        std::fs::write(store.join(MARK.0), MARK.1).unwrap();
        assert!(find(&cache, XET, 8).is_none(), "another size");
        assert!(find(&cache, "../../etc/passwd", 7).is_none());
        let shared = find(&cache, XET, 7).expect("it is there");
        assert!(shared.link(&cache, "o/n", "e").unwrap());
        let blob = cache.blob("o/n", "e");
        assert_eq!(std::fs::read(&blob).unwrap(), b"weights");
        let target = std::fs::read_link(&blob).unwrap();
        assert_eq!(target, Path::new(&format!("../../blobs/5d/{XET}")));
        let list = store.join("5d").join(format!("{XET}.refs"));
        assert_eq!(
            std::fs::read_to_string(list).unwrap(),
            "models--o--n/blobs/e\n"
        );
    }

    #[test]
    fn a_link_in_a_file_s_place_and_another_layout_are_not_trusted() {
        let (_dir, cache, store) = cache();
        std::fs::write(store.join(MARK.0), "2\n").unwrap();
        assert!(find(&cache, XET, 7).is_none());
        std::fs::write(store.join(MARK.0), MARK.1).unwrap();
        let entry = store.join("5d").join(XET);
        std::fs::rename(&entry, store.join("elsewhere")).unwrap();
        symlink("../elsewhere", &entry).unwrap();
        assert!(find(&cache, XET, 7).is_none());
    }
}
