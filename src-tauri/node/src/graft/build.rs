//! Makes the checkpoint: the tensors' file, the rewritten JSON, the links, the manifest, the rename.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;
use tandem_domain::checkpoint::index;
use tandem_domain::graft::plan::{self, GraftLayout, Standing};
use tandem_domain::node::{GraftReceipt, GraftRequest, WrittenFile};
use tandem_domain::problem::{Code, Problem};
use tokio_util::sync::CancellationToken;

use super::base::BaseCheckpoint;
use super::donor::Parts;
use super::manifest::{self, LinkedFile, Manifest};
use crate::cache::Cache;
use crate::context::Context;
use crate::created_paths::CreatedPath;
use crate::digest::{Hasher, read_through, sha256};
use crate::disk;
use crate::hub::Hub;
use crate::own_file;
use crate::stop::Stop;
use crate::transfer::{self, Manner, Meter, Piece, Target, Transfer, Verdict};

/// The tensors' file and its notes while it is unfinished, and what it is made after.
const PARTIAL: &str = "tensors.tandem-partial";
const NOTES: &str = "tensors.tandem-notes";
const PLAN: &str = "tensors.tandem-plan";

/// Where the checkpoint is made and from what.
pub(super) struct Site<'a> {
    pub(super) cache: &'a Cache,
    pub(super) request: &'a GraftRequest,
    pub(super) snapshot: &'a Path,
    /// The final folder.
    pub(super) folder: &'a Path,
    pub(super) own: &'a BaseCheckpoint,
    pub(super) source_commit: &'a str,
}

/// What is in it.
pub(super) struct Content {
    /// The name of the tensors' file.
    pub(super) file: &'static str,
    /// Small files with their names.
    pub(super) texts: Vec<(&'static str, Vec<u8>)>,
    /// The tensors to be brought.
    pub(super) parts: Option<Parts>,
    /// The published draft that they come from.
    pub(super) draft_source: Option<String>,
    /// Whether the snapshot's other files are in it too, as hard links.
    pub(super) shares: bool,
}

pub(super) async fn build(
    site: Site<'_>,
    content: Content,
    hub: Arc<Hub>,
    meter: Arc<Meter>,
    context: &Context,
) -> Result<GraftReceipt, Stop> {
    let folder = super::unfinished(site.folder);
    let failed = |e: io::Error| disk::problem("making the checkpoint", &folder, &e);
    let make = || -> io::Result<()> {
        if let Some(above) = folder.parent() {
            context.made.folder(site.cache, above)?;
        }
        let entry = CreatedPath::Checkpoint(site.cache.relative(site.folder));
        context.made.note(entry)?;
        site.cache.refuse_links(&folder.join(PLAN))?;
        std::fs::create_dir_all(&folder)
    };
    make().map_err(failed)?;
    let lock = File::open(&folder).map_err(failed)?;
    if own_file::try_lock(&lock).map_err(failed)? == own_file::LockState::Taken {
        return Err(
            Problem::new(Code::Locked, "Another graft of this snapshot is under way.")
                .fix("Wait for it to end, or cancel it.")
                .into(),
        );
    }
    clear(&folder, content.file).map_err(failed)?;

    let mut written = Vec::new();
    let mut tensor_sha256 = BTreeMap::new();
    let (tensors, tensor_bytes) = match &content.parts {
        Some(parts) => {
            let hashes = bring(&folder, &content, parts, &site, hub, &meter, context).await?;
            written.push(WrittenFile {
                name: content.file.to_owned(),
                size: parts.plan.file_size,
                sha256: hashes.whole,
            });
            tensor_sha256 = hashes.tensors;
            let layers = parts.plan.moves.iter();
            let layers = layers.filter(|m| index::layer(&m.tensor.name).is_some());
            (layers.count() as u32, parts.plan.tensor_bytes)
        }
        None => own_tensors(&site)?,
    };
    meter.doing("Writing index and configuration");
    for (name, text) in &content.texts {
        let path = folder.join(name);
        own_file::replace(&path, text)
            .map_err(|e| disk::problem("writing a file of the checkpoint", &path, &e))?;
        written.push(WrittenFile {
            name: (*name).to_owned(),
            size: text.len() as u64,
            sha256: sha256(text),
        });
    }
    written.sort_by(|a, b| a.name.cmp(&b.name));
    let linked = if content.shares {
        link(site.snapshot, &folder, &written)?
    } else {
        Vec::new()
    };
    let manifest = Manifest {
        tandem_graft: 1,
        way: site.request.way,
        repo: site.request.repo.clone(),
        commit: site.request.commit.clone(),
        source_repo: site.request.source_repo.clone(),
        source_commit: site.source_commit.to_owned(),
        draft_source: content.draft_source,
        tensors,
        tensor_bytes,
        tensor_sha256,
        written,
        linked,
    };
    let seal = || -> io::Result<()> {
        own_file::replace(&folder.join(manifest::FILE), manifest.text().as_bytes())?;
        for name in [NOTES, PLAN] {
            remove(&folder.join(name))?;
        }
        lock.sync_all()?;
        // What stands in the way has our name and failed its own check.
        if site.folder.exists() {
            std::fs::remove_dir_all(site.folder)?;
        }
        std::fs::rename(&folder, site.folder)?;
        crate::fetch::sync_folder(site.folder)
    };
    seal().map_err(failed)?;
    Ok(manifest.receipt(site.folder, context.fetched.total()))
}

/// Removes what an earlier attempt made besides the tensors' file.
fn clear(folder: &Path, file: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if [PARTIAL, NOTES, PLAN].iter().any(|kept| name == *kept) {
            continue;
        }
        // A finished tensors' file goes back to being unfinished: its notes are still there.
        if name == file && folder.join(NOTES).exists() {
            std::fs::rename(entry.path(), folder.join(PARTIAL))?;
        } else if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

struct Hashes {
    whole: String,
    tensors: BTreeMap<String, String>,
}

/// Fetches the tensors into their file, goes on from what an earlier start left, and reads back.
async fn bring(
    folder: &Path,
    content: &Content,
    parts: &Parts,
    site: &Site<'_>,
    hub: Arc<Hub>,
    meter: &Arc<Meter>,
    context: &Context,
) -> Result<Hashes, Stop> {
    let plan = &parts.plan;
    let path = folder.join(PARTIAL);
    let failed = |e: io::Error| disk::problem("writing the tensors", &path, &e);
    let identity = identity(content, parts, site);
    let plan_file = folder.join(PLAN);
    if std::fs::read_to_string(&plan_file).ok().as_deref() != Some(identity.as_str()) {
        // Bytes of another plan have other places.
        remove(&path).map_err(failed)?;
        remove(&folder.join(NOTES)).map_err(failed)?;
        own_file::replace(&plan_file, identity.as_bytes()).map_err(failed)?;
    }
    let target =
        Arc::new(Target::open(&path, &folder.join(NOTES), plan.file_size, true).map_err(failed)?);
    let data = plan.header.len() as u64;
    let have = target.within(data, plan.file_size);
    disk::ask_for(plan.tensor_bytes - have, folder)?;
    target
        .file()
        .write_all_at(&plan.header, 0)
        .map_err(failed)?;
    meter.set(have, plan.tensor_bytes);
    meter.doing("Fetching the MTP tensors");
    let pieces = plan::runs(plan)
        .into_iter()
        .filter_map(|run| {
            Some(Piece {
                source: Arc::clone(parts.sources.get(&run.from)?),
                at: run.at,
                target: 0,
                to: run.to,
                len: run.len,
            })
        })
        .collect();
    let mut hashes = None;
    let mut tries = 0;
    transfer::run(
        Transfer {
            hub,
            pieces,
            targets: vec![Arc::clone(&target)],
            connections: 8,
            meter: Arc::clone(meter),
            fetched: Arc::clone(&context.fetched),
            patience: context.settings.transfer_patience,
            manner: Manner::default(),
            cancel: context.cancel.clone(),
        },
        async |_| {
            meter.doing("Reading the tensors back");
            let (file, plan, cancel) = (Arc::clone(&target), plan.clone(), context.cancel.clone());
            let read = tokio::task::spawn_blocking(move || read_back(&file, &plan, &cancel))
                .await
                .unwrap_or_else(|e| Err(io::Error::other(e)))
                .map_err(|e| disk::problem("reading the tensors back", &target.path, &e))?;
            if context.cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            match read {
                Ok(good) => {
                    hashes = Some(good);
                    Ok(Verdict::Good)
                }
                Err(at) if tries == 0 => {
                    tries += 1;
                    context.lines.note(format!(
                        "The disk gave other bytes back than were written at {at}; the tensors are fetched once more."
                    ));
                    meter.doing("Fetching the MTP tensors");
                    Ok(Verdict::Again)
                }
                Err(at) => Err(Problem::new(
                    Code::HashMismatch,
                    "The tensors on the disk are not the ones that arrived.",
                )
                .cause(format!(
                    "{} gives other bytes back than were written, at {at}.",
                    target.path.display()
                ))
                .fix("Check the disk of this machine.")
                .into()),
            }
        },
    )
    .await?;
    let hashes =
        hashes.ok_or_else(|| Problem::new(Code::Broken, "The tensors were not read back."))?;
    target.file().set_len(plan.file_size).map_err(failed)?;
    target.file().sync_all().map_err(failed)?;
    std::fs::rename(&path, folder.join(content.file)).map_err(failed)?;
    Ok(hashes)
}

/// What the unfinished file is made after: another source or layout is another file.
fn identity(content: &Content, parts: &Parts, site: &Site<'_>) -> String {
    let mut text = match &content.draft_source {
        Some(published) => format!("{published}\n"),
        None => format!("{} {}\n", site.request.source_repo, site.source_commit),
    };
    for source in parts.sources.values() {
        text.push_str(&format!(
            "{} {} {}\n",
            source.name, source.etag, source.size
        ));
    }
    text.push_str(&sha256(&parts.plan.header));
    text
}

/// Compares every piece on the disk with the hash it arrived with, checks the header as the format's
/// own crate reads it, and hashes tensors and file. The inner error is a place that differs.
fn read_back(
    target: &Target,
    plan: &GraftLayout,
    cancel: &CancellationToken,
) -> io::Result<Result<Hashes, u64>> {
    target.file().sync_all()?;
    // So that the disk is asked and not the memory that was just written.
    let _ = fadvise(target.file(), 0, None, Advice::DontNeed);
    let mut buffer = Vec::new();
    for mark in target.marks() {
        buffer.resize((mark.to - mark.from) as usize, 0);
        target.file().read_exact_at(&mut buffer, mark.from)?;
        if mark.sha256.as_deref() != Some(sha256(&buffer).as_str()) {
            return Ok(Err(mark.from));
        }
        if cancel.is_cancelled() {
            return Ok(Err(mark.from));
        }
    }
    let mut head = vec![0; plan.header.len()];
    target.file().read_exact_at(&mut head, 0)?;
    let readable = serde_json::from_slice::<safetensors::tensor::Metadata>(&head[8..])
        .is_ok_and(|m| m.tensors().len() == plan.moves.len());
    if head != plan.header || !readable {
        return Ok(Err(0));
    }
    let mut whole = Hasher::sha256();
    let mut tensors = BTreeMap::new();
    let mut moves = plan.moves.iter().peekable();
    let mut current = Hasher::sha256();
    let reached = read_through(target.file(), |at, bytes| {
        whole.update(bytes);
        let end = at + bytes.len() as u64;
        while let Some(step) = moves.peek() {
            let (from, to) = (step.to, step.to + step.tensor.bytes());
            if from >= end && from < to {
                break;
            }
            let (a, b) = (from.max(at), to.min(end));
            if a < b {
                current.update(&bytes[(a - at) as usize..(b - at) as usize]);
            }
            if to > end {
                break;
            }
            let done = std::mem::replace(&mut current, Hasher::sha256());
            tensors.insert(step.tensor.name.clone(), done.hex());
            moves.next();
        }
        !cancel.is_cancelled()
    })?;
    if reached && tensors.len() == plan.moves.len() {
        Ok(Ok(Hashes {
            whole: whole.hex(),
            tensors,
        }))
    } else {
        Ok(Err(plan.file_size))
    }
}

/// The MTP tensors that the snapshot has itself, where only its configuration is mended.
fn own_tensors(site: &Site<'_>) -> Result<(u32, u64), Problem> {
    let Standing::Complete { tensors, files } = site.own.standing() else {
        return Ok((0, 0));
    };
    let mut total = 0;
    for file in files {
        let header = super::base::local_header(&site.snapshot.join(&file), &file)?;
        total += header
            .tensors
            .iter()
            .filter(|t| index::layer(&t.name).is_some_and(|n| n >= site.own.text.hidden_layers))
            .map(|t| t.bytes())
            .sum::<u64>();
    }
    Ok((tensors, total))
}

/// Hard links for every file of the snapshot that is not replaced.
fn link(
    snapshot: &Path,
    folder: &Path,
    written: &[WrittenFile],
) -> Result<Vec<LinkedFile>, Problem> {
    let mut linked = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        let here = snapshot.join(&below);
        let failed = |e: io::Error| disk::problem("linking the snapshot's files", &here, &e);
        for entry in std::fs::read_dir(&here).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = below.join(entry.file_name());
            if entry.file_type().map_err(failed)?.is_dir() {
                std::fs::create_dir_all(folder.join(&name)).map_err(failed)?;
                folders.push(name);
                continue;
            }
            let text = name.to_string_lossy().into_owned();
            if written.iter().any(|w| w.name == text) {
                continue;
            }
            let blob = std::fs::canonicalize(entry.path()).map_err(|e| {
                Problem::new(
                    Code::CheckpointIncomplete,
                    format!("{text} of the snapshot leads nowhere."),
                )
                .cause(format!("{}: {e}", entry.path().display()))
                .fix("Fetch the weights again; what is there and right is kept.")
            })?;
            std::fs::hard_link(&blob, folder.join(&name)).map_err(|e| not_linked(&blob, &e))?;
            let size = std::fs::metadata(&blob).map_err(failed)?.len();
            linked.push(LinkedFile { name: text, size });
        }
    }
    linked.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(linked)
}

fn not_linked(blob: &Path, error: &io::Error) -> Problem {
    if Errno::from_io_error(error) == Some(Errno::XDEV) {
        return Problem::new(
            Code::MachineUnfit,
            "The checkpoint cannot share the files of the snapshot.",
        )
        .cause(format!(
            "{} is on another file system than the Hugging Face home, and a hard link cannot cross.",
            blob.display()
        ))
        .fix("Move the cache's files to the disk of the Hugging Face home, or choose a home on theirs.");
    }
    disk::problem("sharing a file of the snapshot", blob, error)
}
