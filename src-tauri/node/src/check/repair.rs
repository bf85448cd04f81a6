//! Puts a revision right: what is wrong is set aside and fetched again, and nothing else is touched.
//!
//! Nothing is moved before the Hub has said that it has the same file to give, and the disk the room
//! to take it. What was wrong is gone only when the right one is in its place.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tandem_domain::node::FetchRequest;
use tandem_domain::node::disk::{CheckFault, CheckRequest, FaultKind};
use tandem_domain::problem::{Code, Problem, bytes};
use tandem_domain::secret::Secret;
use tandem_domain::shell::own;

use super::expect::ExpectedFile;
use super::look::{CheckFindings, foreign_owner, references};
use crate::cache::Cache;
use crate::context::Context;
use crate::disk;
use crate::hub::Hub;
use crate::stop::Stop;

/// Ending of what was wrong, until the right one is there.
const ASIDE: &str = "tandem-damaged";
/// Ending of a file of the person's own that stood where the cache's belongs.
const KEPT: &str = "before-repair";

/// Carries a repair out. On cancel and on failure what was fetched stays for the next try.
pub(crate) async fn repair(
    cache: &Cache,
    request: &CheckRequest,
    token: Option<Secret>,
    hub: &Hub,
    found: &CheckFindings,
    context: &Context,
) -> Result<(), Stop> {
    if let Some(problem) = &found.expected.offline {
        let mut problem = problem.clone();
        problem.message = "Nothing was repaired, because the Hub could not be asked.".into();
        return Err(problem.into());
    }
    let is_no_cure = |kind| matches!(kind, FaultKind::Overlay | FaultKind::Source);
    if found.faults.iter().all(|f| is_no_cure(f.kind)) {
        return Ok(());
    }
    refuse_foreign(cache, request, found)?;
    let wrong = Wrong::gather(cache, request, found);
    disk::ask_for(
        wrong.needed.saturating_sub(wrong.gives),
        &cache.repo(&request.repo),
    )?;
    // Held only while something is moved: the fetch holds it for itself.
    let held = cache.hold(&request.repo, |said| context.lines.note(said))?;
    let aside = wrong.set_aside(context)?;
    drop(held);
    let revision = revision(cache, request, hub, found).await;
    let fetch = as_fetch(request, &revision, found);
    crate::fetch::fetch(&fetch, token, context).await?;
    aside.settle(cache, request, &found.expected.commit)?;
    Ok(())
}

/// The fetch that brings what is missing then.
fn as_fetch(request: &CheckRequest, revision: &str, found: &CheckFindings) -> FetchRequest {
    let selected = &found.expected.selected;
    FetchRequest {
        hf_home: request.hf_home.clone(),
        ..FetchRequest::of(
            request.endpoint.clone(),
            selected.of_revision(&request.repo, revision),
        )
    }
}

/// What to fetch by: the branch whose reference is wrong, if it still means this commit; else the commit.
async fn revision(
    cache: &Cache,
    request: &CheckRequest,
    hub: &Hub,
    found: &CheckFindings,
) -> String {
    let commit = &found.expected.commit;
    let faulty = found
        .faults
        .iter()
        .filter(|f| f.kind == FaultKind::Reference)
        .filter_map(|f| f.name.strip_prefix("refs/"));
    for name in faulty {
        if hub
            .revision(&request.repo, name)
            .await
            .is_ok_and(|listing| listing.commit == *commit)
        {
            return name.to_owned();
        }
    }
    // A branch that was asked for by name gets its reference if it has none.
    let known = references(&cache.repo(&request.repo));
    if request.commit != *commit && known.iter().all(|(name, _)| *name != request.commit) {
        return request.commit.clone();
    }
    commit.clone()
}

/// Refuses before anything is touched where files or their folders belong to somebody else.
fn refuse_foreign(
    cache: &Cache,
    request: &CheckRequest,
    found: &CheckFindings,
) -> Result<(), Problem> {
    let repo = cache.repo(&request.repo);
    let folders = [
        repo.clone(),
        repo.join("blobs"),
        cache.snapshot(&request.repo, &found.expected.commit),
    ];
    let folder_of_another = folders.iter().filter(|f| f.exists()).find_map(|folder| {
        let closed = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err();
        let owner = foreign_owner(folder)?;
        closed.then_some((folder.clone(), owner))
    });
    let file_of_another = || {
        let fault = found.faults.iter().find(|f| f.cure.is_some())?;
        let path = cache
            .snapshot(&request.repo, &found.expected.commit)
            .join(&fault.name);
        let real = std::fs::canonicalize(path).ok()?;
        let owner = foreign_owner(&real)?;
        Some((real, owner))
    };
    let Some((path, owner)) = folder_of_another.or_else(file_of_another) else {
        return Ok(());
    };
    Err(Problem::new(Code::MachineUnfit, "Nothing was repaired.")
        .cause(format!(
            "{} belongs to `{owner}`, as files do that a container wrote.",
            path.display()
        ))
        .fix_with(
            "Make the model's folder your own, then repair again.",
            own(&repo.to_string_lossy()),
        ))
}

/// The files that are to make way.
struct Wrong {
    /// Blobs, where they really are.
    blobs: BTreeSet<PathBuf>,
    /// Links in `blobs/` that lead into the store which repositories share.
    links: BTreeSet<PathBuf>,
    /// Files that stand in the snapshot itself, without the cache.
    own: BTreeSet<PathBuf>,
    /// Bytes to be fetched.
    needed: u64,
    /// Bytes that the wrong ones take.
    gives: u64,
    /// Checkpoints beside the revision, whose hard links would go on to hold the wrong bytes.
    overlay: PathBuf,
}

impl Wrong {
    fn gather(cache: &Cache, request: &CheckRequest, found: &CheckFindings) -> Self {
        let snapshot = cache.snapshot(&request.repo, &found.expected.commit);
        let mut wrong = Self {
            blobs: BTreeSet::new(),
            links: BTreeSet::new(),
            own: BTreeSet::new(),
            needed: 0,
            gives: 0,
            overlay: cache.overlay(&request.repo, &found.expected.commit),
        };
        let mut counted = BTreeSet::new();
        for fault in &found.faults {
            let Some(wanted) = found.expected.files.get(&fault.name) else {
                continue; // a reference, or a name that only the index knows
            };
            wrong.one(cache, request, &snapshot, fault, wanted);
            // What only lacks its link is there already.
            let there = wanted.etag.as_ref().is_some_and(|etag| {
                let blob = cache.blob(&request.repo, etag);
                let whole = std::fs::metadata(blob).map(|m| m.len()).ok() == wanted.size;
                whole && matches!(fault.kind, FaultKind::Missing | FaultKind::Link)
            });
            if fault.kind.is_of_content() && !there && counted.insert(wanted.etag.clone()) {
                wrong.needed += wanted.size.unwrap_or(0);
            }
        }
        wrong.gives = wrong
            .blobs
            .iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|m| m.blocks().saturating_mul(512))
            .sum();
        wrong
    }

    fn one(
        &mut self,
        cache: &Cache,
        request: &CheckRequest,
        snapshot: &Path,
        fault: &CheckFault,
        wanted: &ExpectedFile,
    ) {
        let path = snapshot.join(&fault.name);
        if std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_file()) {
            self.own.insert(path);
            return;
        }
        // A link that is gone or leads elsewhere says nothing of the blob it should lead to.
        let of_the_blob = fault.kind.is_of_content() && fault.kind != FaultKind::Missing;
        let (true, Some(etag)) = (of_the_blob, wanted.etag.as_deref()) else {
            return;
        };
        let blob = cache.blob(&request.repo, etag);
        let Ok(meta) = std::fs::symlink_metadata(&blob) else {
            return;
        };
        if !meta.is_symlink() {
            self.blobs.insert(blob);
            return;
        }
        // The store's own file goes too, unless another repository leads there: that one is told by
        // its own check.
        if let Ok(real) = std::fs::canonicalize(&blob)
            && real.starts_with(cache.hub().join("blobs"))
            && !others_lead_to(cache, &blob, &real)
        {
            self.blobs.insert(real);
        }
        self.links.insert(blob);
    }

    fn set_aside(self, context: &Context) -> Result<Aside, Problem> {
        let mut aside = Aside {
            moved: Vec::new(),
            overlay: self.overlay,
        };
        for link in &self.links {
            std::fs::remove_file(link)
                .map_err(|e| disk::problem("taking a wrong link away", link, &e))?;
        }
        for blob in &self.blobs {
            let failed = |e: io::Error| disk::problem("setting a wrong file aside", blob, &e);
            let meta = std::fs::metadata(blob).map_err(failed)?;
            let to = with_ending(blob, ASIDE);
            // Where both do not fit, the wrong one has no claim to the room.
            let fits = disk::space(blob).is_none_or(|(free, _)| free >= self.needed);
            if fits {
                std::fs::rename(blob, &to).map_err(failed)?;
            } else {
                std::fs::remove_file(blob).map_err(failed)?;
            }
            aside.moved.push(Moved {
                to: fits.then_some(to),
                id: (meta.dev(), meta.ino()),
            });
        }
        for path in &self.own {
            let failed = |e: io::Error| disk::problem("setting a wrong file aside", path, &e);
            let to = with_ending(path, KEPT);
            std::fs::rename(path, &to).map_err(failed)?;
            context.lines.note(format!(
                "{} stood in the snapshot as a file of its own; it is kept as {}.",
                path.display(),
                to.file_name().unwrap_or_default().to_string_lossy()
            ));
        }
        if self.needed > 0 {
            context.lines.note(format!(
                "{} are fetched again; nothing that is right is touched.",
                bytes(self.needed)
            ));
        }
        Ok(aside)
    }
}

/// Whether a blob of another repository leads to the same file of the shared store.
fn others_lead_to(cache: &Cache, own: &Path, real: &Path) -> bool {
    let repos = std::fs::read_dir(cache.hub()).into_iter().flatten();
    repos.flatten().any(|repo| {
        let blobs = std::fs::read_dir(repo.path().join("blobs"));
        blobs.into_iter().flatten().flatten().any(|entry| {
            let path = entry.path();
            path != own
                && entry.file_type().is_ok_and(|kind| kind.is_symlink())
                && std::fs::canonicalize(&path).is_ok_and(|to| to == real)
        })
    })
}

/// A blob that made way.
struct Moved {
    /// Where it is now, if anywhere.
    to: Option<PathBuf>,
    id: (u64, u64),
}

/// What was set aside.
struct Aside {
    moved: Vec<Moved>,
    overlay: PathBuf,
}

impl Aside {
    /// The right ones are there: lets the wrong ones go, and gives a checkpoint beside the revision,
    /// which has hard links to them, the right ones too.
    fn settle(self, cache: &Cache, request: &CheckRequest, commit: &str) -> Result<(), Problem> {
        let snapshot = cache.snapshot(&request.repo, commit);
        for entry in std::fs::read_dir(&self.overlay)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let is_of_a_wrong_one = std::fs::symlink_metadata(&path).is_ok_and(|m| {
                m.is_file() && self.moved.iter().any(|one| one.id == (m.dev(), m.ino()))
            });
            if !is_of_a_wrong_one {
                continue;
            }
            let failed = |e: io::Error| disk::problem("mending the checkpoint with MTP", &path, &e);
            let right = std::fs::canonicalize(snapshot.join(entry.file_name())).map_err(failed)?;
            let beside = with_ending(&path, "tandem-new");
            let _ = std::fs::remove_file(&beside);
            std::fs::hard_link(&right, &beside).map_err(failed)?;
            std::fs::rename(&beside, &path).map_err(failed)?;
        }
        for one in &self.moved {
            if let Some(to) = &one.to
                && let Err(e) = std::fs::remove_file(to)
                && e.kind() != io::ErrorKind::NotFound
            {
                return Err(disk::problem("removing a wrong file", to, &e));
            }
        }
        Ok(())
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
