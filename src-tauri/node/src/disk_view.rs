//! What takes room on this machine: the Hugging Face cache by revisions, what Tandem made beside it,
//! caches of servers, and downloads that did not end. Only looks.

mod busy;
mod page_cache;
mod remove;
mod scan;

use std::path::{Path, PathBuf};

use tandem_domain::disk::account;
use tandem_domain::node::disk::{DiskReport, DiskRequest};
use tandem_domain::problem::Problem;

use crate::cache::{Cache, user_home};
use crate::disk;

pub use page_cache::uncache;
pub use remove::remove;

/// Looks at the disk.
pub fn report(request: &DiskRequest) -> Result<DiskReport, Problem> {
    let cache = Cache::find(request.hf_home.as_deref())?;
    let (free, total) = disk::space(&cache.hub()).unwrap_or((0, 0));
    let found = scan::scan(&cache, user_home().as_deref());
    let held: Vec<_> = found.iter().map(|f| f.held.clone()).collect();
    let (accounts, taken) = account(&held);
    let busy = busy::Busy::look(&cache, &found);
    let mut items: Vec<_> = found
        .into_iter()
        .zip(accounts)
        .map(|(found, account)| {
            let mut item = found.item;
            item.size = account.size;
            item.frees = account.frees;
            item.busy = busy.of(&item.path);
            item
        })
        .collect();
    items.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.path.cmp(&b.path)));
    Ok(DiskReport {
        home: cache.home().to_string_lossy().into_owned(),
        free,
        total,
        cached: cached(),
        taken,
        items,
    })
}

/// Bytes of memory that hold what was read from files, as the kernel counts them.
pub(crate) fn cached() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("Cached:"));
    let kib: Option<u64> = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Everything in a folder, without following a link and without leaving it.
fn below(folder: &Path, each: &mut dyn FnMut(&Path, &std::fs::Metadata)) {
    let mut folders: Vec<PathBuf> = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(meta) = entry.metadata() else {
                continue; // it went while it was looked at
            };
            if meta.is_dir() {
                folders.push(path);
            } else {
                each(&path, &meta);
            }
        }
    }
}
