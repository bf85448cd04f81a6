//! Hashes many files at once, one a core, and leaves the page cache as it would be without it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Advice, fadvise};
use tandem_domain::node::disk::FaultKind;
use tandem_domain::problem::{Code, Problem};
use tokio_util::sync::CancellationToken;

use crate::digest::Hasher;
use crate::stop::Stop;
use crate::transfer::Meter;
use crate::verified;

/// Bytes read at a time, by each reader. Large enough that the kernel reads ahead of it, small enough to
/// stay in a core's own cache between reading and hashing.
const STRIDE: usize = 512 << 10;
/// What was read is let go of in pieces of this size: on a Spark the page cache is the GPU's memory too.
const LET_GO: u64 = 32 << 20;
/// Readers at most, so that their buffers stay a small part of the memory allowed.
const MOST: usize = 32;

/// A file to be hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name in the repository.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What the hash should be, in the kind the Hub uses for it.
    pub etag: String,
    /// Its bytes.
    pub size: u64,
}

/// How many files are read at a time.
pub fn readers(files: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(MOST).min(files).max(1)
}

/// Hashes the files and says which of them are wrong, and how. A file under several names is read once.
pub(super) async fn hash(
    jobs: Vec<Job>,
    meter: Arc<Meter>,
    cancel: CancellationToken,
) -> Result<BTreeMap<String, (FaultKind, String)>, Stop> {
    let groups = grouped(jobs);
    meter.set(0, groups.iter().map(|g| g.first.size).sum());
    let stopped = cancel.clone();
    let wrong = tokio::task::spawn_blocking(move || all(&groups, &meter, &cancel))
        .await
        .map_err(|e| {
            Problem::new(Code::Broken, "The files were not hashed.").cause(e.to_string())
        })?;
    if stopped.is_cancelled() {
        return Err(Stop::Cancelled);
    }
    Ok(wrong)
}

/// One file on the disk with all of its names.
struct Group {
    first: Job,
    names: Vec<String>,
}

/// Files, the largest first: the core that takes the last one then has the least left to do alone.
fn grouped(jobs: Vec<Job>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut seen: BTreeMap<(u64, u64, String), usize> = BTreeMap::new();
    for job in jobs {
        let id = std::fs::metadata(&job.path).map(|m| (m.dev(), m.ino(), job.etag.clone()));
        let known = id.as_ref().ok().and_then(|id| seen.get(id).copied());
        if let Some(at) = known {
            groups[at].names.push(job.name);
            continue;
        }
        if let Ok(id) = id {
            seen.insert(id, groups.len());
        }
        groups.push(Group {
            names: vec![job.name.clone()],
            first: job,
        });
    }
    groups.sort_by_key(|g| std::cmp::Reverse(g.first.size));
    groups
}

fn all(
    groups: &[Group],
    meter: &Meter,
    cancel: &CancellationToken,
) -> BTreeMap<String, (FaultKind, String)> {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(BTreeMap::new());
    let under_way: Mutex<BTreeSet<&str>> = Mutex::default();
    let tell = |name: &str, begins: bool| {
        let mut names = under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if begins {
            if let Some(group) = groups.iter().find(|g| g.first.name == name) {
                names.insert(&group.first.name);
            }
        } else {
            names.remove(name);
        }
        match (names.len(), names.first()) {
            (1, Some(one)) => meter.doing(format!("Hashing {one}")),
            (n, Some(_)) => meter.doing(format!("Hashing {n} files at once")),
            (_, None) => {}
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..readers(groups.len()) {
            scope.spawn(|| {
                let mut buffer = vec![0; STRIDE];
                while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if cancel.is_cancelled() {
                        return;
                    }
                    tell(&group.first.name, true);
                    let fault = match one(&group.first, &mut buffer, meter, cancel) {
                        Ok(true) => None,
                        Ok(false) => Some((
                            FaultKind::Content,
                            "Its content is not what the Hub has: the hash is another.".to_owned(),
                        )),
                        Err(e) => Some((FaultKind::Closed, format!("It cannot be read: {e}."))),
                    };
                    tell(&group.first.name, false);
                    if let Some(fault) = fault {
                        let mut wrong = wrong.lock().unwrap_or_else(PoisonError::into_inner);
                        for name in &group.names {
                            wrong.insert(name.clone(), fault.clone());
                        }
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Hashes one file and says whether it is right. A cancelled one counts as right; nobody asks any more.
fn one(
    job: &Job,
    buffer: &mut [u8],
    meter: &Meter,
    cancel: &CancellationToken,
) -> io::Result<bool> {
    let Some(mut hasher) = Hasher::of_etag(&job.etag, job.size) else {
        return Ok(true);
    };
    let file = File::open(&job.path)?;
    // Advice that is not taken costs speed and nothing else.
    let _ = fadvise(&file, 0, None, Advice::Sequential);
    let (mut at, mut let_go) = (0, 0);
    loop {
        let n = file.read_at(buffer, at)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
        at += n as u64;
        meter.add(n as u64);
        if cancel.is_cancelled() {
            return Ok(true);
        }
        if at - let_go >= LET_GO {
            forget(&file, let_go, at - let_go);
            let_go = at;
        }
    }
    forget(&file, let_go, at - let_go);
    let is_right = hasher.hex() == job.etag;
    if is_right {
        verified::was_hashed(&file, &job.etag);
    }
    Ok(is_right)
}

/// Lets go of pages that were read. Pages that a running server has mapped stay.
pub(super) fn forget(file: &File, at: u64, len: u64) {
    if let Some(len) = NonZeroU64::new(len) {
        let _ = fadvise(file, at, Some(len), Advice::DontNeed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test ends where it cannot go on

    use super::*;

    fn job(path: PathBuf, name: &str, content: &[u8]) -> Job {
        std::fs::write(&path, content).unwrap();
        Job {
            name: name.into(),
            etag: crate::digest::sha256(content),
            size: content.len() as u64,
            path,
        }
    }

    #[tokio::test]
    async fn a_flipped_byte_is_found_under_every_name_and_the_others_are_good() {
        let dir = tempfile::tempdir().unwrap();
        let long = vec![7_u8; 3 * STRIDE + 5];
        let good = job(dir.path().join("good"), "good", &long);
        let bad = job(dir.path().join("bad"), "bad", &long);
        let mut flipped = long.clone();
        flipped[2 * STRIDE] ^= 1;
        std::fs::write(&bad.path, flipped).unwrap();
        let again = Job {
            name: "bad too".into(),
            ..bad.clone()
        };
        let meter = Meter::new("");
        let wrong = hash(vec![good, bad, again], meter, CancellationToken::new())
            .await
            .unwrap();
        let names: Vec<&str> = wrong.keys().map(String::as_str).collect();
        assert_eq!(names, ["bad", "bad too"]);
        assert!(wrong.values().all(|(kind, _)| *kind == FaultKind::Content));
    }

    #[tokio::test]
    async fn one_that_is_cancelled_says_nothing_of_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let one = job(dir.path().join("one"), "one", b"content");
        let cancel = CancellationToken::new();
        cancel.cancel();
        let ended = hash(vec![one], Meter::new(""), cancel).await;
        assert!(matches!(ended, Err(Stop::Cancelled)));
    }
}
