//! Every work by its name, and how it ends.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use serde::Serialize;
use tandem_domain::node::{NodeEvent, NodeWork};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::stop::Stop;

/// Carries a work out and says how it ended.
pub async fn perform(work: NodeWork, token: Option<Secret>, context: &Context) -> NodeEvent {
    let cancel = context.cancel.clone();
    let outcome = tokio::select! {
        biased;
        outcome = caught(carry_out(work, token, context)) => outcome,
        () = overdue(&cancel) => Err(Stop::Cancelled),
    };
    context.fetched.save();
    match outcome {
        Ok(result) => NodeEvent::Done { result },
        Err(stop) => match stop.problem() {
            Some(problem) => NodeEvent::Failed { problem },
            None => NodeEvent::Cancelled,
        },
    }
}

/// A work that breaks off by a fault of this program ends with words and not in silence.
async fn caught<T>(work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(Problem::new(
                Code::Broken,
                "The work broke off by a fault of Tandem's own.",
            )
            .cause(format!(
                "{}.",
                said.unwrap_or_else(|| "It left no words".into())
            ))
            .fix("Resume; what has arrived is kept. If it stays, report it with this text.")
            .into())
        })
}

/// Ends a while after the cancellation: the work notices by itself and tidies up; this is for a
/// question to the Hub that hangs.
async fn overdue(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
}

async fn carry_out(
    work: NodeWork,
    token: Option<Secret>,
    context: &Context,
) -> Result<serde_json::Value, Stop> {
    work.check_names()?;
    match work {
        NodeWork::Copy(request) => value(crate::copy::copy(&request, token, context).await?),
        NodeWork::Fetch(request) => value(crate::fetch::fetch(&request, token, context).await?),
        NodeWork::Graft(request) => value(crate::graft::graft(&request, token, context).await?),
        NodeWork::Survey(request) => value(crate::survey::survey(&request, token, context).await?),
        NodeWork::Probe(request) => value(crate::probe::probe(&request, token, context).await?),
        NodeWork::Check(request) => value(crate::check::check(&request, token, context).await?),
        NodeWork::SaveImage(request) => value(crate::image::save(&request, context).await?),
        NodeWork::LoadImage(request) => value(crate::image::load(&request, token, context).await?),
    }
}

fn value(receipt: impl Serialize) -> Result<serde_json::Value, Stop> {
    serde_json::to_value(receipt).map_err(|e| {
        Problem::new(Code::Broken, "The result could not be written as JSON.")
            .cause(e.to_string())
            .into()
    })
}
