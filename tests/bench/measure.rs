//! The figures with targets: line and memory of fetch, graft and draft, and what a kill costs.

use serde_json::json;
use tandem_domain::graft::mtp_method::MtpMethod;
use tandem_domain::node::{
    FetchLimits, FetchReceipt, FetchRequest, GraftKind, GraftReceipt, GraftRequest, NodeWork,
    RepoFiles,
};
use tandem_rehearsal::checkpoint::synthetic;
use tandem_rehearsal::hub::counters::Count;
use tandem_tests::{Lab, Link, Spark};

use crate::figure::Figure;
use crate::job::Job;
use crate::{Bench, Failure};

/// Mbit/s of the line, as `tc` counts them.
pub(crate) const LINE: u32 = 1000;
/// Connections, as the app asks for them.
const CONNECTIONS: u16 = 8;

/// Measures one after the other: a fetch that is killed at half way, without a limit and on a line that has
/// one; one that is not killed; a graft and a draft onto it.
pub(crate) async fn all(bench: &Bench<'_>, lab: Option<&Lab>) -> Result<Vec<Figure>, Failure> {
    let (unlimited, mut killed_peak) = killed(bench, "refetched_after_kill_unlimited").await?;
    let mut figures = Vec::new();
    if let Some(lab) = lab {
        let (figure, peak) = killed_on_the_line(bench, lab).await?;
        figures.push(figure.at_most(0.001));
        killed_peak = killed_peak.max(peak);
    } else {
        eprintln!("bench: refetched_after_kill was not measured: it needs the lab");
    }
    figures.push(unlimited);
    let plain = plain(bench).await?;
    let (overlay, overlay_peak) = graft(bench, MtpMethod::Overlay).await?;
    let (draft, draft_peak) = graft(bench, MtpMethod::Draft).await?;
    let graft_peak = overlay_peak.max(draft_peak);
    let peak = killed_peak.max(plain.peak_kib).max(graft_peak);
    let mib = |kib: u64| kib as f64 / 1024.0;
    figures.extend([
        overlay.at_most(1.001),
        draft.at_most(1.001),
        Figure::of("node_peak_mib", mib(peak), "MiB")
            .at_most(64.0)
            .with(json!({
                "what": "VmHWM of the detached worker",
                "fetch": mib(plain.peak_kib),
                "fetch_around_a_kill": mib(killed_peak),
                "graft": mib(graft_peak),
            })),
        plain.figure,
    ]);
    Ok(figures)
}

/// The kill on a line of 1 Gb/s. Without a limit the worker lags behind the Hub, and what waits for it in its
/// machine's kernel is lost with it, whatever the checkpoint's size.
async fn killed_on_the_line(bench: &Bench<'_>, lab: &Lab) -> Result<(Figure, u64), Failure> {
    let link = Link::Management(Spark::A);
    lab.rate(link, Some(LINE)).await?;
    let measured = killed(bench, "refetched_after_kill").await;
    lab.rate(link, None).await?;
    measured
}

/// The fetch of the synthetic checkpoint.
pub(crate) fn fetch(endpoint: String) -> NodeWork {
    NodeWork::Fetch(FetchRequest {
        endpoint,
        repositories: RepoFiles::all(synthetic::REPO, "main").into(),
        hf_home: None,
        connections: CONNECTIONS,
        limits: FetchLimits::default(),
        proxy: None,
    })
}

/// A fetch whose worker dies when the Hub has given out half of it, and the one that goes on from there.
async fn killed(bench: &Bench<'_>, figure: &'static str) -> Result<(Figure, u64), Failure> {
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
    let served = served(&counters.read(), receipt.bytes())?;
    job.undo().await?;
    let figure = Figure::ratio(
        figure,
        "bytes",
        (
            "content the Hub gave out over both lives, less the revision's bytes",
            (served - receipt.bytes()) as f64,
        ),
        ("bytes of the revision", receipt.bytes() as f64),
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
    let served = served(&counters.read(), receipt.bytes())?;
    let figure =
        Figure::of("fetch_mb_s", receipt.bytes() as f64 / 1e6 / took, "MB/s").with(json!({
            "bytes": receipt.bytes(), "seconds": took, "served": served,
            "includes": "detaching, hashing every byte, flushing to the disk, hearing of the end",
        }));
    Ok(Plain { figure, peak_kib })
}

/// A graft onto what was fetched, as an overlay or as a draft.
async fn graft(bench: &Bench<'_>, way: MtpMethod) -> Result<(Figure, u64), Failure> {
    let (name, job, kind) = match way {
        MtpMethod::Draft => ("draft_bytes_ratio", "bench-draft", GraftKind::Draft),
        _ => ("graft_bytes_ratio", "bench-graft", GraftKind::Overlay),
    };
    let counters = bench.hub.counters();
    counters.reset();
    let work = NodeWork::Graft(GraftRequest {
        endpoint: bench.hub.endpoint(),
        repo: synthetic::REPO.into(),
        commit: synthetic::COMMIT.into(),
        source_repo: synthetic::BF16_REPO.into(),
        source_revision: "main".into(),
        hf_home: None,
        way,
        draft_repo: None,
    });
    let job = Job::start(&bench.place, job, work).await?;
    let ended = job.end().await?;
    let (took, peak) = (ended.took.as_secs_f64(), ended.peak_kib);
    let receipt: GraftReceipt = ended.receipt()?;
    let needed = bench.made.mtp_bytes
        + match way {
            MtpMethod::Draft => bench.made.embedding_bytes,
            _ => 0,
        };
    if receipt.kind != kind || receipt.tensor_bytes != needed {
        return Err(format!(
            "the graft was to bring {needed} bytes of tensors as {kind:?} and says {:?} of {}",
            receipt.kind, receipt.tensor_bytes
        )
        .into());
    }
    let count = counters.read();
    let served = served(&count, needed)?;
    let figure = Figure::ratio(
        name,
        "bytes",
        ("content the Hub gave out for it", served as f64),
        ("bytes of its tensors", needed as f64),
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
