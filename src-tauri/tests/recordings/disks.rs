//! What is recorded of the disks, and of a revision that is damaged until it is repaired.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tandem::app::App;
use tandem::wire::disk::{CheckTarget, MachineDisk};
use tandem_domain::node::disk::DiskKind;
use tandem_domain::problem::Problem;

/// The disks after the set-up, `serving` and now without a server, and the checks of a revision that is damaged on the second
/// machine, until it is repaired.
pub(crate) async fn disks(
    app: &App,
    folder: &Path,
    serving: Vec<MachineDisk>,
) -> Result<Value, Problem> {
    leave_behind(&folder.join("rehearsal/spark-b/home/.cache/huggingface/hub"));
    let disks = app.disks().await?;
    let second = &disks[1];
    let entries = second.disk.iter().flat_map(|d| &d.entries);
    let revision = entries
        .filter(|e| e.item.kind == DiskKind::Revision)
        .find_map(|e| Some((e.item.name.clone(), e.item.commit.clone()?)));
    let (repo, commit) = revision.expect("the set-up leaves a revision");
    let target = CheckTarget {
        machine: second.machine.clone(),
        repo,
        commit,
    };
    let time = app.check_time(&target).await?;
    let quick = checked(app, &target, false, false).await?;
    let sound = checked(app, &target, true, false).await?;
    spoil(&folder.join("rehearsal/spark-b"));
    let damaged = checked(app, &target, true, false).await?;
    let repaired = checked(app, &target, true, true).await?;
    Ok(json!({
        "serving": serving, "disks": disks, "target": target, "time": time, "quick": quick, "sound": sound,
        "damaged": damaged, "repaired": repaired,
    }))
}

async fn checked(
    app: &App,
    target: &CheckTarget,
    deep: bool,
    repair: bool,
) -> Result<Value, Problem> {
    let mut heard = Vec::new();
    let receipt = app
        .check_revision(target, deep, repair, |event| heard.push(event))
        .await?;
    Ok(json!({"events": heard, "receipt": receipt}))
}

/// What other programs leave in a cache: a download that was broken off, and files that no revision uses.
fn leave_behind(hub: &Path) {
    let names = [
        (
            "stepfun-ai--Step-3.7-Flash",
            format!("{:064x}.incomplete", 7),
        ),
        ("openai--gpt-oss-120b", format!("{:064x}", 9)),
    ];
    for (repo, file) in names {
        let blobs = hub.join(format!("models--{repo}/blobs"));
        std::fs::create_dir_all(&blobs).expect("the cache can be written");
        std::fs::write(blobs.join(file), vec![0; 40_000]).expect("the cache can be written");
    }
}

/// Turns one byte of the largest file of weights.
fn spoil(machine: &Path) {
    let mut largest: Option<(u64, PathBuf)> = None;
    let mut folders = vec![machine.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let meta = entry.metadata().expect("a file of ours");
            if meta.is_dir() {
                folders.push(entry.path());
            } else if meta.is_file()
                && entry.path().components().any(|c| c.as_os_str() == "blobs")
                && largest.as_ref().is_none_or(|(size, _)| meta.len() > *size)
            {
                largest = Some((meta.len(), entry.path()));
            }
        }
    }
    let (size, path) = largest.expect("weights are there");
    let mut bytes = std::fs::read(&path).expect("it can be read");
    bytes[size as usize / 2] ^= 1;
    std::fs::write(&path, bytes).expect("it can be written");
}
