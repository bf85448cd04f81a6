//! Checks a revision in the cache: quickly by sizes, links, headers and the index, or deeply by every
//! file's hash; and has what is wrong put right.
//!
//! What should be there is the Hub's listing. Where the Hub does not answer, the cache itself tells
//! almost as much: a blob is called by its hash, and a safetensors header says how long its file is.

mod deep;
mod expect;
mod look;
mod repair;
mod time;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tandem_domain::node::disk::{CheckReceipt, CheckRequest, FaultKind};
use tandem_domain::secret::Secret;

use crate::cache::Cache;
use crate::context::Context;
use crate::graft::Manifest;
use crate::hub::Hub;
use crate::stop::Stop;
use crate::transfer::Meter;

pub use deep::{Job, readers};
pub(crate) use expect::entries;
pub use expect::{Expected, ExpectedFile, here};
pub use look::{CheckFindings, examine};
pub(crate) use look::{foreign_owner, references};
pub use time::check_time;

/// How long a check asks a Hub that does not answer before it goes on without.
const PATIENCE: Duration = Duration::from_secs(5);

/// Carries a check out, and a repair where it was asked for.
pub async fn check(
    request: &CheckRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<CheckReceipt, Stop> {
    let began = Instant::now();
    let cache = Cache::find(request.hf_home.as_deref())?;
    let patience = context.settings.patience;
    let hub = Hub::new(
        &request.endpoint,
        token.clone(),
        if request.repair || request.online {
            patience
        } else {
            patience.min(PATIENCE)
        },
        context.cancel.clone(),
    )?;
    let found = examine(&cache, request, &hub, context).await?;
    if !request.repair || found.faults.is_empty() {
        return Ok(receipt(&cache, request, found, began));
    }
    let before = context.fetched.total();
    let wrong: BTreeSet<String> = found.faults.iter().map(|f| f.name.clone()).collect();
    repair::repair(&cache, request, token, &hub, &found, context).await?;
    // What was fetched was hashed on its way; what is left to see is whether all is in its place.
    let meter = Meter::new("Looking at what was repaired");
    let quick = CheckRequest {
        deep: false,
        ..request.clone()
    };
    let mut after = look::look(&cache, &quick, found.expected, &meter, context).await?;
    // A wrong file that was not fetched again is still wrong, however it looks from outside.
    let said: BTreeSet<String> = after.faults.iter().map(|f| f.name.clone()).collect();
    let still = found
        .faults
        .into_iter()
        .filter(|f| f.kind == FaultKind::Overlay && !said.contains(&f.name));
    after.faults.extend(still);
    let left: BTreeSet<&str> = after.faults.iter().map(|f| f.name.as_str()).collect();
    let repaired = wrong
        .into_iter()
        .filter(|name| !left.contains(name.as_str()))
        .collect();
    Ok(CheckReceipt {
        repaired,
        fetched: context.fetched.total() - before,
        ..receipt(&cache, request, after, began)
    })
}

fn receipt(
    cache: &Cache,
    request: &CheckRequest,
    found: CheckFindings,
    began: Instant,
) -> CheckReceipt {
    let commit = found.expected.commit;
    let made = [
        cache.overlay(&request.repo, &commit),
        cache.draft(&request.repo, &commit),
    ];
    let made: Vec<Manifest> = made.iter().filter_map(|f| Manifest::read(f)).collect();
    let written = || made.iter().flat_map(|manifest| &manifest.written);
    CheckReceipt {
        snapshot: cache
            .snapshot(&request.repo, &commit)
            .to_string_lossy()
            .into_owned(),
        files: (found.expected.files.len() + written().count()) as u32,
        bytes: written().fold(found.bytes, |sum, w| sum.saturating_add(w.size)),
        commit,
        deep: request.deep,
        copied: found.copied,
        faults: found.faults,
        unchecked: found.expected.unchecked,
        repaired: Vec::new(),
        fetched: 0,
        seconds: began.elapsed().as_secs_f64(),
    }
}
