//! Brings a revision into the Hugging Face cache, as `huggingface_hub` would leave it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tandem_domain::node::xet::{self, Offer, Road};
use tandem_domain::node::{FetchReceipt, FetchRequest};
use tandem_domain::problem::{Problem, bytes};
use tandem_domain::secret::Secret;

use crate::cache::{Cache, check_repo, link_target};
use crate::digest::Hasher;
use crate::disk;
use crate::hub::{Hub, Remote, Source, Way};
use crate::made::{Made, relative};
use crate::proven::{self, Proof};
use crate::shared;
use crate::transfer::{
    self, Keeper, Manner, Meter, Piece, Reporter, Target, Trail, Transfer, Valve, Verdict, Xet,
};
use crate::work::{Context, Stop};

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
    check_repo(&request.repo)?;
    request.limits.check()?;
    let cache = Cache::find(request.hf_home.as_deref())?;
    let meter = Meter::new("Asking the Hub what the revision holds");
    let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
    let valve = Arc::new(Valve::default());
    let _keeper = Keeper::start(
        Arc::clone(&valve),
        request.limits.clone(),
        context.limits.clone(),
        context.settings.minute,
        Arc::clone(&meter),
        Arc::clone(&context.lines),
    );
    let hub = Arc::new(reached(request, token, context)?);
    let listing = hub.revision(&request.repo, &request.revision).await?;
    let files = heads(&hub, &request.repo, &listing.commit, &listing.files).await?;
    let total: u64 = files.values().map(|f| f.size).sum();

    let repo = cache.repo(&request.repo);
    let _held = prepare(&cache, &request.repo, context)?;
    folder(
        &cache,
        &cache.snapshot(&request.repo, &listing.commit),
        context,
    )?;

    let mut plan = Plan::look(&cache, &request.repo, &files, context)?;
    disk::ask_for(plan.missing, &repo)?;
    meter.set(total.saturating_sub(plan.missing), total);
    if plan.missing > 0 {
        context.lines.note(format!(
            "{} of {} are to be fetched for {} files.",
            bytes(plan.missing),
            bytes(total),
            plan.wanted.len()
        ));
    }
    let wanted = std::mem::take(&mut plan.wanted);
    let roads = roads(&wanted, &files, request);
    if let Some(words) = xet::words(&roads) {
        context.lines.note(words);
    }
    let pieces = pieces(&request.repo, &listing.commit, &wanted, &files, &roads);
    let targets: Vec<Arc<Target>> = wanted.iter().map(|w| Arc::clone(&w.target)).collect();
    let mut tries = vec![0_u8; wanted.len()];
    let trails = wanted.iter().map(|w| w.trail.clone()).collect();
    meter.doing("Fetching");
    transfer::run(
        Transfer {
            hub,
            pieces,
            targets,
            connections: request.connections,
            meter: Arc::clone(&meter),
            fetched: Arc::clone(&context.fetched),
            patience: context.settings.transfer_patience,
            manner: Manner {
                valve,
                trails,
                busy_patience: context.settings.busy_patience,
                xet: Some(Xet::new(Arc::clone(&context.lines))),
            },
            cancel: context.cancel.clone(),
        },
        async |index| {
            let one = &wanted[index];
            meter.doing(format!("Checking {}", one.name));
            let verdict = finish(one, &request.repo, &mut tries[index], context).await;
            meter.doing("Fetching");
            verdict
        },
    )
    .await?;

    meter.doing("Linking the snapshot");
    for (name, remote) in &files {
        link(
            &cache,
            &request.repo,
            &listing.commit,
            name,
            remote,
            context,
        )?;
    }
    if request.revision != listing.commit {
        refer(
            &cache,
            &request.repo,
            &request.revision,
            &listing.commit,
            &context.made,
        )?;
    }
    Ok(FetchReceipt {
        snapshot: cache
            .snapshot(&request.repo, &listing.commit)
            .to_string_lossy()
            .into_owned(),
        commit: listing.commit,
        files: files.len() as u32,
        bytes: total,
        fetched: context.fetched.total(),
        made: context.made.entries(),
    })
}

/// Makes a repository's folders and holds it for this job alone, until the value is dropped.
pub(crate) fn prepare(cache: &Cache, name: &str, context: &Context) -> Result<File, Problem> {
    let repo = cache.repo(name);
    folder(cache, &repo.join("blobs"), context)?;
    folder(cache, &repo.join("refs"), context)?;
    let lock = cache.lock(name);
    if !lock.exists() {
        folder(cache, lock.parent().unwrap_or(&repo), context)?;
        context
            .made
            .note(relative(cache.home(), &lock))
            .map_err(|e| disk::problem("noting what is made", &lock, &e))?;
    }
    tokio::task::block_in_place(|| cache.hold(name))
}

fn folder(cache: &Cache, path: &Path, context: &Context) -> Result<(), Problem> {
    context
        .made
        .folder(cache.home(), path)
        .map_err(|e| disk::problem("making a folder of the cache", path, &e))
}

/// Asks the Hub for the blobs of a revision: their names in the cache and their sizes.
pub(crate) async fn blobs(
    request: &FetchRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<BTreeMap<String, u64>, Stop> {
    let hub = reached(request, token, context)?;
    let listing = hub.revision(&request.repo, &request.revision).await?;
    let files = heads(&hub, &request.repo, &listing.commit, &listing.files).await?;
    Ok(files.into_values().map(|f| (f.etag, f.size)).collect())
}

/// The Hub, reached as a request says.
fn reached(
    request: &FetchRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<Hub, Problem> {
    let way = Way {
        patience: context.settings.patience,
        silence: context.settings.silence,
        proxy: request.proxy.clone(),
    };
    Hub::with(&request.endpoint, token, way, context.cancel.clone())
}

/// Asks for size and hash of every file.
pub async fn heads(
    hub: &Hub,
    repo: &str,
    commit: &str,
    files: &[String],
) -> Result<BTreeMap<String, Remote>, Stop> {
    stream::iter(files)
        .map(|name| async move { Ok((name.clone(), hub.head(repo, commit, name).await?)) })
        .buffer_unordered(6)
        .try_collect()
        .await
}

/// A blob that is not in the cache yet.
struct Wanted {
    /// One of the files that it is.
    name: String,
    etag: String,
    size: u64,
    blob: PathBuf,
    notes: PathBuf,
    target: Arc<Target>,
    /// Its hash; none where the etag is of an unknown kind.
    trail: Option<Arc<Trail>>,
}

struct Plan {
    wanted: Vec<Wanted>,
    missing: u64,
}

impl Plan {
    fn look(
        cache: &Cache,
        repo: &str,
        files: &BTreeMap<String, Remote>,
        context: &Context,
    ) -> Result<Self, Problem> {
        let mut plan = Self {
            wanted: Vec::new(),
            missing: 0,
        };
        let mut seen = std::collections::BTreeSet::new();
        for (name, remote) in files {
            if !seen.insert(remote.etag.clone()) {
                continue;
            }
            let blob = cache.blob(repo, &remote.etag);
            if cache.holds(repo, &remote.etag, remote.size) {
                continue;
            }
            if adopted(cache, repo, &blob, remote, context)? {
                continue;
            }
            let (target, notes) = begin(cache, &blob, remote.size, context)?;
            plan.missing += remote.size - target.within(0, remote.size);
            plan.wanted.push(Wanted {
                name: name.clone(),
                etag: remote.etag.clone(),
                size: remote.size,
                blob,
                notes,
                target: Arc::new(target),
                trail: Hasher::of_etag(&remote.etag, remote.size)
                    .map(|hasher| Trail::new(hasher.with_tree(), remote.size)),
            });
        }
        // Small files first: what can be refused is refused before hours of shards.
        plan.wanted.sort_by_key(|w| w.size > (64 << 20));
        Ok(plan)
    }
}

/// Takes a blob from the store that newer versions of `huggingface_hub` share between repositories.
fn adopted(
    cache: &Cache,
    repo: &str,
    blob: &Path,
    remote: &Remote,
    context: &Context,
) -> Result<bool, Problem> {
    let Some(xet) = &remote.xet else {
        return Ok(false);
    };
    let Some(shared) = shared::find(cache, xet, remote.size) else {
        return Ok(false);
    };
    let failed = |e: io::Error| disk::problem("linking a file of the shared store", blob, &e);
    context
        .made
        .note(relative(cache.home(), blob))
        .map_err(failed)?;
    shared.link(cache, repo, &remote.etag).map_err(failed)
}

/// The road of each blob, in their order.
fn roads(wanted: &[Wanted], files: &BTreeMap<String, Remote>, request: &FetchRequest) -> Vec<Road> {
    let disabled = std::env::var("HF_HUB_DISABLE_XET").ok();
    let disabled = xet::disables(disabled.as_deref());
    let road = |one: &Wanted| {
        xet::road(Offer {
            offered: files.get(&one.name).is_some_and(Remote::is_in_chunks),
            size: one.size,
            ranges_only: request.limits.ranges_only,
            disabled,
        })
    };
    wanted.iter().map(road).collect()
}

fn pieces(
    repo: &str,
    commit: &str,
    wanted: &[Wanted],
    files: &BTreeMap<String, Remote>,
    roads: &[Road],
) -> Vec<Piece> {
    wanted
        .iter()
        .zip(roads)
        .enumerate()
        .filter_map(|(index, (one, road))| {
            let remote = files.get(&one.name)?.clone();
            let source = Source::new(repo, commit, &one.name, remote);
            source.come_in_chunks(*road == Road::Chunks);
            Some(Piece {
                source,
                at: 0,
                target: index,
                to: 0,
                len: one.size,
            })
        })
        .collect()
}

/// Checks a whole blob against its name and puts it in its place.
async fn finish(
    one: &Wanted,
    repo: &str,
    tries: &mut u8,
    context: &Context,
) -> Result<Verdict, Stop> {
    let found = match &one.trail {
        Some(trail) => tokio::select! {
            () = context.cancel.cancelled() => return Err(Stop::Cancelled),
            found = trail.end() => Some(
                found.map_err(|e| disk::problem("reading back what arrived", &one.target.path, &e))?
            ),
        },
        None => None,
    };
    if let Some(found) = found.as_ref().filter(|f| f.hex != one.etag) {
        *tries += 1;
        if *tries < 2 {
            context.lines.note(format!(
                "{} arrived with another hash than the Hub announced; it is fetched once more.",
                one.name
            ));
            return Ok(Verdict::Again);
        }
        // Bytes that are known to be wrong are not kept for a resume.
        one.target
            .forget()
            .map_err(|e| disk::problem("starting a file again", &one.target.path, &e))?;
        return Err(transfer::wrong_bytes(&one.name, repo, &one.etag, &found.hex).into());
    }
    let place = || -> io::Result<()> {
        one.target.file().set_len(one.size)?;
        if let Some(proof) = found.as_ref().and_then(Proof::of) {
            proven::note(one.target.file(), &proof);
        }
        one.target.file().sync_all()?;
        std::fs::rename(&one.target.path, &one.blob)?;
        std::fs::remove_file(&one.notes)?;
        sync_folder(&one.blob)
    };
    place().map_err(|e| disk::problem("putting a file in its place", &one.blob, &e))?;
    Ok(Verdict::Good)
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
    for path in [blob, &partial, &notes] {
        context
            .made
            .note(relative(cache.home(), path))
            .map_err(failed)?;
    }
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
        context.made.folder(cache.home(), folder).map_err(failed)?;
    }
    match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_symlink() => {
            let resolves =
                std::fs::metadata(&path).is_ok_and(|m| m.is_file() && m.len() == remote.size);
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
            context
                .made
                .note(relative(cache.home(), &path))
                .map_err(failed)?;
        }
        Err(e) => return Err(failed(e)),
    }
    let beside = with_ending(&path, "tandem-new");
    let _ = std::fs::remove_file(&beside);
    std::os::unix::fs::symlink(&target, &beside).map_err(failed)?;
    std::fs::rename(&beside, &path).map_err(failed)
}

fn refer(cache: &Cache, repo: &str, name: &str, commit: &str, made: &Made) -> Result<(), Problem> {
    let path = cache.reference(repo, name);
    let failed = |e: io::Error| disk::problem("writing the branch's reference", &path, &e);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed(e)),
    };
    if before.as_deref() == Some(commit) {
        return Ok(());
    }
    let entry = relative(cache.home(), &path);
    let own = made.entries().contains(&entry);
    match before {
        Some(before) if !own => made.note(format!("{entry}={before}")).map_err(failed)?,
        Some(_) => {}
        None => made.note(entry).map_err(failed)?,
    }
    if let Some(folder) = path.parent() {
        made.folder(cache.home(), folder).map_err(failed)?;
    }
    let beside = with_ending(&path, "tandem-new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(commit.as_bytes())?;
        // An empty reference after a loss of power would hide the snapshot from every program.
        file.sync_data()?;
        std::fs::rename(&beside, &path)
    };
    write().map_err(failed)
}
