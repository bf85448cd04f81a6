//! The same checkpoint fetched by `hf download`, in turns with the node program, on this box.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde_json::json;
use tandem_domain::node::FetchReceipt;
use tandem_rehearsal::checkpoint::synthetic;
use tandem_tests::Place;
use tokio::process::Command;

use crate::figure::{Figure, middle};
use crate::job::Job;
use crate::measure::fetch;
use crate::{Bench, Failure};

/// Turns of each. The middle one counts.
const TURNS: usize = 3;

/// Compares; the inner error says why there is nothing to compare with.
pub(crate) async fn with_hf(
    bench: &Bench<'_>,
    program: &Path,
    cache: &Path,
    work: &Path,
) -> Result<Result<Figure, String>, Failure> {
    let bin = match python(&cache.join("python")).await {
        Ok(bin) => bin,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for turn in 0..TURNS {
        let place = Place::here(program, &work.join(format!("turn-{turn}")))?;
        let name = format!("bench-turn-{turn}");
        let job = Job::start(&place, &name, fetch(bench.hub.endpoint())).await?;
        let ended = job.end().await?;
        ours.push(ended.took.as_secs_f64());
        bytes = ended.receipt::<FetchReceipt>()?.bytes();
        job.undo().await?;
        theirs.push(download(bench, &bin, &work.join("hf")).await?);
    }
    let version = Command::new(bin.join("python"))
        .args(["-c", "import huggingface_hub as h; print(h.__version__)"])
        .output()
        .await?;
    let speed = |seconds: &[f64]| bytes as f64 / 1e6 / middle(seconds);
    let figure = Figure::ratio(
        "fetch_vs_hf_download_unlimited",
        "MB/s",
        ("tandem-node fetch, which hashes every byte", speed(&ours)),
        (
            "hf download with Xet off, which hashes none",
            speed(&theirs),
        ),
    )
    .with(json!({
        "tandem_seconds": ours, "hf_seconds": theirs, "counts": "the middle of each",
        "huggingface_hub": String::from_utf8_lossy(&version.stdout).trim(),
        "place": "this box, in turns, the same Hub, the same disk",
    }));
    Ok(Ok(figure))
}

/// Downloads the checkpoint with the command's own settings and says the seconds.
async fn download(bench: &Bench<'_>, bin: &Path, home: &Path) -> Result<f64, Failure> {
    let seconds = ends(hf(bench, &[], bin, home)).await?;
    std::fs::remove_dir_all(home)?;
    Ok(seconds)
}

/// `hf download` of the checkpoint into a home of its own, behind the words of `before`.
pub(crate) fn hf(bench: &Bench<'_>, before: &[&str], bin: &Path, home: &Path) -> Command {
    let hf = bin.join("hf");
    let mut command = match before {
        [program, words @ ..] => {
            let mut command = Command::new(program);
            command.args(words).arg(hf);
            command
        }
        [] => Command::new(hf),
    };
    command
        .args(["download", synthetic::REPO])
        .env("HF_ENDPOINT", bench.hub.endpoint())
        .env("HF_HOME", home)
        .env("HF_HUB_DISABLE_XET", "1")
        .env("HF_HUB_DISABLE_TELEMETRY", "1")
        .env("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        .env_remove("HF_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs it to its good end and says the seconds.
pub(crate) async fn ends(mut hf: Command) -> Result<f64, Failure> {
    let began = Instant::now();
    let out = hf.output().await?;
    if !out.status.success() {
        return Err(format!("hf download: {}", String::from_utf8_lossy(&out.stderr)).into());
    }
    Ok(began.elapsed().as_secs_f64())
}

/// The programs of a Python with `huggingface_hub`, made once.
pub(crate) async fn python(folder: &Path) -> Result<PathBuf, Failure> {
    let bin = folder.join("bin");
    let ready = folder.join("tandem-ready");
    if ready.exists() {
        return Ok(bin);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(folder);
    let mut install = Command::new(bin.join("python"));
    install.args(["-m", "pip", "install", "--quiet", "huggingface_hub"]);
    for command in [&mut make, &mut install] {
        let out = command.output().await?;
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into());
        }
    }
    std::fs::write(ready, "")?;
    Ok(bin)
}
