//! From one machine of the lab to the other: against `rsync` over ssh, against what link and disk carry, and
//! whether two machines are ready as soon as one.

use std::time::Instant;

use serde::Serialize;
use serde_json::json;
use tandem_domain::node::{CopyRequest, FetchReceipt, FetchRequest, NodeWork};
use tandem_rehearsal::checkpoint::synthetic;
use tandem_tests::rails::NETS;
use tandem_tests::{Lab, Link, Place, Spark, USER};

use crate::figure::{Figure, middle};
use crate::job::Job;
use crate::measure::{LINE, fetch};
use crate::{Bench, Failure};

/// Turns of each, of which the middle one counts.
const TURNS: usize = 3;
/// Where the checkpoint lies below the user's home, and what it is compared by.
const MODEL: &str = ".cache/huggingface/hub/models--tandem--Synthetic-NVFP4";

/// Measures everything, beginning with a cache that is empty on both machines.
pub(crate) async fn all(
    bench: &Bench<'_>,
    lab: &Lab,
    second: &Place<'_>,
) -> Result<Vec<Figure>, Failure> {
    lab.address_rails().await?;
    for spark in Spark::BOTH {
        let cache = format!("/home/{USER}/.cache/huggingface");
        lab.must(spark, &["rm", "-rf", &cache]).await?;
    }
    let mut figures = line(bench, lab, second).await?;
    let fetched = Job::start(&bench.place, "bench-source", fetch(bench.hub.endpoint())).await?;
    let bytes = fetched.end().await?.receipt::<FetchReceipt>()?.bytes();
    let mut turns = Turns::default();
    for turn in 0..TURNS {
        let copied = copy(bench, second, &format!("bench-copy-{turn}"), None).await?;
        if copied.bytes != bytes || copied.fetched != 0 {
            return Err(format!(
                "{} bytes were to be copied; {} are there and {} came over the line",
                bytes, copied.bytes, copied.fetched
            )
            .into());
        }
        turns.copy.push(bytes as f64 / 1e6 / copied.seconds);
        turns.peak = turns.peak.max(copied.peak_kib);
        turns.rsync.push(rsync(lab, bytes).await?);
        turns.iperf3.push(iperf(lab).await?);
        turns.dd.push(dd(lab, bytes, "conv=fdatasync").await?);
        turns
            .dd_past_the_cache
            .push(dd(lab, bytes, "oflag=direct").await?);
    }
    fetched.undo().await?;
    figures.extend(turns.figures(bytes));
    Ok(figures)
}

/// MB/s of each in turn, one after the other, so that what disturbs the box disturbs all of them.
#[derive(Default, Serialize)]
struct Turns {
    copy: Vec<f64>,
    rsync: Vec<f64>,
    iperf3: Vec<f64>,
    dd: Vec<f64>,
    dd_past_the_cache: Vec<f64>,
    #[serde(skip)]
    peak: u64,
}

impl Turns {
    fn figures(&self, bytes: u64) -> [Figure; 3] {
        let details = json!({
            "bytes": bytes, "mb_s": self, "counts": "the middle of each",
            "the_copy_includes": "detaching, asking the Hub what there is, hashing every byte, flushing to the disk",
            "cores_shared_by_both_machines": true,
        });
        let what =
            "tandem-node copy over both rails, every byte held against the hash that was checked";
        let ours = (what, middle(&self.copy));
        let (link, disk) = (middle(&self.iperf3), middle(&self.dd));
        let least = if link < disk {
            ("iperf3 over the link", link)
        } else {
            ("dd to the disk, flushed at the end", disk)
        };
        let by_ssh = (
            "rsync -a --whole-file --inplace over ssh",
            middle(&self.rsync),
        );
        [
            Figure::ratio("copy_vs_rsync_ssh", "MB/s", ours, by_ssh)
                .at_least(3.0)
                .with(details.clone()),
            Figure::ratio("copy_vs_limit", "MB/s", ours, least)
                .at_least(0.8)
                .with(details),
            Figure::of("copy_peak_mib", self.peak as f64 / 1024.0, "MiB")
                .at_most(64.0)
                .with(json!({"what": "VmHWM of the receiving worker"})),
        ]
    }
}

/// How a copy went.
struct Copied {
    bytes: u64,
    fetched: u64,
    seconds: f64,
    peak_kib: u64,
}

/// Copies to the second machine, from the start of serving until its end was heard of, and takes it back.
async fn copy(
    bench: &Bench<'_>,
    second: &Place<'_>,
    name: &str,
    fetching: Option<&str>,
) -> Result<Copied, Failure> {
    let began = Instant::now();
    let ticket = bench.place.serve(synthetic::REPO, fetching).await?;
    let work = NodeWork::Copy(CopyRequest {
        fetch: request(bench),
        from: "spark-a".into(),
        streams: 4,
        share: None,
    });
    let job = Job::start_with(second, name, work, Some(&ticket)).await?;
    let ended = job.end().await?;
    let (seconds, peak_kib) = (began.elapsed().as_secs_f64(), ended.peak_kib);
    let receipt: FetchReceipt = ended.receipt()?;
    job.undo().await?;
    Ok(Copied {
        bytes: receipt.bytes(),
        fetched: receipt.fetched,
        seconds,
        peak_kib,
    })
}

fn request(bench: &Bench<'_>) -> FetchRequest {
    match fetch(bench.hub.endpoint()) {
        NodeWork::Fetch(request) => request,
        other => unreachable!("a fetch is a fetch: {other:?}"),
    }
}

/// One machine, and then two, over a line that is the bottleneck.
async fn line(bench: &Bench<'_>, lab: &Lab, second: &Place<'_>) -> Result<Vec<Figure>, Failure> {
    let links = Spark::BOTH.map(Link::Management);
    for link in links {
        lab.rate(link, Some(LINE)).await?;
    }
    let measured = one_and_two(bench, second).await;
    for link in links {
        lab.rate(link, None).await?;
    }
    let (one, two) = measured?;
    let figure = Figure::ratio(
        "two_vs_one",
        "s",
        (
            "both machines have the checkpoint, the second over the cable",
            two,
        ),
        ("one machine fetches it alone", one),
    )
    .at_most(1.1)
    .with(json!({"line": "tc tbf towards each machine, 1000mbit"}));
    Ok(vec![figure])
}

async fn one_and_two(bench: &Bench<'_>, second: &Place<'_>) -> Result<(f64, f64), Failure> {
    let job = Job::start(&bench.place, "bench-one", fetch(bench.hub.endpoint())).await?;
    let ended = job.end().await?;
    let one = ended.took.as_secs_f64();
    ended.receipt::<FetchReceipt>()?;
    job.undo().await?;

    let began = Instant::now();
    let job = Job::start(&bench.place, "bench-two", fetch(bench.hub.endpoint())).await?;
    let copying = copy(bench, second, "bench-second", Some("bench-two"));
    let (fetched, copied) = tokio::join!(job.end(), async {
        let copied = copying.await;
        (copied, began.elapsed())
    });
    fetched?.receipt::<FetchReceipt>()?;
    let (copied, took) = (copied.0?, copied.1);
    if copied.fetched != 0 {
        return Err(format!("{} bytes came over the line twice", copied.fetched).into());
    }
    job.undo().await?;
    Ok((one, took.as_secs_f64()))
}

/// MB/s of `rsync` over ssh and the private link, into an empty folder.
async fn rsync(lab: &Lab, bytes: u64) -> Result<f64, Failure> {
    let user =
        |command: &str| ["runuser", "-u", USER, "--", "sh", "-ec", command].map(str::to_owned);
    let run = async |spark, command: &str| {
        let words = user(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        lab.must(spark, &words).await
    };
    let home = format!("/home/{USER}");
    run(
        Spark::A,
        &format!(
            "mkdir -p -m 700 {home}/.ssh && ssh-keygen -q -t ed25519 -N '' -f {home}/.ssh/bench"
        ),
    )
    .await?;
    let key = run(Spark::A, &format!("cat {home}/.ssh/bench.pub")).await?;
    run(
        Spark::B,
        &format!(
            "mkdir -p -m 700 {home}/.ssh && echo '{}' >> {home}/.ssh/authorized_keys",
            key.trim()
        ),
    )
    .await?;
    let ssh = format!(
        "ssh -i {home}/.ssh/bench -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    );
    let command = format!(
        "rsync -a --whole-file --inplace -e '{ssh}' {home}/{MODEL} {USER}@{}.11:{home}/bench-rsync/",
        NETS[0]
    );
    run(Spark::B, &format!("mkdir -p {home}/bench-rsync")).await?;
    let began = Instant::now();
    run(Spark::A, &command).await?;
    run(Spark::B, &format!("sync -f {home}/bench-rsync")).await?;
    let seconds = began.elapsed().as_secs_f64();
    run(
        Spark::B,
        &format!("rm -rf {home}/bench-rsync {home}/.ssh/authorized_keys"),
    )
    .await?;
    run(
        Spark::A,
        &format!("rm -f {home}/.ssh/bench {home}/.ssh/bench.pub"),
    )
    .await?;
    Ok(bytes as f64 / 1e6 / seconds)
}

/// MB/s of TCP over the link as `iperf3` counts them, several streams on one rail: both rails of the lab end in
/// the same cores.
async fn iperf(lab: &Lab) -> Result<f64, Failure> {
    let address = format!("{}.11", NETS[0]);
    lab.must(
        Spark::B,
        &[
            "iperf3",
            "--server",
            "--one-off",
            "--daemon",
            "--bind",
            &address,
        ],
    )
    .await?;
    let client = [
        "iperf3",
        "--client",
        &address,
        "--time",
        "5",
        "--parallel",
        "4",
        "--json",
    ];
    let said = lab.must(Spark::A, &client).await?;
    let said: serde_json::Value = serde_json::from_str(&said)?;
    let bits = said["end"]["sum_received"]["bits_per_second"].as_f64();
    Ok(bits.ok_or("iperf3 said no rate")? / 8e6)
}

/// MB/s of the second machine's disk for as many bytes, written in this way.
async fn dd(lab: &Lab, bytes: u64, way: &str) -> Result<f64, Failure> {
    let file = format!("/home/{USER}/bench-dd");
    let (out, count) = (format!("of={file}"), format!("count={}", bytes >> 20));
    let began = Instant::now();
    lab.must(
        Spark::B,
        &["dd", "if=/dev/zero", &out, "bs=1M", &count, way],
    )
    .await?;
    let seconds = began.elapsed().as_secs_f64();
    lab.must(Spark::B, &["rm", "-f", &file]).await?;
    Ok(bytes as f64 / 1e6 / seconds)
}
