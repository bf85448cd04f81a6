//! The figures with targets: line and memory of fetch and graft, and what a kill costs.

use serde_json::json;
use tandem_domain::graft::way::MtpWay;
use tandem_domain::node::{
    FetchLimits, FetchReceipt, FetchRequest, GraftKind, GraftReceipt, GraftRequest, NodeWork,
};
use tandem_rehearsal::checkpoint::synthetic;
use tandem_rehearsal::hub::counters::Count;

use crate::figure::Figure;
use crate::job::Job;
use crate::{Bench, Failure};

/// Connections, as the app asks for them.
const CONNECTIONS: u16 = 8;

/// Measures one after the other: a fetch that is killed at half way, one that is not, a graft onto it.
pub(crate) async fn all(bench: &Bench<'_>) -> Result<Vec<Figure>, Failure> {
    let (refetched, killed_peak) = killed(bench).await?;
    let plain = plain(bench).await?;
    let (ratio, graft_peak) = graft(bench).await?;
    let peak = [killed_peak, plain.peak_kib, graft_peak]
        .into_iter()
        .max()
        .unwrap_or(0);
    let mib = |kib: u64| kib as f64 / 1024.0;
    Ok(vec![
        ratio.at_most(1.001),
        Figure::of("node_peak_mib", mib(peak), "MiB")
            .at_most(64.0)
            .with(json!({
                "what": "VmHWM of the detached worker",
                "fetch": mib(plain.peak_kib),
                "fetch_around_a_kill": mib(killed_peak),
                "graft": mib(graft_peak),
            })),
        refetched.at_most(0.001),
        plain.figure,
    ])
}

/// The fetch of the synthetic checkpoint.
pub(crate) fn fetch(endpoint: String) -> NodeWork {
    NodeWork::Fetch(FetchRequest {
        endpoint,
        repo: synthetic::REPO.into(),
        revision: "main".into(),
        hf_home: None,
        connections: CONNECTIONS,
        limits: FetchLimits::default(),
        proxy: None,
    })
}

/// A fetch whose worker dies when the Hub has given out half of it, and the one that goes on from there.
async fn killed(bench: &Bench<'_>) -> Result<(Figure, u64), Failure> {
    let counters = bench.hub.counters();
    let name = "bench-killed";
    let work = || fetch(bench.hub.endpoint());
    counters.reset();
    let job = Job::start(&bench.place, name, work()).await?;
    let half = bench.made.bytes / 2;
    let before = job.kill_when(|| counters.read().bytes >= half).await?;
    let at_kill = counters.read().bytes;
    let job = Job::start(&bench.place, name, work()).await?;
    let ended = job.end().await?;
    let peak = before.max(ended.peak_kib);
    let receipt: FetchReceipt = ended.receipt()?;
    let served = served(&counters.read(), receipt.bytes)?;
    job.undo().await?;
    let figure = Figure::ratio(
        "refetched_after_kill",
        "bytes",
        (
            "content the Hub gave out over both lives, less the revision's bytes",
            (served - receipt.bytes) as f64,
        ),
        ("bytes of the revision", receipt.bytes as f64),
    )
    .with(json!({"served_until_the_kill": at_kill, "served_in_all": served}));
    Ok((figure, peak))
}

struct Plain {
    figure: Figure,
    peak_kib: u64,
}

/// A fetch that nothing disturbs. What it brought stays for the graft.
async fn plain(bench: &Bench<'_>) -> Result<Plain, Failure> {
    let counters = bench.hub.counters();
    counters.reset();
    let job = Job::start(&bench.place, "bench-fetch", fetch(bench.hub.endpoint())).await?;
    let ended = job.end().await?;
    let (took, peak_kib) = (ended.took.as_secs_f64(), ended.peak_kib);
    let receipt: FetchReceipt = ended.receipt()?;
    let served = served(&counters.read(), receipt.bytes)?;
    let figure = Figure::of("fetch_mb_s", receipt.bytes as f64 / 1e6 / took, "MB/s").with(json!({
        "bytes": receipt.bytes, "seconds": took, "served": served,
        "includes": "detaching, hashing every byte, flushing to the disk, hearing of the end",
    }));
    Ok(Plain { figure, peak_kib })
}

/// A graft onto what was fetched.
async fn graft(bench: &Bench<'_>) -> Result<(Figure, u64), Failure> {
    let counters = bench.hub.counters();
    counters.reset();
    let work = NodeWork::Graft(GraftRequest {
        endpoint: bench.hub.endpoint(),
        repo: synthetic::REPO.into(),
        commit: synthetic::COMMIT.into(),
        source_repo: synthetic::BF16_REPO.into(),
        source_revision: "main".into(),
        hf_home: None,
        way: MtpWay::Overlay,
        draft_repo: None,
    });
    let job = Job::start(&bench.place, "bench-graft", work).await?;
    let ended = job.end().await?;
    let (took, peak) = (ended.took.as_secs_f64(), ended.peak_kib);
    let receipt: GraftReceipt = ended.receipt()?;
    let needed = bench.made.mtp_bytes;
    if receipt.kind != GraftKind::Overlay || receipt.tensor_bytes != needed {
        return Err(format!(
            "the graft was to bring {needed} bytes of tensors beside the snapshot and says {:?} of {}",
            receipt.kind, receipt.tensor_bytes
        )
        .into());
    }
    let count = counters.read();
    let served = served(&count, needed)?;
    let figure = Figure::ratio(
        "graft_bytes_ratio",
        "bytes",
        ("content the Hub gave out for the graft", served as f64),
        ("bytes of the MTP tensors", needed as f64),
    )
    .with(json!({
        "by_file": count.files,
        "tensors": receipt.tensors, "seconds": took,
    }));
    Ok((figure, peak))
}

/// What the Hub gave out, which cannot be less than what was needed: then something was there before.
fn served(count: &Count, needed: u64) -> Result<u64, Failure> {
    if count.bytes < needed {
        return Err(format!(
            "the Hub gave out {} bytes where {needed} were needed: the machine was not fresh",
            count.bytes
        )
        .into());
    }
    Ok(count.bytes)
}
