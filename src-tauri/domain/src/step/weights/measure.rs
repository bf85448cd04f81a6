//! Asks both machines to read from the Hub for a few seconds, one after the other has begun.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::FetchWeights;
use super::uplink::{Sample, Uplink};
use crate::node::{NodeEvent, NodeLine, NodeWork, ProbeRequest, Survey, SurveyRequest};
use crate::ports::MachineServices;
use crate::run::StepError;
use crate::step::job;
use crate::step::services::StepContext;

/// How long each machine reads.
const READ: Duration = Duration::from_secs(4);
/// How long the first reads alone before the second is asked to. It takes a moment more to begin.
const AHEAD: Duration = Duration::from_millis(1000);
/// What a machine may read where so many bytes are missing is this part of it, and never more than [`MOST`].
const PART: u64 = 4;
/// As much as comes over a line of 1 Gb/s in that time. Whoever has a faster one does not wait for long.
const MOST: u64 = 500_000_000;
/// Of less than this nothing is measured: it would be there as soon.
const WORTH: u64 = 400_000_000;
/// What is run for it, and what that costs.
pub(super) const WORDS: &str =
    "tandem-node run probe   (reads 4 s from the Hub, at most 0.5 GB, and keeps nothing)";
/// How long a machine may take to answer, with the questions to the Hub before.
const ANSWER: Duration = Duration::from_secs(60);

impl FetchWeights {
    /// Measures, where so much is missing on the head that it is worth it; `None` where it is not or where it
    /// cannot be told, which is no failure of the step. A cancel ends it.
    pub(super) async fn line(&self, cx: &StepContext) -> Result<Option<Uplink>, StepError> {
        let [head, other] = cx.machines.as_slice() else {
            return Ok(None);
        };
        let missing = self.missing_on(cx, head).await?;
        if missing < WORTH {
            return Ok(None);
        }
        let request = ProbeRequest {
            endpoint: self.launch.hub_endpoint.clone(),
            what: self.launch.served().into(),
            connections: super::CONNECTIONS,
            milliseconds: READ.as_millis() as u32,
            most: MOST.min(missing / PART),
            limits: self.limits(cx),
        };
        cx.log(
            None,
            "Each machine reads from the Hub for a few seconds, alone and at the same time, to find which way is the fastest.",
        );
        let begun = CancellationToken::new();
        let measured = async {
            let first = async {
                let read = samples(cx, head, &request, &begun).await;
                // One that ends without a byte holds nobody up.
                begun.cancel();
                read
            };
            let second = async {
                begun.cancelled().await;
                cx.clock.wait(AHEAD).await;
                samples(cx, other, &request, &CancellationToken::new()).await
            };
            let (first, second) = futures::join!(first, second);
            Ok(Uplink::of(&first, &second))
        };
        let line = cx.unless_cancelled(measured).await?;
        if line.is_none() {
            cx.log(None, "It could not be measured.");
        }
        Ok(line)
    }

    /// Bytes that are still to be fetched, as a machine sees it; none where it cannot say.
    async fn missing_on(
        &self,
        cx: &StepContext,
        machine: &MachineServices,
    ) -> Result<u64, StepError> {
        let work = NodeWork::Survey(SurveyRequest {
            endpoint: self.launch.hub_endpoint.clone(),
            repositories: self.launch.repositories(),
            hf_home: None,
            probe: 0,
        });
        let looked = cx.unless_cancelled(job::foreground::<Survey>(cx, machine, work));
        match looked.await {
            Ok(survey) => Ok(survey.missing),
            Err(StepError::Cancelled) => Err(StepError::Cancelled),
            // Whatever it is, the fetch itself meets it and tells it.
            Err(_) => Ok(0),
        }
    }
}

/// What one machine read, timed by its own clock from the moment on at which its first word came here.
/// `begun` trips then.
async fn samples(
    cx: &StepContext,
    machine: &MachineServices,
    request: &ProbeRequest,
    begun: &CancellationToken,
) -> Vec<Sample> {
    let probe = NodeWork::Probe(request.clone());
    let command = job::in_foreground(cx, probe).timeout(Some(ANSWER));
    let mut samples = Vec::new();
    let mut first: Option<(f64, i64)> = None;
    let mut on_line = |line: &str| {
        let Ok(line) = serde_json::from_str::<NodeLine>(line) else {
            return;
        };
        if let NodeEvent::Progress { done, .. } = line.event {
            let (here, there) =
                *first.get_or_insert_with(|| (cx.clock.monotonic().as_secs_f64(), line.at));
            begun.cancel();
            let at = here + (line.at - there) as f64 / 1e3;
            samples.push(Sample { at, bytes: done });
        }
    };
    if let Err(e) = machine.shell.lines(&command, &mut on_line).await {
        cx.log(Some(&machine.name), format!("{e}."));
    }
    samples
}
