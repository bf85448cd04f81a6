//! Each of two machines fetches its share from the Hub while it copies what the other one fetches.
//!
//! One process does both, so that one job of a machine holds the cache, counts the bytes and is cancelled,
//! resumed and undone as one. When either part cannot go on the job ends: what has arrived is kept, and
//! whoever started it decides how it goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tandem_domain::node::Share;
use tandem_domain::problem::bytes;
use tandem_domain::secret::Secret;

use super::wire::{self, Answer, Ask, SILENCE};
use super::{CopyJob, missing, wanted};
use crate::context::Context;
use crate::disk;
use crate::fetch::{FetchPlan, FileFetch, Listed, ListedBlob};
use crate::stop::Stop;
use crate::transfer::Meter;

impl CopyJob<'_> {
    /// Fetches the share and copies the rest, both at once.
    pub(super) async fn exchange(
        self,
        share: &Share,
        listed: Listed,
        meter: &Arc<Meter>,
        context: &Context,
    ) -> Result<(), Stop> {
        let fetch = &self.request.fetch;
        let blobs = listed.blobs();
        let sizes = blobs.iter().map(|(etag, b)| (etag.clone(), b.size));
        let mut own = share.own(&sizes.collect());
        // What the other machine has already, from an earlier start or by another program, is not fetched
        // a second time only because it is in this machine's share now.
        let absent = |etag: &&String| {
            let blob = &blobs[*etag];
            !self.cache.holds(&blob.repo, etag, blob.size)
        };
        let asked: Vec<String> = own.iter().filter(absent).cloned().collect();
        for etag in self.there(asked).await {
            own.remove(&etag);
        }
        let total = blobs.values().map(|b| b.size).sum::<u64>();
        let theirs: BTreeMap<String, ListedBlob> = blobs
            .into_iter()
            .filter(|(etag, _)| !own.contains(etag))
            .collect();
        let mut mine = listed.repos.clone();
        for one in &mut mine {
            one.files.retain(|_, remote| own.contains(&remote.etag));
        }

        let plan = FetchPlan::look(self.cache, &mine, context)?;
        let wanted = wanted(self.cache, &theirs, context)?;
        let open = plan.missing + missing(&wanted);
        disk::ask_for(open, &self.place())?;
        meter.set(total.saturating_sub(open), total);
        context.lines.note(format!(
            "{} of {} are to be fetched here, this machine's share.",
            bytes(plan.missing),
            bytes(total),
        ));
        let (throttle, _watcher) = crate::fetch::held(fetch, Some(share), meter, context);
        let stop = context.cancel.child_token();
        let line = FileFetch {
            request: fetch,
            hub: Arc::clone(&listed.hub),
            meter,
            throttle,
            cancel: stop.clone(),
            doing: "Fetching its share, copying the rest",
        };
        context.waits(false);
        let fetching = async {
            let fetched = line.bring(plan, context).await;
            if fetched.is_ok() {
                context.waits(true);
                let from = &self.request.from;
                meter.doing(format!("Copying what {from} fetches over the private link"));
            } else {
                stop.cancel();
            }
            fetched
        };
        let beside = meter.beside();
        let copying = async {
            let copied = self.carry(wanted, &beside, &stop, context).await;
            if copied.is_err() {
                stop.cancel();
            }
            copied
        };
        let (fetched, copied) = tokio::join!(fetching, copying);
        if context.cancel.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        // The part that stopped the other has something to say; the other was only stopped.
        match (fetched, copied) {
            (Err(Stop::Cancelled), Err(why)) | (Err(why), _) => Err(why),
            (Ok(()), copied) => copied,
        }
    }

    /// Which of these blobs the other machine has in their place, as far as it can tell at once.
    async fn there(self, etags: Vec<String>) -> BTreeSet<String> {
        if etags.is_empty() {
            return BTreeSet::new();
        }
        let token = Secret::new(self.ticket.token.clone());
        let addresses = self.origin().addresses();
        let ask = move || {
            let answers = addresses.iter();
            let mut answers = answers.filter_map(|address| look(*address, &token, &etags));
            answers.next().unwrap_or_default()
        };
        tokio::task::spawn_blocking(ask).await.unwrap_or_default()
    }
}

/// Asks once at one address; `None` where nobody answers.
fn look(address: SocketAddr, token: &Secret, etags: &[String]) -> Option<BTreeSet<String>> {
    let mut stream = wire::connect(address, token).ok()?;
    let wanted = etags.to_vec();
    stream.say(&Ask::State { wanted }).ok()?;
    let until = Instant::now() + SILENCE;
    match stream.hear(|| Instant::now() < until).ok()? {
        Answer::State { ready, .. } => Some(ready.into_iter().map(|r| r.etag).collect()),
        _ => None,
    }
}
