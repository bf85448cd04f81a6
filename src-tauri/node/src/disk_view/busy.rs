//! Who has files of an item open: jobs of Tandem by their lock, programs by what they have open or
//! mapped. Programs of other users cannot be seen; containers are told by the app.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tandem_domain::disk::FileId;

use super::scan::ScannedItem;
use crate::cache::Cache;

/// See the module.
pub(super) struct Busy {
    /// By the item's path.
    who: BTreeMap<String, String>,
}

impl Busy {
    pub(super) fn look(cache: &Cache, found: &[ScannedItem]) -> Self {
        let mut of_file: HashMap<FileId, Vec<usize>> = HashMap::new();
        for (index, one) in found.iter().enumerate() {
            for held in &one.held {
                of_file.entry(held.file).or_default().push(index);
            }
        }
        let mut who = BTreeMap::new();
        open_files(&mut |file, pid| {
            for index in of_file.get(&file).into_iter().flatten() {
                who.entry(found[*index].item.path.clone())
                    .or_insert_with(|| program(pid));
            }
        });
        for one in found {
            // Opened only where the lock is there already, so that looking writes nothing.
            let Some(repo) = one.repo.as_ref().filter(|r| cache.lock(r).exists()) else {
                continue;
            };
            if is_held(&cache.lock(repo)) {
                who.insert(
                    one.item.path.clone(),
                    "a job of Tandem that works on this model".to_owned(),
                );
            }
        }
        Self { who }
    }

    pub(super) fn of(&self, path: &str) -> Option<String> {
        self.who.get(path).cloned()
    }
}

/// Whether somebody holds a lock.
fn is_held(lock: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let Ok(file) = std::fs::File::open(lock) else {
        return false;
    };
    // Shared, and given up with the file: it stands in nobody's way.
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

/// Hands over every file that a program of this user has open or mapped.
fn open_files(each: &mut dyn FnMut(FileId, u32)) {
    let own = std::process::id();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        if pid == own {
            continue;
        }
        let process = entry.path();
        let open = std::fs::read_dir(process.join("fd"));
        for fd in open.into_iter().flatten().flatten() {
            if let Ok(meta) = std::fs::metadata(fd.path())
                && meta.is_file()
            {
                each((meta.dev(), meta.ino()), pid);
            }
        }
        let maps = std::fs::read_to_string(process.join("maps")).unwrap_or_default();
        for line in maps.lines() {
            // 7f… r--p 00000000 fd:02 1234 /path: the file is looked up by its path, whose device is
            // the one that everybody else sees.
            let path = line.find('/').map(|at| &line[at..]);
            if let Some(meta) = path.and_then(|p| std::fs::metadata(p).ok()) {
                each((meta.dev(), meta.ino()), pid);
            }
        }
    }
}

fn program(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    match name.trim() {
        "" => format!("process {pid}"),
        name => format!("the program `{name}` (process {pid})"),
    }
}
