//! Compares what is there of a revision with what should be.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_domain::checkpoint::index;
use tandem_domain::node::disk::{CheckFault, CheckRequest, FaultKind};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::shell::own;

use super::deep::{self, Job};
use super::expect::{self, Expected, ExpectedFile};
use crate::cache::{Cache, link_target};
use crate::context::Context;
use crate::digest::Hasher;
use crate::graft::{Manifest, local_header};
use crate::hub::Hub;
use crate::stop::Stop;
use crate::transfer::{Meter, Reporter};
use crate::verified;

/// What was found, with what a repair has to know besides.
pub struct CheckFindings {
    /// What should be there.
    pub expected: Expected,
    /// What is wrong.
    pub faults: Vec<CheckFault>,
    /// Bytes of the files that are right.
    pub bytes: u64,
    /// Of these, files whose hash is the other machine's word.
    pub copied: u32,
}

/// Looks, and says what it found. Where the Hub does not answer, [`Expected::offline`] says so.
pub async fn examine(
    cache: &Cache,
    request: &CheckRequest,
    hub: &Hub,
    context: &Context,
) -> Result<CheckFindings, Stop> {
    let meter = Meter::new("Asking the Hub what should be there");
    let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
    let expected = expect::ask(cache, request, hub).await?;
    look(cache, request, expected, &meter, context).await
}

/// Compares what is there with what should be.
pub(super) async fn look(
    cache: &Cache,
    request: &CheckRequest,
    mut expected: Expected,
    meter: &Arc<Meter>,
    context: &Context,
) -> Result<CheckFindings, Stop> {
    let snapshot = cache.snapshot(&request.repo, &expected.commit);
    let mut faults: BTreeMap<&str, CheckFault> = BTreeMap::new();
    let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
    meter.doing("Looking at sizes, links and headers");
    for (name, wanted) in &expected.files {
        match quick(&snapshot, name, wanted) {
            Ok(size) => {
                sizes.insert(name, size);
            }
            Err(fault) => {
                faults.insert(name, fault);
            }
        }
    }
    if request.deep {
        let jobs: Vec<Job> = expected
            .files
            .iter()
            .filter_map(|(name, wanted)| {
                let etag = wanted.etag.clone()?;
                let (path, size) = match (sizes.get(name.as_str()), wanted.size) {
                    (Some(size), _) => (snapshot.join(name), *size),
                    // Without its link the blob may be there, and a mended link would lead to it.
                    (None, Some(size)) => {
                        let blob = cache.blob(&request.repo, &etag);
                        let whole = std::fs::metadata(&blob).is_ok_and(|m| m.len() == size);
                        let lost = faults.get(name.as_str()).map(|f| f.kind);
                        let only_its_link =
                            matches!(lost, Some(FaultKind::Missing | FaultKind::Link));
                        (whole && only_its_link).then_some((blob, size))?
                    }
                    (None, None) => return None,
                };
                if request.only_copied && !is_told(&path) {
                    return None;
                }
                Some(Job {
                    name: name.clone(),
                    path,
                    etag,
                    size,
                })
            })
            .collect();
        let wrong = deep::hash(jobs, Arc::clone(meter), context.cancel.clone()).await?;
        for (name, (kind, sentence)) in wrong {
            if let Some((known, _)) = expected.files.get_key_value(&name) {
                sizes.remove(known.as_str());
                faults.insert(known, fault(&name, kind, sentence));
            }
        }
    }
    at_source(&snapshot, &expected.files, &mut faults, meter, context).await?;
    let mut faults: Vec<CheckFault> = faults.into_values().collect();
    let wrong: BTreeSet<String> = faults.iter().map(|f| f.name.clone()).collect();
    faults.extend(of_index(&snapshot, &expected.files, &wrong));
    faults.extend(of_references(cache, request, &expected.commit));
    faults.extend(of_overlay(cache, request, &expected.commit, context).await?);
    let bytes = sizes.values().sum();
    let sound: Vec<String> = sizes.into_keys().map(str::to_owned).collect();
    let copied = sound.iter().filter(|name| is_told(&snapshot.join(name)));
    let copied = copied.count() as u32;
    expected.unchecked.extend(told(copied));
    Ok(CheckFindings {
        bytes,
        copied,
        faults,
        expected,
    })
}

/// Tells a header that does not fit because the file is damaged here from one that was uploaded so: only the
/// hash of all of it does, so the few files that this is about are read.
async fn at_source(
    snapshot: &Path,
    files: &BTreeMap<String, ExpectedFile>,
    faults: &mut BTreeMap<&str, CheckFault>,
    meter: &Arc<Meter>,
    context: &Context,
) -> Result<(), Stop> {
    let doubtful = faults.values().filter(|f| f.kind == FaultKind::Header);
    let jobs = doubtful.filter_map(|fault| {
        let wanted = files.get(&fault.name)?;
        let (size, etag) = (wanted.size?, wanted.etag.clone()?);
        Hasher::of_etag(&etag, size)?;
        Some(Job {
            path: snapshot.join(&fault.name),
            name: fault.name.clone(),
            etag,
            size,
        })
    });
    let jobs: Vec<Job> = jobs.collect();
    if jobs.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = jobs.iter().map(|job| job.name.clone()).collect();
    let damaged = deep::hash(jobs, Arc::clone(meter), context.cancel.clone()).await?;
    for fault in faults.values_mut() {
        if names.contains(&fault.name) && !damaged.contains_key(&fault.name) {
            fault.kind = FaultKind::Source;
            fault.fault = format!(
                "It is so on the Hub itself, whose size and hash it has. {} Another revision may have it whole.",
                fault.fault
            );
        }
    }
    Ok(())
}

/// Whether a file was copied and its hash was not taken here.
fn is_told(path: &Path) -> bool {
    let file = std::fs::File::open(path);
    file.is_ok_and(|file| verified::read_told(&file).is_some())
}

/// The same of so many files, as a sentence.
fn told(count: u32) -> Option<String> {
    (count > 0).then(|| {
        format!("The content of {count} large files that were copied from the other machine: it told their hashes. A deep check takes them here.")
    })
}

fn fault(name: &str, kind: FaultKind, sentence: impl Into<String>) -> CheckFault {
    CheckFault {
        name: name.to_owned(),
        kind,
        fault: sentence.into(),
        cure: None,
    }
}

/// Looks at one file without reading more of it than its header. Gives its size.
fn quick(snapshot: &Path, name: &str, wanted: &ExpectedFile) -> Result<u64, CheckFault> {
    let path = snapshot.join(name);
    let wrong = |kind, sentence: String| Err(fault(name, kind, sentence));
    let Ok(entry) = std::fs::symlink_metadata(&path) else {
        return wrong(FaultKind::Missing, "It is not there.".into());
    };
    if let (true, Some(etag)) = (entry.is_symlink(), &wanted.etag) {
        let target = std::fs::read_link(&path).unwrap_or_default();
        if target.file_name() != link_target(name, etag).file_name() {
            return wrong(
                FaultKind::Link,
                format!(
                    "Its link leads to {}, which is another file.",
                    target.display()
                ),
            );
        }
    }
    let meta = match std::fs::metadata(&path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return wrong(
                FaultKind::Missing,
                "Its link leads to nothing: the blob is gone.".into(),
            );
        }
        Err(e) => return Err(closed(name, &path, &e)),
    };
    if let Some(size) = wanted.size
        && meta.len() != size
    {
        return wrong(
            FaultKind::Size,
            format!("It has {} bytes and should have {size}.", meta.len()),
        );
    }
    if let Err(e) = std::fs::File::open(&path) {
        return Err(closed(name, &path, &e));
    }
    if name.ends_with(".safetensors")
        && let Err(problem) = local_header(&path, name)
    {
        return wrong(FaultKind::Header, problem.cause.unwrap_or(problem.message));
    }
    Ok(meta.len())
}

/// A file that cannot be opened, with who has it and the command that gives it back.
fn closed(name: &str, path: &Path, error: &io::Error) -> CheckFault {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let owner = foreign_owner(&real);
    CheckFault {
        cure: owner.as_ref().map(|_| own(&real.to_string_lossy())),
        ..fault(
            name,
            FaultKind::Closed,
            match owner {
                Some(owner) => format!("It belongs to `{owner}` and cannot be read."),
                None => format!("It cannot be read: {error}."),
            },
        )
    }
}

/// The user a file belongs to, where that is another and we are not root.
pub(crate) fn foreign_owner(path: &Path) -> Option<String> {
    let me = rustix::process::geteuid().as_raw();
    let owner = std::fs::symlink_metadata(path).ok()?.uid();
    (me != 0 && owner != me).then(|| user_name(owner))
}

/// A user's name as the machine knows it.
fn user_name(id: u32) -> String {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = text
        .lines()
        .find(|l| l.split(':').nth(2).is_some_and(|n| n.parse() == Ok(id)));
    line.and_then(|l| l.split(':').next())
        .map_or_else(|| format!("user {id}"), str::to_owned)
}

/// Whether every file that the index names is there and holds what the index says.
fn of_index(
    snapshot: &Path,
    files: &BTreeMap<String, ExpectedFile>,
    wrong: &BTreeSet<String>,
) -> Vec<CheckFault> {
    let Ok(text) = std::fs::read(snapshot.join(index::FILE)) else {
        return Vec::new();
    };
    // Without it in the selection, the files that it names are not expected either.
    if wrong.contains(index::FILE) || !files.contains_key(index::FILE) {
        return Vec::new(); // where it is wrong that was said already, and what it says means nothing
    }
    let index = match index::parse(&text) {
        Ok(index) => index,
        Err(e) => return vec![fault(index::FILE, FaultKind::Index, format!("{e}."))],
    };
    let mut of_file: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, file) in &index.weight_map {
        of_file.entry(file).or_default().push(tensor);
    }
    let mut faults = Vec::new();
    for (file, tensors) in of_file {
        if wrong.contains(file) {
            continue;
        }
        if !files.contains_key(file) && !snapshot.join(file).exists() {
            let sentence = "The index names it, but it is not there.";
            faults.push(fault(file, FaultKind::Index, sentence));
            continue;
        }
        let header = match local_header(&snapshot.join(file), file) {
            Ok(header) => header,
            Err(problem) => {
                let why = problem.cause.unwrap_or(problem.message);
                faults.push(fault(file, FaultKind::Header, why));
                continue;
            }
        };
        let names: BTreeSet<&str> = header.tensors.iter().map(|t| t.name.as_str()).collect();
        if let Some(missing) = tensors.iter().find(|t| !names.contains(**t)) {
            let sentence = format!("The index says that {missing} is in it, but it is not.");
            faults.push(fault(file, FaultKind::Index, sentence));
        }
    }
    faults
}

/// References of the repository that lead to a revision which is not there, or say nonsense. Only those
/// that this check is about: of a branch it was asked for by name, and of any while this is the only
/// revision there is.
fn of_references(cache: &Cache, request: &CheckRequest, commit: &str) -> Vec<CheckFault> {
    let snapshots = cache.repo(&request.repo).join("snapshots");
    let only = std::fs::read_dir(&snapshots).is_ok_and(|list| {
        list.flatten()
            .all(|entry| entry.file_name().to_string_lossy() == commit)
    });
    references(&cache.repo(&request.repo))
        .into_iter()
        .filter(|(name, _)| only || *name == request.commit)
        .filter(|(_, to)| to.is_empty() || to.contains('/') || !snapshots.join(to).is_dir())
        .map(|(name, to)| {
            let sentence = if to.is_empty() {
                "The branch's reference is empty.".to_owned()
            } else {
                format!("The branch's reference leads to {to}, which is not here.")
            };
            fault(&format!("refs/{name}"), FaultKind::Reference, sentence)
        })
        .collect()
}

/// The references of a repository: name and what they say.
pub(crate) fn references(repo: &Path) -> Vec<(String, String)> {
    let root = repo.join("refs");
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => {
                    let name = path.strip_prefix(&root).unwrap_or(&path);
                    let text = std::fs::read_to_string(&path).unwrap_or_default();
                    found.push((name.to_string_lossy().into_owned(), text.trim().to_owned()));
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// What is wrong with the checkpoints that were made beside the revision, where there are any.
async fn of_overlay(
    cache: &Cache,
    request: &CheckRequest,
    commit: &str,
    context: &Context,
) -> Result<Vec<CheckFault>, Stop> {
    let deep = request.deep;
    let made = [
        cache.overlay(&request.repo, commit),
        cache.draft(&request.repo, commit),
    ];
    let look = move || {
        let manifests = made
            .iter()
            .filter_map(|folder| Some((folder, Manifest::read(folder)?)));
        manifests
            .flat_map(|(folder, manifest)| manifest.faults(folder, deep))
            .collect::<Vec<_>>()
    };
    let found = tokio::task::spawn_blocking(look).await.map_err(|e| {
        Problem::new(Code::Broken, "The grafted checkpoint was not checked.").cause(e.to_string())
    })?;
    if context.cancel.is_cancelled() {
        return Err(Stop::Cancelled);
    }
    let faults = found.into_iter().map(|(name, sentence)| {
        fault(
            &format!("{name} (grafted)"),
            FaultKind::Overlay,
            format!("{sentence} Delete the checkpoint with MTP; the set-up makes it again."),
        )
    });
    Ok(faults.collect())
}
