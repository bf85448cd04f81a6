//! How long a deep check will take: from a moment of hashing and a moment of reading on this machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tandem_domain::disk::makespan;
use tandem_domain::node::disk::{CheckRequest, CheckTime};
use tandem_domain::problem::{Code, Problem};

use super::deep::{forget, readers};
use super::expect::here;
use crate::cache::Cache;
use crate::digest::Hasher;

/// How long the processor is tried, and then the disk.
const MOMENT: Duration = Duration::from_millis(150);
/// Bytes read at a time from each file that is tried.
const STRIDE: usize = 1 << 20;

/// Tells the time of a deep check. Reads for a moment and asks nobody but this machine.
pub fn check_time(request: &CheckRequest) -> Result<CheckTime, Problem> {
    request.check_names()?;
    let cache = Cache::find(request.hf_home.as_deref())?;
    let absent = Problem::new(
        Code::CheckpointIncomplete,
        format!("{} is not on this machine.", request.repo),
    )
    .cause("There is no snapshot of this revision.")
    .fix("Fetch the weights first.");
    let expected = here(&cache, request, absent)?;
    let snapshot = cache.snapshot(&request.repo, &expected.commit);
    // A blob under several names is hashed once.
    let mut files: BTreeMap<(u64, u64), (u64, PathBuf)> = BTreeMap::new();
    for (name, wanted) in &expected.files {
        let path = snapshot.join(name);
        if wanted.etag.is_some()
            && let Ok(meta) = std::fs::metadata(&path)
        {
            files.insert((meta.dev(), meta.ino()), (meta.len(), path));
        }
    }
    let mut files: Vec<(u64, PathBuf)> = files.into_values().collect();
    files.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let sizes: Vec<u64> = files.iter().map(|(size, _)| *size).collect();
    let bytes: u64 = sizes.iter().sum();
    let cores = readers(files.len());
    let hash_rate = hashed();
    let disk_rate = read(&files, cores);
    let hashing = makespan(&sizes, cores) as f64 / hash_rate;
    let reading = disk_rate.map_or(0.0, |rate| bytes as f64 / rate);
    Ok(CheckTime {
        files: files.len() as u32,
        bytes,
        seconds: hashing.max(reading),
        hash_rate,
        disk_rate: disk_rate.unwrap_or(0.0),
        cores: cores as u32,
    })
}

/// Bytes per second that this core hashes.
fn hashed() -> f64 {
    let block = vec![0x5a_u8; STRIDE];
    let mut hasher = Hasher::sha256();
    let (began, mut bytes) = (Instant::now(), 0_u64);
    while began.elapsed() < MOMENT {
        hasher.update(&block);
        bytes += block.len() as u64;
    }
    // Its result is asked for, so that the work is really done.
    let _ = hasher.hex();
    bytes as f64 / began.elapsed().as_secs_f64()
}

/// Bytes per second that the disk gives to this many readers; `None` where there is nothing to read.
///
/// Each reads from the middle of a file of its own. What memory still holds of that piece is let go of
/// first, because a checkpoint is larger than what memory would hold of it.
fn read(files: &[(u64, PathBuf)], readers: usize) -> Option<f64> {
    let bytes = AtomicU64::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for (size, path) in files.iter().take(readers) {
            let bytes = &bytes;
            scope.spawn(move || {
                let Ok(file) = File::open(path) else {
                    return;
                };
                let middle = size / 2 / STRIDE as u64 * STRIDE as u64;
                forget(&file, middle, size - middle);
                let mut buffer = vec![0; STRIDE];
                let mut at = middle;
                while began.elapsed() < MOMENT {
                    match file.read_at(&mut buffer, at) {
                        Ok(n) if n > 0 => {
                            at += n as u64;
                            bytes.fetch_add(n as u64, Ordering::Relaxed);
                        }
                        _ => break,
                    }
                }
                forget(&file, middle, at - middle);
            });
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let bytes = bytes.into_inner();
    (bytes > 0).then(|| bytes as f64 / seconds)
}
