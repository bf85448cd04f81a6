//! `bench`: what the node program needs of line and memory, on a synthetic checkpoint of some size.
//!
//! Prints one line a figure, `bench NAME VALUE UNIT`, and writes them with their circumstances to
//! `test-artifacts/bench.json`. It fails when a figure misses its target. With `TANDEM_LAB=1` the
//! program runs on a machine of the lab, else beside this one; `TANDEM_BENCH_GB` sets the size. Names of
//! groups as arguments (`node`, `hf`, `check`, `line`, `copy`, `chat`) choose what is measured; without any it is all.

mod chat;
mod circumstances;
mod compare;
mod copy;
mod deep_check;
mod figure;
mod job;
mod line;
mod measure;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use tandem_rehearsal::checkpoint::synthetic::{self, Synthetic};
use tandem_rehearsal::hub::{Hub, HubConfig};
pub(crate) use tandem_tests::Failure;
use tandem_tests::{Lab, Place, Spark};

use figure::Figure;

/// Gigabytes of the checkpoint where nothing else is asked for.
///
/// An index, two headers and a config, some 130 kB whatever the size, come along with the MTP tensors
/// (4.86 GB in the real release). Below about 3.3 GB of checkpoint they weigh more than the thousandth
/// that is allowed, which says something of the stand-in's size and nothing of the graft.
const SIZE: f64 = 4.0;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            for sentence in missed {
                eprintln!("bench: {sentence}");
            }
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What is measured and against what.
pub(crate) struct Bench<'a> {
    /// Where the program runs.
    pub(crate) place: Place<'a>,
    /// Where its checkpoint comes from.
    pub(crate) hub: Arc<Hub>,
    /// The checkpoint.
    pub(crate) made: Synthetic,
}

/// What can be measured alone.
const GROUPS: [&str; 6] = ["node", "hf", "check", "line", "copy", "chat"];

/// The groups that were asked for.
fn groups() -> Result<BTreeSet<String>, Failure> {
    let asked: BTreeSet<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|a| !GROUPS.contains(&a.as_str())) {
        return Err(format!("{unknown} is none of {}", GROUPS.join(", ")).into());
    }
    if asked.is_empty() {
        return Ok(GROUPS.map(str::to_owned).into());
    }
    Ok(asked)
}

async fn run() -> Result<Vec<String>, Failure> {
    let groups = groups()?;
    let gb = match std::env::var("TANDEM_BENCH_GB") {
        Ok(text) => text
            .parse()
            .map_err(|e| format!("TANDEM_BENCH_GB={text}: {e}"))?,
        Err(_) => SIZE,
    };
    let target = target()?;
    let program = program(&target)?;
    let mut facts = circumstances::gather(&program)?;
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    // Kept for the next time: writing it takes longer than fetching it.
    let repos = folder.join(format!("repos-{gb}"));
    let write = {
        let repos = repos.clone();
        move || synthetic::write_synthetic(&repos, (gb * 1e9) as u64)
    };
    let made = tokio::task::spawn_blocking(write).await??;
    let work = tempfile::tempdir_in(&folder)?;

    let on_lab = std::env::var_os("TANDEM_LAB").is_some_and(|v| v == "1");
    let lab = if on_lab {
        Some(Lab::start().await?)
    } else {
        None
    };
    let (place, hub) = match &lab {
        Some(lab) => (
            Place::lab(lab, Spark::A, &program).await?,
            lab.hub(&repos).await?,
        ),
        None => {
            let config = HubConfig {
                bind: "127.0.0.1:0".parse()?,
                cdn: None,
                repos,
            };
            (
                Place::here(&program, work.path())?,
                Hub::start(config).await?,
            )
        }
    };
    let bench = Bench {
        place,
        hub: Arc::new(hub),
        made,
    };
    let mut figures = Vec::new();
    // What breaks late must not cost the figures that are there; it is a failure all the same.
    let mut broken = Vec::new();
    if groups.contains("node") {
        figures.extend(measure::all(&bench, lab.as_ref()).await?);
    }
    if groups.contains("hf") {
        match compare::with_hf(&bench, &program, &folder, work.path()).await? {
            Ok(figure) => figures.push(figure),
            Err(why) => eprintln!("bench: fetch_vs_hf_download_unlimited was not measured: {why}"),
        }
        match line::hf_killed(&bench, &folder, work.path()).await? {
            Ok(figure) => figures.push(figure),
            Err(why) => eprintln!("bench: hf_refetched_after_kill was not measured: {why}"),
        }
    }
    if groups.contains("check") {
        match deep_check::with_openssl(&bench, &program, work.path()).await? {
            Ok(measured) => figures.extend(measured),
            Err(why) => eprintln!("bench: deep_check_vs_openssl was not measured: {why}"),
        }
    }
    match &lab {
        Some(lab) => {
            if groups.contains("line") {
                match line::all(&bench, lab, &folder, work.path()).await {
                    Ok(measured) => figures.extend(measured),
                    Err(why) => broken.push(format!("fetch_vs_line was not measured: {why}")),
                }
            }
            if groups.contains("copy") {
                let second = Place::lab(lab, Spark::B, &program).await?;
                match copy::all(&bench, lab, &second).await {
                    Ok(measured) => figures.extend(measured),
                    Err(why) => broken.push(format!("copy_vs_rsync_ssh was not measured: {why}")),
                }
            }
        }
        None => eprintln!("bench: line and copy were not measured: they need the lab"),
    }

    if groups.contains("chat") {
        figures.push(chat::search().await?);
    }

    let version = bench.place.version().await?;
    for (name, value) in [
        ("checkpoint_bytes", json!(made.bytes)),
        ("mtp_bytes", json!(made.mtp_bytes)),
        ("place", json!(bench.place.words())),
        ("node_version", json!(version)),
    ] {
        facts[name] = value;
    }
    broken.extend(report(
        &figures,
        &json!({"circumstances": facts, "figures": figures}),
    )?);
    Ok(broken)
}

/// Prints and keeps the figures; gives back a sentence for each target that was missed.
fn report(figures: &[Figure], all: &serde_json::Value) -> Result<Vec<String>, Failure> {
    for figure in figures {
        println!("{}", figure.line());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../test-artifacts");
    std::fs::create_dir_all(&folder)?;
    let text = serde_json::to_string_pretty(all)? + "\n";
    std::fs::write(folder.join("bench.json"), text)?;
    Ok(figures.iter().filter_map(Figure::missed).collect())
}

/// Cargo's target folder, where this program lies in `debug` or `release`.
fn target() -> Result<PathBuf, Failure> {
    let exe = std::env::current_exe()?;
    let folder = exe.ancestors().nth(2);
    Ok(folder.ok_or("this program lies nowhere")?.to_owned())
}

/// The node program's release build, else what there is.
fn program(target: &Path) -> Result<PathBuf, Failure> {
    let release = target
        .join("node")
        .join(std::env::consts::ARCH)
        .join("tandem-node");
    [release, target.join("debug/tandem-node")]
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| "tandem-node is not built: src-tauri/node/build.sh builds it".into())
}
