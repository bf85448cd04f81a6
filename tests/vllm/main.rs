//! The whole story once with the real vLLM: over both machines of the lab, TP=2, plain and with MTP.
//!
//! ```text
//! vllm-story image    makes the image and lays it into the lab's registry
//! vllm-story          that, and then the story; prints it
//! vllm-story ways     that, and then only the three ways to MTP, on one machine
//! ```
//!
//! Needs Linux, root and about 9 GB of free memory. What it cannot show: NVFP4, NCCL, RoCE, a Spark's memory.

mod image;
mod model;
mod ways;
mod words;

use std::path::Path;
use std::process::ExitCode;

use tandem_domain::bench::BenchResult;
use tandem_domain::chat::ChatRequest;
use tandem_domain::container::SERVER;
use tandem_domain::procedure::request::SetupRequest;
use tandem_domain::run::RunOutcome;
use tandem_tests::bed::Bed;
use tandem_tests::{Lab, Snapshot, Spark};

#[tokio::main]
async fn main() -> ExitCode {
    let told = match std::env::args().nth(1).as_deref() {
        None => story(true).await,
        Some("image") => just_the_image().await,
        Some("ways") => story(false).await,
        Some(_) => {
            eprintln!("vllm-story [image | ways]");
            return ExitCode::from(2);
        }
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("vllm-story: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn just_the_image() -> Result<(), String> {
    let tree = image::tree()?;
    println!("{}", image::ensure(&tree).await?);
    Ok(())
}

/// `whole` tells the story over both machines too.
async fn story(whole: bool) -> Result<(), String> {
    let tree = image::tree()?;
    let image = image::ensure(&tree).await?;
    let folder = tempfile::tempdir().map_err(|e| format!("no folder: {e}"))?;
    let repos = folder.path().join("repos");
    model::write(&tree, &repos)?;

    let lab = Lab::start().await.map_err(|e| e.to_string())?;
    let hub = lab.hub(&repos).await.map_err(|e| e.to_string())?;
    let before = snapshots(&lab).await?;
    let request = model::request(hub.endpoint(), image);
    let told = if whole {
        over_both(folder.path(), request.clone()).await
    } else {
        Ok(())
    };
    let told = match told {
        Ok(()) => ways::all(folder.path(), request, &tree).await,
        failed => failed,
    };
    let changes = changes(&before, &snapshots(&lab).await?);
    if changes.is_empty() {
        println!("Both machines are as they were.");
        return told;
    }
    // Why it ended comes first: what it left may only follow from that.
    let why = told.err().map_or(String::new(), |why| format!("{why}\n"));
    Err(format!("{why}it left {changes:?}"))
}

/// The set-up over both machines, a chat, and the undoing.
async fn over_both(folder: &Path, request: SetupRequest) -> Result<(), String> {
    let bed = Bed::new(folder, request).await;
    let outcome = bed.go().await;
    println!("{}", words::steps(&bed.events().await));
    if outcome != RunOutcome::Completed {
        println!("{}", bed.told().await);
        for machine in bed.machines() {
            let log = machine.containers.logs(SERVER, 300).await;
            let log = log.unwrap_or_else(|e| vec![format!("no log: {e}")]);
            eprintln!("{} said last:\n{}", machine.name, log.join("\n"));
        }
    }
    let chatted = match outcome {
        RunOutcome::Completed => {
            figures(&bed).await?;
            chat(&bed).await
        }
        other => Err(format!("the run ended {other:?}")),
    };

    // Whatever came of it, the machines get back what they had.
    let undone = bed.undo().await;
    println!("{}", words::undone(&bed.events().await));
    if undone != RunOutcome::Undone {
        return Err(format!("undoing ended {undone:?}"));
    }
    chatted
}

async fn snapshots(lab: &Lab) -> Result<Vec<Snapshot>, String> {
    let mut all = Vec::new();
    for spark in Spark::BOTH {
        all.push(lab.snapshot(spark).await.map_err(|e| e.to_string())?);
    }
    Ok(all)
}

fn changes(before: &[Snapshot], after: &[Snapshot]) -> Vec<String> {
    let pairs = before.iter().zip(after);
    pairs.flat_map(|(b, a)| b.changes(a)).collect()
}

/// Plain against MTP, as the run's own checks measured them.
async fn figures(bed: &Bed) -> Result<(), String> {
    let results = bed.store().await.bench_results().await;
    let mut results: Vec<BenchResult> = results.map_err(|e| e.to_string())?;
    results.sort_by_key(|r| r.at);
    println!("Measured:");
    for result in &results {
        println!("  {}", words::figures(result));
    }
    if let [plain, mtp] = &results[..] {
        let compared = tandem_domain::bench::compare(plain.clone(), mtp.clone());
        println!("  {}", compared.verdict);
    }
    println!();
    Ok(())
}

/// One question to the server with MTP, answered in a stream.
async fn chat(bed: &Bed) -> Result<(), String> {
    let launch = &bed.setup.launch;
    let question = "Who are you?";
    let api = bed.machines()[0].tunnels.api(launch.api_port);
    let (mut thought, mut answer, mut chunks) = (String::new(), String::new(), 0);
    let mut on_delta = |delta: tandem_domain::chat::ChatDelta| {
        thought.push_str(&delta.reasoning);
        answer.push_str(&delta.content);
        chunks += 1;
    };
    let ask = ChatRequest::ask(&launch.served_name, question);
    let finish = api.chat(&ask, &mut on_delta).await;
    let finish = finish.map_err(|e| format!("the chat: {e}"))?;
    println!("Asked: {question}");
    println!("  It thought: {}", thought.trim());
    println!("  It answered: {}", answer.trim());
    println!(
        "  {} tokens in {chunks} chunks; it ended with `{}`.\n",
        finish.completion_tokens.unwrap_or_default(),
        finish.reason
    );
    if answer.trim().is_empty() {
        return Err("the answer is empty".to_owned());
    }
    Ok(())
}
