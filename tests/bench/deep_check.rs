//! The deep check of a checkpoint beside `openssl dgst -sha256` over the same files, one process a core, in
//! turns on this box.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use tandem_domain::node::disk::{CheckReceipt, CheckRequest, CheckTime};
use tandem_domain::node::{FetchReceipt, NodeWork};
use tandem_rehearsal::checkpoint::synthetic;
use tandem_tests::Place;
use tokio::process::Command;

use crate::figure::{Figure, fastest};
use crate::job::Job;
use crate::measure::fetch;
use crate::{Bench, Failure};

/// Turns of each. The fastest counts: what else goes on on the box makes a turn slower and none faster.
const TURNS: usize = 9;

/// Compares; the inner error says why there is nothing to compare with.
pub(crate) async fn with_openssl(
    bench: &Bench<'_>,
    program: &Path,
    work: &Path,
) -> Result<Result<Vec<Figure>, String>, Failure> {
    let version = Command::new("openssl").arg("version").output().await;
    let Ok(version) = version else {
        return Ok(Err("there is no `openssl`".into()));
    };
    let place = Place::here(program, &work.join("deep"))?;
    let job = Job::start(&place, "bench-deep", fetch(bench.hub.endpoint())).await?;
    let receipt: FetchReceipt = job.end().await?.receipt()?;
    let files = files(Path::new(&receipt.first.snapshot))?;
    let request = CheckRequest {
        endpoint: bench.hub.endpoint(),
        repo: synthetic::REPO.into(),
        commit: receipt.first.commit.clone(),
        files: None,
        hf_home: None,
        deep: true,
        only_copied: false,
        repair: false,
        online: false,
    };
    let told = place
        .answer(&["check-time"], &serde_json::to_string(&request)?)
        .await?;
    let told: CheckTime = serde_json::from_value(told)?;
    let (mut ours, mut theirs, mut peak) = (Vec::new(), Vec::new(), 0);
    for turn in 0..TURNS {
        // Both find the files in memory: what is compared is hashing, and not twice the same disk.
        warm(&files).await?;
        let name = format!("bench-check-{turn}");
        let check = Job::start(&place, &name, NodeWork::Check(request.clone())).await?;
        let ended = check.end().await?;
        ours.push(ended.took.as_secs_f64());
        peak = peak.max(ended.peak_kib);
        let found: CheckReceipt = ended.receipt()?;
        if !found.faults.is_empty() || !found.deep {
            return Err(format!("the check found {:?}", found.faults).into());
        }
        warm(&files).await?;
        theirs.push(openssl(&files).await?);
    }
    job.undo().await?;
    let speed = |seconds: &[f64]| receipt.bytes() as f64 / 1e6 / fastest(seconds);
    let figure = Figure::ratio(
        "deep_check_vs_openssl",
        "MB/s",
        (
            "tandem-node's deep check, with starting and telling",
            speed(&ours),
        ),
        ("openssl dgst -sha256, one process a core", speed(&theirs)),
    )
    .at_least(0.95)
    .with(json!({
        "tandem_seconds": ours, "openssl_seconds": theirs, "counts": "the fastest of each",
        "openssl": String::from_utf8_lossy(&version.stdout).trim(),
        "cores": told.cores, "told_before": told.seconds, "files": files.len(),
        "place": "this box, in turns, the files in memory before each",
    }));
    let peak = Figure::of("deep_check_peak_mib", peak as f64 / 1024.0, "MiB").at_most(64.0);
    Ok(Ok(vec![figure, peak]))
}

/// The blobs behind a snapshot, each once, the largest first: so neither side waits for one at the end.
fn files(snapshot: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = std::collections::BTreeSet::new();
    let mut folders = vec![snapshot.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = std::fs::canonicalize(path)?;
                files.insert((std::cmp::Reverse(std::fs::metadata(&path)?.size()), path));
            }
        }
    }
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

async fn warm(files: &[PathBuf]) -> Result<(), Failure> {
    let status = Command::new("cat")
        .args(files)
        .stdout(std::process::Stdio::null())
        .status()
        .await?;
    if status.success() {
        Ok(())
    } else {
        Err("the files cannot be read".into())
    }
}

/// Hashes the files and says the seconds.
async fn openssl(files: &[PathBuf]) -> Result<f64, Failure> {
    let cores = std::thread::available_parallelism()?.to_string();
    let began = Instant::now();
    let out = Command::new("sh")
        .args([
            "-c",
            "cores=$1; shift; printf '%s\\0' \"$@\" | xargs -0 -n 1 -P \"$cores\" openssl dgst -sha256",
            "sh",
            &cores,
        ])
        .args(files)
        .output()
        .await?;
    let seconds = began.elapsed().as_secs_f64();
    let lines = String::from_utf8_lossy(&out.stdout).lines().count();
    if out.status.success() && lines == files.len() {
        Ok(seconds)
    } else {
        Err(format!("openssl: {}", String::from_utf8_lossy(&out.stderr)).into())
    }
}
