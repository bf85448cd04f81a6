//! The weights once over the line and then over the cable, or each its share over the line and then both
//! over the cable.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::join_all;

use super::FetchWeights;
use super::source::after;
use super::uplink::shares;
use crate::node::{CopyRequest, CopyTicket, FetchReceipt, NodeWork, Refusal, Serving, Share};
use crate::ports::MachineServices;
use crate::run::StepError;
use crate::step::job::{self, JobError};
use crate::step::link_copy::{self, CopyEnd};
use crate::step::serve_copy::{self, STREAMS};
use crate::step::services::StepContext;

impl FetchWeights {
    /// One machine fetches, the others copy from it at the same time. When the one cannot go on the
    /// others are stopped too, for nothing more would come; what they have stays.
    pub(super) async fn once(
        &self,
        cx: &StepContext,
        from: usize,
        begun: &[Option<NodeWork>],
    ) -> Result<Vec<FetchReceipt>, StepError> {
        let stop = cx.cancel.child_token();
        let beside = StepContext {
            cancel: stop.clone(),
            ..cx.clone()
        };
        let source = &cx.machines[from];
        let fetching = async {
            let work = NodeWork::Fetch(self.fetch());
            job::make_room(cx, source, begun_at(begun, from), &work).await;
            let fetched = job::run(cx, source, work).await;
            if fetched.is_err() {
                stop.cancel();
            }
            fetched
        };
        let others = cx.machines.iter().enumerate().filter(|(i, _)| *i != from);
        let copying = join_all(others.map(|(i, to)| {
            let begun = begun_at(begun, i);
            self.copied(&beside, from, to, begun, None)
        }));
        let (fetched, copied): (Result<FetchReceipt, JobError>, Vec<_>) =
            futures::join!(fetching, copying);
        let mut receipts = vec![fetched?];
        let copied: Result<Vec<FetchReceipt>, StepError> = copied.into_iter().collect();
        receipts.extend(copied?);
        // In the machines' order again.
        receipts[..=from].rotate_left(1);
        Ok(receipts)
    }

    /// Each of two machines fetches its share and copies the other's at the same time. When one cannot go
    /// on the other is stopped too; what they have stays.
    pub(super) async fn halves(
        &self,
        cx: &StepContext,
        parts: &[u32],
        begun: &[Option<NodeWork>],
    ) -> Result<Vec<FetchReceipt>, StepError> {
        let stop = cx.cancel.child_token();
        let beside = StepContext {
            cancel: stop.clone(),
            ..cx.clone()
        };
        let both = cx.machines.iter().zip(shares(parts)).map(|(to, share)| {
            let (beside, stop) = (&beside, &stop);
            async move {
                let (from, begun) = (1 - share.mine, begun_at(begun, share.mine));
                let done = self.copied(beside, from, to, begun, Some(share)).await;
                if done.is_err() {
                    stop.cancel();
                }
                done
            }
        });
        let mut ends = join_all(both).await;
        // The one that failed says why; the other was only stopped for it.
        let why =
            |end: &Result<_, StepError>| end.as_ref().is_err_and(|e| *e != StepError::Cancelled);
        if let Some(at) = ends.iter().position(why) {
            ends.swap(0, at);
        }
        ends.into_iter().collect()
    }

    /// Copies to one machine, again after what passes, and from the Hub where it does not pass. With a
    /// share it fetches that itself meanwhile.
    async fn copied(
        &self,
        cx: &StepContext,
        from: usize,
        to: &MachineServices,
        begun: Option<&NodeWork>,
        share: Option<Share>,
    ) -> Result<FetchReceipt, StepError> {
        let work = self.copy_work(&cx.machines[from], share.clone());
        job::make_room(cx, to, begun, &work).await;
        let share = Mutex::new(share);
        let copy = || self.copy_or_leave_share(cx, from, to, &share).boxed();
        match link_copy::repeat(cx, to, after, copy).await? {
            CopyEnd::Done(receipt) => Ok(receipt),
            CopyEnd::WithoutLink(why) => {
                let line = format!(
                    "The copy over the private link does not go on, so what is missing comes from the Hub. {why}"
                );
                cx.log(Some(&to.name), line);
                Ok(job::run(cx, to, NodeWork::Fetch(self.fetch())).await?)
            }
        }
    }

    /// Copies, with a share of its own where there is one. When the Hub does not give a machine its share,
    /// the share is left to the other machine from then on.
    async fn copy_or_leave_share(
        &self,
        cx: &StepContext,
        from: usize,
        to: &MachineServices,
        share: &Mutex<Option<Share>>,
    ) -> Result<FetchReceipt, JobError> {
        let mine = share.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let has_share = mine.is_some();
        match self.copy(cx, from, to, mine).await {
            Err(error) if has_share && error.is(Refusal::Hub) => {
                let line = format!(
                    "This machine does not get its share from the Hub, so `{}` fetches it too. {}",
                    cx.machines[from].name,
                    error.why()
                );
                cx.log(Some(&to.name), line);
                *share.lock().unwrap_or_else(PoisonError::into_inner) = None;
                cx.safe_point()?;
                self.copy(cx, from, to, None).await
            }
            end => end,
        }
    }

    async fn copy(
        &self,
        cx: &StepContext,
        from: usize,
        to: &MachineServices,
        share: Option<Share>,
    ) -> Result<FetchReceipt, JobError> {
        let serving = self.serve(cx, from).await?;
        let ticket = CopyTicket::new(serving, cx.services.hub_token.as_ref());
        let work = self.copy_work(&cx.machines[from], share);
        job::run_with(cx, to, work, Some(ticket.seal())).await
    }

    fn copy_work(&self, from: &MachineServices, share: Option<Share>) -> NodeWork {
        NodeWork::Copy(CopyRequest {
            fetch: self.fetch(),
            from: from.name.clone(),
            streams: STREAMS,
            share,
        })
    }

    /// Has a machine serve on its ends of the rails. It ends by itself.
    async fn serve(&self, cx: &StepContext, from: usize) -> Result<Serving, JobError> {
        let words = self.serve_words(from, Some(&job::name(cx)));
        serve_copy::serve(&cx.machines[from], words).await
    }

    /// The words after the program's name.
    pub(super) fn serve_words(&self, from: usize, job: Option<&str>) -> Vec<String> {
        let mut words = serve_copy::words(self.launch.network.as_ref(), from);
        let repositories = self.launch.repositories();
        let names: BTreeSet<&str> = repositories.iter().map(|r| r.repo.as_str()).collect();
        words.extend(
            names
                .into_iter()
                .flat_map(|name| ["--repo".to_owned(), name.to_owned()]),
        );
        words.extend(
            job.into_iter()
                .flat_map(|j| ["--job".to_owned(), j.to_owned()]),
        );
        words
    }
}

fn begun_at(begun: &[Option<NodeWork>], machine: usize) -> Option<&NodeWork> {
    begun.get(machine)?.as_ref()
}
