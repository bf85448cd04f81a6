//! The weights once over the line and then over the cable.

use std::time::Duration;

use futures::future::join_all;

use super::FetchWeights;
use super::road::{Next, after};
use crate::node::{CopyRequest, CopyTicket, FetchReceipt, NodeWork, Serving};
use crate::ports::Station;
use crate::recipe::job;
use crate::recipe::serving::{self, STREAMS};
use crate::run::{StepContext, StepError};

/// The first pause before a copy is begun again. The later ones are longer.
const PAUSE: Duration = Duration::from_secs(2);

impl FetchWeights {
    /// One machine fetches, the others copy from it at the same time. When the one cannot go on the
    /// others are stopped too, for nothing more would come; what they have stays.
    pub(super) async fn once(
        &self,
        cx: &StepContext,
        from: usize,
    ) -> Result<Vec<FetchReceipt>, StepError> {
        let stop = cx.cancel.child_token();
        let beside = StepContext {
            cancel: stop.clone(),
            ..cx.clone()
        };
        let source = &cx.stations[from];
        let fetching = async {
            let fetched = job::run(cx, source, NodeWork::Fetch(self.fetch())).await;
            if fetched.is_err() {
                stop.cancel();
            }
            fetched
        };
        let others = cx.stations.iter().enumerate().filter(|(i, _)| *i != from);
        let copying = join_all(others.map(|(_, to)| self.copied(&beside, from, to)));
        let (fetched, copied): (Result<FetchReceipt, _>, Vec<_>) =
            futures::join!(fetching, copying);
        let mut receipts = vec![fetched?];
        let copied: Result<Vec<FetchReceipt>, StepError> = copied.into_iter().collect();
        receipts.extend(copied?);
        // In the machines' order again.
        receipts[..=from].rotate_left(1);
        Ok(receipts)
    }

    /// Copies to one machine, again after what passes, and from the Hub where it does not pass.
    async fn copied(
        &self,
        cx: &StepContext,
        from: usize,
        to: &Station,
    ) -> Result<FetchReceipt, StepError> {
        let mut tries = 0;
        loop {
            cx.safe_point()?;
            let problem = match self.copy(cx, from, to).await {
                Ok(receipt) => return Ok(receipt),
                Err(StepError::Cancelled) => return Err(StepError::Cancelled),
                Err(StepError::Problem(problem)) => problem,
            };
            tries += 1;
            let why = problem.cause.as_deref().unwrap_or(&problem.message);
            match after(problem.code, tries) {
                Next::Again => {
                    let line = format!("The copy broke off and goes on from what is there. {why}");
                    cx.log(Some(&to.name), line);
                    let pause = cx.clock.wait(PAUSE * tries);
                    cx.unless_cancelled(async {
                        pause.await;
                        Ok(())
                    })
                    .await?;
                }
                Next::FromHub => {
                    let line = format!(
                        "The copy over the private link does not go on, so what is missing comes from the Hub. {why}"
                    );
                    cx.log(Some(&to.name), line);
                    return job::run(cx, to, NodeWork::Fetch(self.fetch())).await;
                }
                Next::Tell => return Err(StepError::Problem(problem)),
            }
        }
    }

    async fn copy(
        &self,
        cx: &StepContext,
        from: usize,
        to: &Station,
    ) -> Result<FetchReceipt, StepError> {
        let source = &cx.stations[from];
        let serving = self.serve(cx, from).await?;
        let ticket = CopyTicket::new(serving, cx.hub_token.as_ref());
        let work = NodeWork::Copy(CopyRequest {
            fetch: self.fetch(),
            from: source.name.clone(),
            streams: STREAMS,
        });
        job::run_with(cx, to, work, Some(ticket.seal())).await
    }

    /// Has a machine serve on its ends of the rails. It ends by itself.
    async fn serve(&self, cx: &StepContext, from: usize) -> Result<Serving, StepError> {
        let words = self.serve_words(from, Some(&job::name(cx)));
        serving::serve(&cx.stations[from], words).await
    }

    /// The words after the program's name.
    pub(super) fn serve_words(&self, from: usize, job: Option<&str>) -> Vec<String> {
        let mut words = serving::words(self.request.network.as_ref(), from);
        words.extend(["--repo".to_owned(), self.request.repo.clone()]);
        words.extend(
            job.into_iter()
                .flat_map(|j| ["--job".to_owned(), j.to_owned()]),
        );
        words
    }
}
