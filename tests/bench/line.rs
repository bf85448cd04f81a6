//! A fetch over a line of a known rate, beside `hf download` on the same line, and what a kill costs that.

use std::path::Path;

use serde_json::json;
use tandem_domain::node::FetchReceipt;
use tandem_tests::{Lab, Link, Spark, USER};

use crate::compare::{ends, hf, python};
use crate::figure::Figure;
use crate::job::Job;
use crate::measure::{LINE, fetch};
use crate::{Bench, Failure};

/// Bytes of content in a full frame, and bytes of that frame as `tc` counts it: Ethernet, IP and TCP with
/// its timestamps take the rest.
const FRAME: (f64, f64) = (1448.0, 1514.0);

/// Measures the machine's download and Python's, one after the other, on the machine's own line.
pub(crate) async fn all(
    bench: &Bench<'_>,
    lab: &Lab,
    cache: &Path,
    work: &Path,
) -> Result<Vec<Figure>, Failure> {
    let link = Link::Management(Spark::A);
    // What an earlier figure left there would not cross the line.
    let left = format!("/home/{USER}/.cache/huggingface");
    lab.must(Spark::A, &["rm", "-rf", &left]).await?;
    lab.rate(link, Some(LINE)).await?;
    let measured = on_the_line(bench, cache, work).await;
    lab.rate(link, None).await?;
    measured
}

async fn on_the_line(bench: &Bench<'_>, cache: &Path, work: &Path) -> Result<Vec<Figure>, Failure> {
    let job = Job::start(&bench.place, "bench-line", fetch(bench.hub.endpoint())).await?;
    let ended = job.end().await?;
    let (seconds, peak) = (ended.took.as_secs_f64(), ended.peak_kib);
    let receipt = ended.receipt::<FetchReceipt>()?;
    let bytes = receipt.bytes();
    if receipt.fetched < bytes {
        return Err(format!("{bytes} bytes were to come, and {} did", receipt.fetched).into());
    }
    job.undo().await?;
    let rate = |seconds: f64| bytes as f64 / 1e6 / seconds;
    let payload = f64::from(LINE) / 8.0 * FRAME.0 / FRAME.1;
    let line = Figure::ratio(
        "fetch_vs_line",
        "MB/s",
        (
            "tandem-node fetch, from its start until its end was heard of, every byte hashed on the way",
            rate(seconds),
        ),
        (
            "what a line of 1 Gb/s carries of content in full frames",
            payload,
        ),
    )
    .at_least(0.97)
    .with(json!({
        "bytes": bytes, "seconds": seconds, "peak_mib": peak as f64 / 1024.0,
        "line": "tc tbf towards the machine, 1000mbit",
    }));
    let bin = match python(&cache.join("python")).await {
        Ok(bin) => bin,
        Err(why) => {
            eprintln!("bench: fetch_vs_hf_download was not measured: {why}");
            return Ok(vec![line]);
        }
    };
    let home = work.join("hf-line");
    let inside = ["ip", "netns", "exec", Spark::A.namespace()];
    let theirs = ends(hf(bench, &inside, &bin, &home)).await?;
    std::fs::remove_dir_all(&home)?;
    let compared = Figure::ratio(
        "fetch_vs_hf_download",
        "MB/s",
        ("tandem-node fetch, which hashes every byte", rate(seconds)),
        ("hf download with Xet off, which hashes none", rate(theirs)),
    )
    .at_least(1.0)
    .with(json!({
        "tandem_seconds": seconds, "hf_seconds": theirs,
        "place": "the machine's network, both over the line of 1 Gb/s",
    }));
    Ok(vec![line, compared])
}

/// What `hf download` fetches twice when it is killed at half way and started again.
pub(crate) async fn hf_killed(
    bench: &Bench<'_>,
    cache: &Path,
    work: &Path,
) -> Result<Result<Figure, String>, Failure> {
    let bin = match python(&cache.join("python")).await {
        Ok(bin) => bin,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let counters = bench.hub.counters();
    counters.reset();
    let home = work.join("hf-killed");
    let mut first = hf(bench, &[], &bin, &home).spawn()?;
    let half = bench.made.bytes / 2;
    while counters.read().bytes < half {
        if let Some(status) = first.try_wait()? {
            return Err(format!("hf download ended before it was to be killed: {status}").into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    first.kill().await?;
    let at_kill = counters.read().bytes;
    ends(hf(bench, &[], &bin, &home)).await?;
    std::fs::remove_dir_all(&home)?;
    let served = counters.read().bytes;
    let whole = bench.made.bytes;
    Ok(Ok(Figure::ratio(
        "hf_refetched_after_kill",
        "bytes",
        (
            "content the Hub gave out over both lives of hf download, less the tensors' bytes",
            served.saturating_sub(whole) as f64,
        ),
        ("bytes of the tensors", whole as f64),
    )
    .with(
        json!({"served_until_the_kill": at_kill, "served_in_all": served}),
    )))
}
