//! Blobs from another machine of ours over the private link, while they still arrive there from the Hub.
//!
//! One end serves what lies in its place with a checked sha256 ([`serve`]); the other copies it over
//! several streams on every rail ([`receive`]) and holds each blob against the BLAKE3 that the first took
//! in the same pass as that sha256 ([`tree`], [`crate::proven`]). What the other machine turns out not to
//! have comes from the Hub, by the very code that fetches.
//!
//! A container image goes the same way as one file that is its own repository ([`file`]).

pub(crate) mod file;
mod flow;
mod receive;
pub mod serve;
mod shelf;
pub mod tree;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tandem_domain::node::{CopyRequest, CopyTicket, FetchReceipt};
use tandem_domain::problem::{Code, Problem, bytes};
use tandem_domain::secret::Secret;

use crate::cache::{Cache, check_repo};
use crate::disk;
use crate::fetch::begin;
use crate::transfer::{Meter, Reporter, Target};
use crate::work::{Context, Stop};

/// Carries a copy out.
pub async fn copy(
    request: &CopyRequest,
    secret: Option<Secret>,
    context: &Context,
) -> Result<FetchReceipt, Stop> {
    let ticket = secret.as_ref().and_then(CopyTicket::open).ok_or_else(|| {
        Problem::new(Code::BadInput, "The copy cannot begin.")
            .cause("It was not told where the other machine serves.")
    })?;
    let hub_token = ticket.hub_token.clone().map(Secret::new);
    check_repo(&request.fetch.repo)?;
    let cache = Cache::find(request.fetch.hf_home.as_deref())?;
    {
        let meter = Meter::new("Asking the Hub what the revision holds");
        let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
        let blobs = crate::fetch::blobs(&request.fetch, hub_token.clone(), context).await?;
        let _held = crate::fetch::prepare(&cache, &request.fetch.repo, context)?;
        bring(request, &ticket, &cache, blobs, &meter, context).await?;
    }
    // Links, references, and whatever the other machine did not have.
    crate::fetch::fetch(&request.fetch, hub_token, context).await
}

/// Copies every blob that is missing here and can be had there.
async fn bring(
    request: &CopyRequest,
    ticket: &CopyTicket,
    cache: &Cache,
    blobs: BTreeMap<String, u64>,
    meter: &Arc<Meter>,
    context: &Context,
) -> Result<(), Stop> {
    let total: u64 = blobs.values().sum();
    let wanted = wanted(cache, &request.fetch.repo, &blobs, context)?;
    let missing: u64 = wanted
        .iter()
        .map(|w| w.size - w.target.within(0, w.size))
        .sum();
    disk::ask_for(missing, &cache.repo(&request.fetch.repo))?;
    meter.set(total.saturating_sub(missing), total);
    if wanted.is_empty() {
        return Ok(());
    }
    context.lines.note(format!(
        "{} of {} are to be copied from {} over the private link.",
        bytes(missing),
        bytes(total),
        request.from
    ));
    let left = carry(
        wanted,
        ticket,
        &request.from,
        request.streams,
        meter,
        context,
    )
    .await?
    .left;
    if !left.is_empty() {
        context.lines.note(format!(
            "{} does not have {} of the {} files, so they come from the Hub.",
            request.from,
            left.len(),
            blobs.len()
        ));
    }
    Ok(())
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
    wanted: Vec<Wanted>,
    ticket: &CopyTicket,
    from: &str,
    streams: u16,
    meter: &Arc<Meter>,
    context: &Context,
) -> Result<Carried, Stop> {
    let addresses: Vec<SocketAddr> = ticket
        .addresses
        .iter()
        .filter_map(|a| a.parse().ok())
        .collect();
    let flow = Arc::new(flow::Flow::new(
        wanted,
        from.to_owned(),
        Arc::clone(meter),
        context.cancel.clone(),
    ));
    let road = receive::Road {
        addresses,
        token: Secret::new(ticket.token.clone()),
        streams: usize::from(streams.clamp(1, 16)),
    };
    let began = std::time::Instant::now();
    let carrying = Arc::clone(&flow);
    tokio::task::spawn_blocking(move || receive::carry(&carrying, &road))
        .await
        .map_err(|e| Problem::new(Code::Broken, "The copy ended badly.").cause(e.to_string()))??;
    let seconds = began.elapsed().as_secs_f64().max(1e-3);
    let copied = flow.copied();
    context.lines.note(format!(
        "{} came over the private link in {seconds:.1} s, {}/s.",
        bytes(copied),
        bytes((copied as f64 / seconds) as u64)
    ));
    Ok(Carried {
        copied,
        left: flow.left(),
    })
}

/// A blob that is not here yet.
struct Wanted {
    etag: String,
    size: u64,
    blob: PathBuf,
    notes: PathBuf,
    target: Target,
}

fn wanted(
    cache: &Cache,
    repo: &str,
    blobs: &BTreeMap<String, u64>,
    context: &Context,
) -> Result<Vec<Wanted>, Problem> {
    let mut wanted = Vec::new();
    for (etag, size) in blobs {
        let blob = cache.blob(repo, etag);
        if cache.holds(repo, etag, *size) {
            continue;
        }
        let (target, notes) = begin(cache, &blob, *size, context)?;
        wanted.push(Wanted {
            etag: etag.clone(),
            size: *size,
            blob,
            notes,
            target: target.past_the_cache(),
        });
    }
    Ok(wanted)
}
