//! What the serving end has to give: blobs in their place whose bytes were proven, or files on their way
//! that are named by their own tree. A file is called by its content, so it does not matter which of several
//! folders has it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::verified::{self, Reading, VerifiedMark};

use super::wire::Ready;

/// What the files are named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// As the Hub names blobs, which is the sha256 of all large ones.
    Etags,
    /// The BLAKE3 of their bytes.
    Trees,
}

/// Folders whose files can be had.
pub(super) struct Inventory {
    folders: Vec<PathBuf>,
    names: Names,
    inner: Mutex<InventoryState>,
    wake: Condvar,
}

#[derive(Default)]
struct InventoryState {
    known: HashMap<String, Known>,
    /// Blobs that lie there without a proof and are read one after the other.
    unproven: VecDeque<String>,
    reading: HashSet<String>,
    over: bool,
}

/// What is known of a blob, and of which file that is.
struct Known {
    stamp: Stamp,
    what: What,
}

#[derive(Clone, PartialEq, Eq)]
enum What {
    Good(Ready),
    Wrong,
}

/// Tells a file from another that takes its place, or from itself after a change.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    mtime: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            inode: meta.ino(),
            size: meta.len(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

/// Answer to what can be had.
#[derive(Debug, Default)]
pub(super) struct Availability {
    pub(super) ready: Vec<Ready>,
    pub(super) wrong: Vec<String>,
    /// Whether something is still being read.
    pub(super) reading: bool,
}

impl Inventory {
    /// The inventory of folders of files that are named so.
    pub(super) fn new(folders: Vec<PathBuf>, names: Names) -> Self {
        Self {
            folders,
            names,
            inner: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, InventoryState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of these blobs can be had. One that lies there unproven is put down to be read.
    pub(super) fn look(&self, wanted: &[String]) -> Availability {
        let mut standing = Availability::default();
        for etag in wanted {
            match self.what(etag) {
                Some(What::Good(ready)) => standing.ready.push(ready),
                Some(What::Wrong) => standing.wrong.push(etag.clone()),
                None => {}
            }
        }
        let inner = self.inner();
        standing.reading = !(inner.unproven.is_empty() && inner.reading.is_empty());
        standing
    }

    /// An open blob that can be had, as it is now.
    pub(super) fn open(&self, etag: &str) -> Option<(File, Ready)> {
        let Some(What::Good(ready)) = self.what(etag) else {
            return None;
        };
        Some((self.file(etag)?, ready))
    }

    fn file(&self, etag: &str) -> Option<File> {
        // A name with anything else in it might lead out of the folder.
        let plain = !etag.is_empty() && etag.bytes().all(|b| b.is_ascii_hexdigit());
        let name = Some(etag).filter(|_| plain)?;
        self.folders.iter().find_map(|folder| {
            // Follows a link into the store that newer versions of huggingface_hub share.
            let file = File::open(folder.join(name)).ok()?;
            file.metadata().is_ok_and(|m| m.is_file()).then_some(file)
        })
    }

    fn what(&self, etag: &str) -> Option<What> {
        let file = self.file(etag)?;
        let stamp = Stamp::of(&file).ok()?;
        if let Some(known) = self.inner().known.get(etag).filter(|k| k.stamp == stamp) {
            return Some(known.what.clone());
        }
        if let Some(proof) = verified::read(&file).filter(|p| p.etag == etag) {
            return Some(self.learn(etag, stamp, What::Good(ready(proof, stamp))));
        }
        let mut inner = self.inner();
        if !inner.reading.contains(etag) && !inner.unproven.iter().any(|e| e == etag) {
            inner.unproven.push_back(etag.to_owned());
            self.wake.notify_one();
        }
        None
    }

    fn learn(&self, etag: &str, stamp: Stamp, what: What) -> What {
        let known = Known {
            stamp,
            what: what.clone(),
        };
        self.inner().known.insert(etag.to_owned(), known);
        what
    }

    /// Reads what lies there unproven, until it is over. Several may do it at once.
    pub(super) fn prove(&self) {
        while let Some(etag) = self.next() {
            let going = || !self.inner().over;
            let read = self.file(&etag).and_then(|file| {
                let stamp = Stamp::of(&file).ok()?;
                let reading = match self.names {
                    Names::Etags => verified::prove(&file, &etag, going),
                    Names::Trees => verified::prove_by_tree(&file, &etag, going),
                };
                let what = match reading.ok()? {
                    Reading::Verified(proof) => What::Good(ready(proof, stamp)),
                    Reading::Wrong(_) | Reading::Unknown => What::Wrong,
                    Reading::Stopped => return None,
                };
                Some((stamp, what))
            });
            if let Some((stamp, what)) = read {
                self.learn(&etag, stamp, what);
            }
            self.inner().reading.remove(&etag);
        }
    }

    fn next(&self) -> Option<String> {
        let mut inner = self.inner();
        loop {
            if inner.over {
                return None;
            }
            if let Some(etag) = inner.unproven.pop_front() {
                inner.reading.insert(etag.clone());
                return Some(etag);
            }
            let waited = self.wake.wait_timeout(inner, Duration::from_secs(1));
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets those go who prove.
    pub(super) fn close(&self) {
        self.inner().over = true;
        self.wake.notify_all();
    }
}

fn ready(proof: VerifiedMark, stamp: Stamp) -> Ready {
    Ready {
        etag: proof.etag,
        size: stamp.size,
        tree: proof.tree,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    #[test]
    fn only_what_was_proven_can_be_had_and_a_change_is_noticed() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let inventory = Inventory::new(vec![dir.path().to_path_buf()], Names::Etags);
        let good = sha256(b"good");
        let bad = sha256(b"what it should be");
        std::fs::write(dir.path().join(&bad), b"what it is not").unwrap();
        std::fs::write(dir.path().join(&good), b"good").unwrap();
        let wanted = [good.clone(), bad.clone(), sha256(b"absent"), "../x".into()];
        std::thread::scope(|scope| {
            let first = inventory.look(&wanted);
            assert!(first.reading && first.ready.is_empty() && first.wrong.is_empty());
            scope.spawn(|| inventory.prove());
            let until = std::time::Instant::now() + Duration::from_secs(20);
            while inventory.look(&wanted).reading && std::time::Instant::now() < until {
                std::thread::yield_now();
            }
            let standing = inventory.look(&wanted);
            assert_eq!(standing.wrong, std::slice::from_ref(&bad));
            assert_eq!(standing.ready.len(), 1);
            assert_eq!(
                standing.ready[0].tree,
                blake3::hash(b"good").to_hex().as_str()
            );
            assert!(inventory.open(&good).is_some() && inventory.open(&bad).is_none());
            std::fs::write(dir.path().join(&good), b"evil, later").unwrap();
            assert!(inventory.open(&good).is_none(), "it has to be proven again");
            inventory.close();
        });
        let fresh = Inventory::new(vec![dir.path().to_path_buf()], Names::Etags);
        std::fs::write(dir.path().join(&good), b"good").unwrap();
        assert!(fresh.look(std::slice::from_ref(&good)).ready.is_empty());
        let file = fresh.file(&good).unwrap();
        verified::prove(&file, &good, || true).unwrap();
        assert_eq!(
            fresh.look(std::slice::from_ref(&good)).ready.len(),
            1,
            "a proof that the file carries is enough"
        );
    }
}
