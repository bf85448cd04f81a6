//! Compares what is on the disk with what the Hub lists, and a grafted checkpoint with its manifest.
//! The Hub has to answer: a set-up does not take the cache's own word.

use tandem_domain::node::disk::CheckRequest;
use tandem_domain::node::{FileFault, VerifyReceipt, VerifyRequest};
use tandem_domain::secret::Secret;

use crate::cache::Cache;
use crate::check::examine;
use crate::context::Context;
use crate::graft::Manifest;
use crate::stop::Stop;

/// Carries a verification out.
pub async fn verify(
    request: &VerifyRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<VerifyReceipt, Stop> {
    let cache = Cache::find(request.hf_home.as_deref())?;
    let hub = context.hub(&request.endpoint, token)?;
    // Asked before anything is hashed, so that a Hub which is away is told at once.
    let commit = hub.revision(&request.repo, &request.commit).await?.commit;
    let check = CheckRequest {
        endpoint: request.endpoint.clone(),
        repo: request.repo.clone(),
        commit: commit.clone(),
        files: Some(request.files.clone()),
        hf_home: request.hf_home.clone(),
        deep: request.deep,
        repair: false,
    };
    let found = examine(&cache, &check, &hub, context).await?;
    if let Some(problem) = found.expected.offline {
        return Err(problem.into());
    }
    let snapshot = cache.snapshot(&request.repo, &commit);
    let mut receipt = VerifyReceipt {
        commit: commit.clone(),
        snapshot: snapshot.to_string_lossy().into_owned(),
        files: found.expected.files.len() as u32,
        bytes: found.bytes,
        faults: found
            .faults
            .into_iter()
            .map(|f| FileFault {
                name: f.name,
                fault: f.fault,
            })
            .collect(),
    };
    let made = [
        cache.overlay(&request.repo, &commit),
        cache.draft(&request.repo, &commit),
    ];
    for manifest in made.iter().filter_map(|folder| Manifest::read(folder)) {
        receipt.files += manifest.written.len() as u32;
        receipt.bytes += manifest.written.iter().map(|w| w.size).sum::<u64>();
    }
    Ok(receipt)
}
