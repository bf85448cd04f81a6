//! Blobs from another machine of ours over the private link, while they still arrive there from the Hub.
//!
//! One end serves what lies in its place with a checked sha256 ([`serve`]); the other copies it over
//! several streams on every rail (`receive`) and holds each blob against the BLAKE3 that the first took
//! in the same pass as that sha256 ([`tree`], [`crate::verified`]). That finds what the way spoils; whether the
//! first machine told the truth, the second sees for itself: it takes the sha256 of all smaller files, which
//! hold all code, and marks the large ones as told until a deep check takes theirs. What the other machine
//! turns out not to have comes from the Hub, by the very code that fetches. Two machines may also copy from each other, each
//! fetching its share meanwhile (`halves`).
//!
//! A container image goes the same way as one file that is its own repository (`file`).

pub(crate) mod file;
mod inventory;
mod receive;
mod schedule;
pub mod serve;
mod shares;
pub mod tree;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tandem_domain::node::{CopyRequest, CopyTicket, FetchReceipt};
use tandem_domain::problem::{Code, Problem, bytes};
use tandem_domain::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::cache::Cache;
use crate::context::Context;
use crate::disk;
use crate::fetch::{ListedBlob, begin};
use crate::stop::Stop;
use crate::transfer::{Meter, Reporter, Target};

/// Carries a copy out.
pub async fn copy(
    request: &CopyRequest,
    secret: Option<Secret>,
    context: &Context,
) -> Result<FetchReceipt, Stop> {
    let ticket = ticket(secret.as_ref())?;
    let hub_token = ticket.hub_token.clone().map(Secret::new);
    request.fetch.limits.check()?;
    let cache = Cache::find(request.fetch.hf_home.as_deref())?;
    {
        let meter = Meter::new("Asking the Hub what the revision holds");
        let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
        let listed = crate::fetch::listed(&request.fetch, hub_token.clone(), context).await?;
        let _held = crate::fetch::prepare(&cache, &listed.repos, context)?;
        let job = CopyJob {
            request,
            ticket: &ticket,
            cache: &cache,
        };
        match &request.share {
            None => job.bring(listed.blobs(), &meter, context).await?,
            Some(share) => job.exchange(share, listed, &meter, context).await?,
        }
    }
    // Links, references, and whatever the other machine did not have.
    crate::fetch::fetch(&request.fetch, hub_token, context).await
}

/// What a copy was told of the other end.
pub(crate) fn ticket(secret: Option<&Secret>) -> Result<CopyTicket, Problem> {
    secret.and_then(CopyTicket::open).ok_or_else(|| {
        Problem::new(Code::BadInput, "The copy cannot begin.")
            .cause("It was not told where the other machine serves.")
    })
}

/// How a copy comes here.
#[derive(Clone, Copy)]
struct CopyJob<'a> {
    request: &'a CopyRequest,
    ticket: &'a CopyTicket,
    cache: &'a Cache,
}

impl CopyJob<'_> {
    /// Copies every blob that is missing here and can be had there.
    async fn bring(
        self,
        blobs: BTreeMap<String, ListedBlob>,
        meter: &Arc<Meter>,
        context: &Context,
    ) -> Result<(), Stop> {
        let total = blobs.values().map(|b| b.size).sum::<u64>();
        let wanted = wanted(self.cache, &blobs, context)?;
        let missing = missing(&wanted);
        disk::ask_for(missing, &self.place())?;
        meter.set(total.saturating_sub(missing), total);
        context.waits(true);
        self.carry(wanted, meter, &context.cancel, context).await
    }

    /// Where it all goes, for the room on the disk.
    fn place(&self) -> PathBuf {
        self.cache.repo(&self.request.fetch.repositories.first.repo)
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            from: &self.request.from,
            streams: self.request.streams,
            ticket: self.ticket,
        }
    }

    /// Copies these blobs, as far as they can be had there.
    async fn carry(
        self,
        wanted: Vec<MissingBlob>,
        meter: &Arc<Meter>,
        cancel: &CancellationToken,
        context: &Context,
    ) -> Result<(), Stop> {
        let (from, asked) = (&self.request.from, wanted.len());
        if asked == 0 {
            return Ok(());
        }
        context.lines.note(format!(
            "{} in {asked} files are to be copied from {from} over the private link.",
            bytes(missing(&wanted)),
        ));
        let left = carry(wanted, &self.origin(), meter, cancel, context)
            .await?
            .left;
        if !left.is_empty() {
            context.lines.note(format!(
                "{from} does not have {} of the {asked} files, so they come from the Hub.",
                left.len(),
            ));
        }
        Ok(())
    }
}

/// Where something is copied from.
pub(crate) struct Origin<'a> {
    /// The other machine, for the words.
    pub(crate) from: &'a str,
    /// Streams on each rail.
    pub(crate) streams: u16,
    /// Where it serves, and the key.
    pub(crate) ticket: &'a CopyTicket,
}

impl Origin<'_> {
    fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.ticket.addresses.iter();
        addresses.filter_map(|a| a.parse().ok()).collect()
    }
}

/// How a copy went.
struct Carried {
    /// Bytes that came.
    copied: u64,
    /// Blobs that are not to be had from there.
    left: Vec<String>,
}

/// Copies what is wanted, as far as it can be had there.
async fn carry(
    wanted: Vec<MissingBlob>,
    origin: &Origin<'_>,
    meter: &Arc<Meter>,
    cancel: &CancellationToken,
    context: &Context,
) -> Result<Carried, Stop> {
    let schedule = Arc::new(schedule::CopySchedule::new(
        wanted,
        origin.from.to_owned(),
        Arc::clone(meter),
        cancel.clone(),
    ));
    let peer = receive::Peer {
        addresses: origin.addresses(),
        token: Secret::new(origin.ticket.token.clone()),
        streams: usize::from(origin.streams.clamp(1, 16)),
    };
    let began = std::time::Instant::now();
    let carrying = Arc::clone(&schedule);
    tokio::task::spawn_blocking(move || receive::carry(&carrying, &peer))
        .await
        .map_err(|e| Problem::new(Code::Broken, "The copy failed.").cause(e.to_string()))??;
    let seconds = began.elapsed().as_secs_f64().max(1e-3);
    let copied = schedule.copied();
    context.lines.note(format!(
        "{} came over the private link in {seconds:.1} s, {}/s.",
        bytes(copied),
        bytes((copied as f64 / seconds) as u64)
    ));
    Ok(Carried {
        copied,
        left: schedule.left(),
    })
}

/// A blob that is not here yet.
struct MissingBlob {
    etag: String,
    size: u64,
    blob: PathBuf,
    notes: PathBuf,
    target: Target,
    /// Whether the Hub named it by its hash; else its name is its tree.
    named_by_hub: bool,
}

/// Bytes of them that are not here yet.
fn missing(wanted: &[MissingBlob]) -> u64 {
    let open = wanted.iter();
    open.map(|w| w.size - w.target.within(0, w.size)).sum()
}

fn wanted(
    cache: &Cache,
    blobs: &BTreeMap<String, ListedBlob>,
    context: &Context,
) -> Result<Vec<MissingBlob>, Problem> {
    let mut wanted = Vec::new();
    for (etag, ListedBlob { repo, size }) in blobs {
        let (blob, size) = (cache.blob(repo, etag), *size);
        if cache.holds(repo, etag, size) {
            continue;
        }
        let (target, notes) = begin(cache, &blob, size, context)?;
        wanted.push(MissingBlob {
            etag: etag.clone(),
            size,
            blob,
            notes,
            target: target.past_the_cache(),
            named_by_hub: true,
        });
    }
    Ok(wanted)
}
