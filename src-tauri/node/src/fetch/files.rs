//! Files on their way from the Hub: what of them is missing, and each checked and put in its place as soon
//! as it is whole.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_domain::node::FetchRequest;
use tandem_domain::node::xet::{self, Offer, Road};
use tandem_domain::problem::Problem;
use tokio_util::sync::CancellationToken;

use super::{ListedRepo, begin, sync_folder};
use crate::cache::Cache;
use crate::context::Context;
use crate::created_paths::CreatedPath;
use crate::digest::Hasher;
use crate::disk;
use crate::hub::{Hub, Remote, Source};
use crate::shared;
use crate::stop::Stop;
use crate::transfer::{
    self, Manner, Meter, Piece, StreamingHash, Target, Throttle, Transfer, Verdict, Xet,
};
use crate::verified::{self, VerifiedMark};

/// Files of a revision on their way over the line.
pub(crate) struct FileFetch<'a> {
    /// What asked for them.
    pub(crate) request: &'a FetchRequest,
    pub(crate) hub: Arc<Hub>,
    pub(crate) meter: &'a Arc<Meter>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) cancel: CancellationToken,
    /// What is said meanwhile.
    pub(crate) doing: &'static str,
}

impl FileFetch<'_> {
    /// Fetches what a plan wants, each file checked and in its place as soon as it is whole.
    pub(crate) async fn bring(self, plan: FetchPlan, context: &Context) -> Result<(), Stop> {
        let wanted = plan.wanted;
        let roads = roads(&wanted, self.request);
        if let Some(words) = xet::words(&roads) {
            context.lines.note(words);
        }
        let pieces = pieces(&wanted, &roads);
        let targets: Vec<Arc<Target>> = wanted.iter().map(|w| Arc::clone(&w.target)).collect();
        let mut tries = vec![0_u8; wanted.len()];
        let hashes_under_way = wanted.iter().map(|w| w.streaming_hash.clone()).collect();
        let (meter, cancel) = (self.meter, self.cancel.clone());
        meter.doing(self.doing);
        transfer::run(
            Transfer {
                hub: self.hub,
                pieces,
                targets,
                connections: self.request.connections,
                meter: Arc::clone(meter),
                fetched: Arc::clone(&context.fetched),
                patience: context.settings.transfer_patience,
                manner: Manner {
                    throttle: self.throttle,
                    hashes_under_way,
                    busy_patience: context.settings.busy_patience,
                    xet: Some(Xet::new(Arc::clone(&context.lines))),
                },
                cancel: self.cancel,
            },
            async |index| {
                let one = &wanted[index];
                meter.doing(format!("Checking {}", one.source.name));
                let verdict = finish(one, &mut tries[index], &cancel, context).await;
                meter.doing(self.doing);
                verdict
            },
        )
        .await
    }
}

/// A blob that is not in the cache yet.
struct MissingFile {
    /// One of the files that it is.
    source: Arc<Source>,
    /// Whether the Hub offers it as chunks too.
    offered: bool,
    blob: PathBuf,
    notes: PathBuf,
    target: Arc<Target>,
    /// Its hash; none where the etag is of an unknown kind.
    streaming_hash: Option<Arc<StreamingHash>>,
}

/// What of some files is to be fetched.
pub(crate) struct FetchPlan {
    wanted: Vec<MissingFile>,
    /// Bytes that are not here yet.
    pub(crate) missing: u64,
}

impl FetchPlan {
    /// How many files that is.
    pub(crate) fn files(&self) -> usize {
        self.wanted.len()
    }

    /// Looks what is here of these files, and opens or begins the rest.
    pub(crate) fn look(
        cache: &Cache,
        repos: &[ListedRepo],
        context: &Context,
    ) -> Result<Self, Problem> {
        let mut plan = Self {
            wanted: Vec::new(),
            missing: 0,
        };
        let mut seen = BTreeSet::new();
        let files = repos
            .iter()
            .flat_map(|one| one.files.iter().map(move |(name, f)| (one, name, f)));
        for (one, name, remote) in files {
            let repo = &one.repo;
            let blob = cache.blob(repo, &remote.etag);
            if !seen.insert(blob.clone()) {
                continue;
            }
            if cache.holds(repo, &remote.etag, remote.size.bytes()) {
                continue;
            }
            if adopted(cache, repo, &blob, remote, context)? {
                continue;
            }
            let (target, notes) = begin(cache, &blob, remote.size.bytes(), context)?;
            plan.missing += remote.size.bytes() - target.within(0, remote.size.bytes());
            plan.wanted.push(MissingFile {
                source: Source::new(repo, &one.commit, name, remote.clone()),
                offered: remote.is_in_chunks(),
                blob,
                notes,
                target: Arc::new(target),
                streaming_hash: Hasher::of_etag(&remote.etag, remote.size.bytes())
                    .map(|hasher| StreamingHash::new(hasher.with_tree(), remote.size.bytes())),
            });
        }
        // Small files first: what can be refused is refused before hours of shards.
        plan.wanted.sort_by_key(|w| w.source.size > (64 << 20));
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
    let Some(shared) = shared::find(cache, xet, remote.size.bytes()) else {
        return Ok(false);
    };
    let failed = |e: io::Error| disk::problem("linking a file of the shared store", blob, &e);
    context
        .made
        .note(CreatedPath::Blob(cache.relative(blob)))
        .map_err(failed)?;
    shared.link(cache, repo, &remote.etag).map_err(failed)
}

/// The road of each blob, in their order.
fn roads(wanted: &[MissingFile], request: &FetchRequest) -> Vec<Road> {
    let disabled = std::env::var("HF_HUB_DISABLE_XET").ok();
    let disabled = xet::disables(disabled.as_deref());
    let road = |one: &MissingFile| {
        xet::road(Offer {
            offered: one.offered,
            size: one.source.size,
            ranges_only: request.limits.ranges_only,
            disabled,
        })
    };
    wanted.iter().map(road).collect()
}

fn pieces(wanted: &[MissingFile], roads: &[Road]) -> Vec<Piece> {
    let whole = |(target, (one, road)): (usize, (&MissingFile, &Road))| {
        one.source.come_in_chunks(*road == Road::Chunks);
        Piece {
            source: Arc::clone(&one.source),
            at: 0,
            target,
            to: 0,
            len: one.source.size,
        }
    };
    wanted.iter().zip(roads).enumerate().map(whole).collect()
}

/// Checks a whole blob against its name and puts it in its place.
async fn finish(
    one: &MissingFile,
    tries: &mut u8,
    cancel: &CancellationToken,
    context: &Context,
) -> Result<Verdict, Stop> {
    let found = match &one.streaming_hash {
        Some(streaming_hash) => tokio::select! {
            () = cancel.cancelled() => return Err(Stop::Cancelled),
            found = streaming_hash.end() => Some(
                found.map_err(|e| disk::problem("reading back what arrived", &one.target.path, &e))?
            ),
        },
        None => None,
    };
    if let Some(found) = found.as_ref().filter(|f| f.hex != one.source.etag) {
        *tries += 1;
        if *tries < 2 {
            context.lines.note(format!(
                "{} arrived with another hash than the Hub announced; it is fetched once more.",
                one.source.name
            ));
            return Ok(Verdict::Again);
        }
        // Bytes that are known to be wrong are not kept for a resume.
        one.target
            .forget()
            .map_err(|e| disk::problem("starting a file again", &one.target.path, &e))?;
        let (name, repo, etag) = (&one.source.name, &one.source.repo, &one.source.etag);
        return Err(transfer::wrong_bytes(name, repo, etag, &found.hex).into());
    }
    let place = || -> io::Result<()> {
        one.target.file().set_len(one.source.size)?;
        if let Some(proof) = found.as_ref().and_then(VerifiedMark::of) {
            verified::note(one.target.file(), &proof);
        }
        one.target.file().sync_all()?;
        std::fs::rename(&one.target.path, &one.blob)?;
        std::fs::remove_file(&one.notes)?;
        sync_folder(&one.blob)
    };
    place().map_err(|e| disk::problem("putting a file in its place", &one.blob, &e))?;
    Ok(Verdict::Good)
}
