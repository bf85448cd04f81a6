//! Reads from the Hub for a few seconds and throws it away, saying several times a second how much came: so
//! that two machines which read at the same time can be compared with each of them alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tandem_domain::artifact::copies::is_weights;
use tandem_domain::node::{Flow, NodeEvent, ProbeRequest, Probed, RepoFiles};
use tandem_domain::secret::Secret;

use crate::context::Context;
use crate::hub::{Hub, Remote};
use crate::stop::Stop;
use crate::transfer::Throttle;

/// Between two words how much came.
const SAY: Duration = Duration::from_millis(100);
/// Nothing is read for longer, whatever was asked for.
const LONGEST: Duration = Duration::from_secs(30);
/// How long the first byte may take.
const FIRST: Duration = Duration::from_secs(10);
/// Between two tries of a connection that brought nothing.
const PAUSE: Duration = Duration::from_millis(100);

/// Carries a probe out. Where nothing may or can be read it says nothing and ends with no bytes.
pub async fn probe(
    request: &ProbeRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<Probed, Stop> {
    request.limits.check()?;
    let minute = request
        .limits
        .hours
        .as_ref()
        .and((context.settings.minute)());
    if request.limits.flow(minute) != Flow::Open {
        return Ok(Probed { bytes: 0 });
    }
    let hub = context.hub(&request.endpoint, token)?;
    let RepoFiles {
        repo,
        revision,
        files,
    } = &request.what;
    let listing = hub.revision(repo, revision).await?;
    // One file is asked for and not all of them: two machines are to begin at nearly the same time.
    let selected = || listing.files.iter().filter(|f| files.takes(f));
    let Some(name) = selected()
        .find(|f| is_weights(f))
        .or_else(|| selected().next())
    else {
        return Ok(Probed { bytes: 0 });
    };
    let remote = hub.head(repo, &listing.commit, name).await?;
    if remote.size.bytes() == 0 {
        return Ok(Probed { bytes: 0 });
    }
    let throttle = Throttle::default();
    throttle.set(true, request.limits.bytes_per_second);
    let came = AtomicU64::new(0);
    let connections = u64::from(request.connections.clamp(1, 32));
    let readers = (0..connections).map(|n| read(&hub, &remote, n, connections, &throttle, &came));
    tokio::select! {
        _ = futures::future::join_all(readers) => {}
        () = watch(request, &came, context) => {}
        () = context.cancel.cancelled() => return Err(Stop::Cancelled),
    }
    Ok(Probed {
        bytes: came.load(Ordering::Relaxed),
    })
}

/// Says how much came, until it is enough.
async fn watch(request: &ProbeRequest, came: &AtomicU64, context: &Context) {
    let time = Duration::from_millis(request.milliseconds.into()).min(LONGEST);
    let began = Instant::now();
    let mut first = None;
    loop {
        let done = came.load(Ordering::Relaxed);
        if done > 0 {
            let since = first.get_or_insert_with(Instant::now).elapsed();
            context.lines.say(NodeEvent::Progress {
                done,
                total: None,
                rate: None,
                doing: "Reading from the Hub to measure the line".into(),
                held: None,
            });
            if since >= time || done >= request.most {
                return;
            }
        } else if began.elapsed() > FIRST {
            return;
        }
        tokio::time::sleep(SAY).await;
    }
}

/// Reads a range of the file again and again.
async fn read(
    hub: &Hub,
    remote: &Remote,
    n: u64,
    connections: u64,
    throttle: &Throttle,
    came: &AtomicU64,
) {
    let part = remote.size.bytes() / connections;
    let range = (part > 0).then(|| (n * part, (n + 1) * part));
    loop {
        let answer = hub.get(&remote.url, range).await.ok();
        let mut brought = false;
        if let Some(mut answer) = answer.filter(|a| a.status().is_success()) {
            while let Ok(Some(chunk)) = answer.chunk().await {
                brought |= !chunk.is_empty();
                came.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                throttle.pass(chunk.len() as u64).await;
            }
        }
        if !brought {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
