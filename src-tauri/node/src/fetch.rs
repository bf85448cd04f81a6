//! Brings the selected files of repositories into the Hugging Face cache, as `huggingface_hub` would leave them:
//! a snapshot there may lack files that nobody asked for.

mod files;
mod listing;

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_domain::node::{FetchReceipt, FetchRequest, FetchedSnapshot, Share};
use tandem_domain::problem::{Problem, bytes};
use tandem_domain::secret::Secret;

use crate::cache::{Cache, link_target};
use crate::context::Context;
use crate::created_paths::{CreatedPath, CreatedPaths};
use crate::disk;
use crate::hub::Remote;
use crate::own_file;
use crate::selected;
use crate::stop::Stop;
use crate::transfer::{LimitWatcher, Meter, Reporter, Target, Throttle};
pub(crate) use files::{FetchPlan, FileFetch};
pub(crate) use listing::{Listed, ListedBlob, ListedRepo, listed, selected_files, wanted};

/// Ending of an unfinished blob, which no other program looks at.
pub const PARTIAL: &str = "tandem-partial";
/// Ending of the notes beside it.
pub const NOTES: &str = "tandem-notes";

/// Carries a fetch out.
pub async fn fetch(
    request: &FetchRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<FetchReceipt, Stop> {
    request.limits.check()?;
    let cache = Cache::find(request.hf_home.as_deref())?;
    let meter = Meter::new("Asking the Hub what the revision holds");
    let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
    let (throttle, _watcher) = held(request, None, &meter, context);
    context.waits(false);
    let Listed { hub, repos } = listed(request, token, context).await?;
    let total: u64 = repos.iter().map(ListedRepo::bytes).sum();

    let _held = prepare(&cache, &repos, context)?;
    for one in &repos {
        selected::keep(&cache, &one.repo, &one.commit, &one.selection, context)?;
        folder(&cache, &cache.snapshot(&one.repo, &one.commit), context)?;
    }
    let plan = FetchPlan::look(&cache, &repos, context)?;
    disk::ask_for(plan.missing, &cache.repo(&repos[0].repo))?;
    meter.set(total.saturating_sub(plan.missing), total);
    if plan.missing > 0 {
        context.lines.note(format!(
            "{} of {} are to be fetched for {} files.",
            bytes(plan.missing),
            bytes(total),
            plan.files()
        ));
    }
    let line = FileFetch {
        request,
        hub,
        meter: &meter,
        throttle,
        cancel: context.cancel.clone(),
        doing: "Fetching",
    };
    line.bring(plan, context).await?;

    meter.doing("Linking the snapshot");
    let mut snapshots = Vec::new();
    for one in &repos {
        snapshots.push(settle(&cache, one, context)?);
    }
    Ok(FetchReceipt {
        first: snapshots.remove(0),
        others: snapshots,
        fetched: context.fetched.total(),
        made: shown(&context.made.entries()),
    })
}

/// What was made, as a receipt names it.
fn shown(entries: &[CreatedPath]) -> Vec<String> {
    let shown = entries.iter().map(|entry| match entry {
        CreatedPath::Folder(path) => format!("{path}/"),
        other => other.path().to_owned(),
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    shown
}

/// Gives a repository's blobs their names in the snapshot, and its branch the commit.
fn settle(cache: &Cache, one: &ListedRepo, context: &Context) -> Result<FetchedSnapshot, Problem> {
    for (name, remote) in &one.files {
        link(cache, &one.repo, &one.commit, name, remote, context)?;
    }
    if one.revision != one.commit {
        refer(cache, &one.repo, &one.revision, &one.commit, &context.made)?;
    }
    let snapshot = cache.snapshot(&one.repo, &one.commit);
    Ok(FetchedSnapshot {
        commit: one.commit.clone(),
        snapshot: snapshot.to_string_lossy().into_owned(),
        files: one.files.len() as u32,
        bytes: one.bytes(),
    })
}

/// Holds a request, or a machine's share of it, to its limits until the watcher is dropped.
pub(crate) fn held(
    request: &FetchRequest,
    share: Option<&Share>,
    meter: &Arc<Meter>,
    context: &Context,
) -> (Arc<Throttle>, LimitWatcher) {
    let throttle = Arc::new(Throttle::of_share(share));
    let watcher = LimitWatcher::start(
        Arc::clone(&throttle),
        request.limits.clone(),
        context.limits.clone(),
        context.settings.minute,
        Arc::clone(meter),
        Arc::clone(&context.lines),
    );
    (throttle, watcher)
}

/// Makes the repositories' folders and holds them for this job alone, until the value is dropped.
pub(crate) fn prepare(
    cache: &Cache,
    repos: &[ListedRepo],
    context: &Context,
) -> Result<Vec<File>, Problem> {
    let names: BTreeSet<&str> = repos.iter().map(|r| r.repo.as_str()).collect();
    names
        .into_iter()
        .map(|n| lock_one(cache, n, context))
        .collect()
}

fn lock_one(cache: &Cache, name: &str, context: &Context) -> Result<File, Problem> {
    let repo = cache.repo(name);
    folder(cache, &repo.join("blobs"), context)?;
    folder(cache, &repo.join("refs"), context)?;
    let lock = cache.lock(name);
    if !lock.exists() {
        folder(cache, lock.parent().unwrap_or(&repo), context)?;
        context
            .made
            .note(CreatedPath::File(cache.relative(&lock)))
            .map_err(|e| disk::problem("noting what is made", &lock, &e))?;
    }
    tokio::task::block_in_place(|| cache.hold(name, |said| context.lines.note(said)))
}

fn folder(cache: &Cache, path: &Path, context: &Context) -> Result<(), Problem> {
    context
        .made
        .folder(cache, path)
        .map_err(|e| disk::problem("making a folder of the cache", path, &e))
}

/// Makes a rename in a folder survive a loss of power.
pub fn sync_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Opens or begins the unfinished file of a blob, and gives it with the place of its notes. All that it
/// makes is noted before.
pub(crate) fn begin(
    cache: &Cache,
    blob: &Path,
    size: u64,
    context: &Context,
) -> Result<(Target, PathBuf), Problem> {
    let (partial, notes) = (with_ending(blob, PARTIAL), with_ending(blob, NOTES));
    let failed = |e: io::Error| disk::problem("opening an unfinished file", &partial, &e);
    let below = |path: &Path| cache.relative(path);
    let made = [
        CreatedPath::Blob(below(blob)),
        CreatedPath::File(below(&partial)),
        CreatedPath::File(below(&notes)),
    ];
    for entry in made {
        context.made.note(entry).map_err(failed)?;
    }
    cache.refuse_links(&partial).map_err(failed)?;
    let target = Target::open(&partial, &notes, size, false).map_err(failed)?;
    Ok((target, notes))
}

pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn link(
    cache: &Cache,
    repo: &str,
    commit: &str,
    name: &str,
    remote: &Remote,
    context: &Context,
) -> Result<(), Problem> {
    let path = cache.snapshot(repo, commit).join(name);
    let target = link_target(name, &remote.etag);
    let failed = |e: io::Error| disk::problem("linking a file into the snapshot", &path, &e);
    if let Some(folder) = path.parent() {
        context.made.folder(cache, folder).map_err(failed)?;
    }
    match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_symlink() => {
            let resolves = std::fs::metadata(&path)
                .is_ok_and(|m| m.is_file() && m.len() == remote.size.bytes());
            let names_it =
                std::fs::read_link(&path).is_ok_and(|t| t.file_name() == target.file_name());
            if resolves && names_it {
                return Ok(());
            }
        }
        Ok(_) => {
            // Somebody put a file of their own there. It is theirs.
            context.lines.note(format!(
                "{name} in the snapshot is a file of its own and not the cache's; it was left as it is."
            ));
            return Ok(());
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let entry = CreatedPath::Link(cache.relative(&path));
            context.made.note(entry).map_err(failed)?;
        }
        Err(e) => return Err(failed(e)),
    }
    let beside = own_file::beside(&path);
    let _ = std::fs::remove_file(&beside);
    std::os::unix::fs::symlink(&target, &beside).map_err(failed)?;
    std::fs::rename(&beside, &path).map_err(failed)
}

fn refer(
    cache: &Cache,
    repo: &str,
    name: &str,
    commit: &str,
    made: &CreatedPaths,
) -> Result<(), Problem> {
    let path = cache.reference(repo, name);
    let failed = |e: io::Error| disk::problem("writing the branch's reference", &path, &e);
    cache.refuse_links(&path).map_err(failed)?;
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed(e)),
    };
    if before.as_deref().is_some_and(|b| b.trim() == commit) {
        return Ok(());
    }
    let path_below = cache.relative(&path);
    let is_noted = |entry: &CreatedPath| matches!(entry, CreatedPath::Reference { path, .. } if *path == path_below);
    if !made.entries().iter().any(is_noted) {
        let entry = CreatedPath::Reference {
            path: path_below,
            was: before,
        };
        made.note(entry).map_err(failed)?;
    }
    if let Some(folder) = path.parent() {
        made.folder(cache, folder).map_err(failed)?;
    }
    // Flushed before it has its name: an empty reference after a loss of power would hide the snapshot from
    // every program.
    own_file::replace(&path, commit.as_bytes()).map_err(failed)
}
