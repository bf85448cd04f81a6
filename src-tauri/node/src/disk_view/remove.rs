//! Removes items exactly as `disk` named them.
//!
//! What to remove is never taken from the request: the machine is looked at again, and the request only
//! picks among what was found. So a path that is none of ours, or leads elsewhere by a link, is not
//! found and refused.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tandem_domain::disk::{refused, uses};
use tandem_domain::node::Undone;
use tandem_domain::node::disk::RemoveRequest;
use tandem_domain::problem::{Code, Problem};

use super::busy::Busy;
use super::scan::{ScannedItem, scan};
use crate::cache::{Cache, user_home};

/// Removes what was asked for, all of it or, where one item is refused, nothing.
///
/// Repeated, it refuses what is gone already. Ended in the middle, it leaves an item whose rest `disk`
/// goes on to name.
pub fn remove(request: &RemoveRequest) -> Result<Undone, Problem> {
    let cache = Cache::find(request.hf_home.as_deref())?;
    let home = user_home();
    let found = scan(&cache, home.as_deref());
    let busy = Busy::look(&cache, &found);
    let mut doomed: Vec<&ScannedItem> = Vec::new();
    for asked in &request.items {
        let one = found
            .iter()
            .find(|f| f.item.kind == asked.kind && f.item.path == asked.path)
            .ok_or_else(|| unknown(&asked.path))?;
        if request.in_use.contains(&asked.path) {
            return Err(held_by(&asked.path, "a container"));
        }
        let mut item = one.item.clone();
        item.busy = busy.of(&item.path);
        if let Some(problem) = refused(&item, &uses(&item, &[], &[])) {
            return Err(problem);
        }
        doomed.push(one);
    }
    // A job that begins now waits until it is over, as this waits for none.
    let repos: BTreeSet<&String> = doomed.iter().filter_map(|f| f.repo.as_ref()).collect();
    let mut locks = Vec::new();
    for repo in repos {
        if cache.lock(repo).exists() {
            // Without locks, what is busy was seen by its open files.
            locks.push(cache.hold(repo, |_| {})?);
        }
    }
    let mut undone = Undone::default();
    for one in &doomed {
        take(one, &found, &doomed, &mut undone);
    }
    Ok(undone)
}

/// Removes one item. A file that another item has as well goes only with the last of them.
fn take(one: &ScannedItem, all: &[ScannedItem], doomed: &[&ScannedItem], undone: &mut Undone) {
    let stays: BTreeSet<&Path> = all
        .iter()
        .filter(|other| {
            doomed
                .iter()
                .all(|d| d.item.path != other.item.path || d.item.kind != other.item.kind)
        })
        .flat_map(|other| other.files.iter().map(|p| p.as_path()))
        .collect();
    for path in &one.files {
        if stays.contains(path.as_path()) {
            continue;
        }
        let Ok(meta) = std::fs::symlink_metadata(path) else {
            continue;
        };
        match std::fs::remove_file(path) {
            Ok(()) => {
                undone.removed += 1;
                if meta.is_file() && meta.nlink() == 1 {
                    undone.bytes += meta.blocks().saturating_mul(512);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => undone
                .left
                .push(format!("{} could not be removed: {e}.", path.display())),
        }
    }
    for folder in &one.folders {
        // One that is not empty holds what others put there.
        let _ = std::fs::remove_dir(folder);
    }
}

fn unknown(path: &str) -> Problem {
    Problem::new(Code::BadInput, "Nothing was deleted.")
        .cause(format!(
            "`{path}` is not among what Tandem knows on this machine, or not any more."
        ))
        .fix("Refresh the disk's list.")
}

fn held_by(path: &str, who: &str) -> Problem {
    Problem::new(Code::Locked, "Nothing was deleted.")
        .cause(format!("`{path}` is in use by {who}."))
        .fix("Stop the server first; the Chat and Settings screens do that.")
}
