//! The window's tests play what the product does: `ui/src/host/recorded` holds what the rehearsal answered.
//! `make recordings` writes it again; without that, what is there is compared with what the rehearsal says today.

mod disks;
mod imports;
mod layout;
mod link_states;
mod neighbours;
mod normal;
mod problems;
mod scenes;
mod stable;
mod used;
mod watched;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where the recordings lie, from this package's folder.
const FOLDER: &str = "../ui/src/host/recorded";

/// Asks for recordings; what did not change stays as it is.
const WRITE: &str = "TANDEM_RECORD";

/// How many times faster than two Sparks the stand-in server answers, by [its own variable](tandem_rehearsal::standin).
const PACE: &str = "TANDEM_STANDIN_PACE";

#[tokio::test(flavor = "multi_thread")]
async fn the_committed_recordings_are_what_the_rehearsal_says_today() {
    let set = |name: &str| std::env::var_os(name).is_some();
    // The figures that are written down are those of two Sparks; no figure is compared, so that may go faster.
    if set(WRITE) || set(PACE) {
        return record(set(WRITE)).await;
    }
    let this = std::env::current_exe().expect("this test is a program");
    let name = "the_committed_recordings_are_what_the_rehearsal_says_today";
    let mut faster = tokio::process::Command::new(this);
    faster.args(["--exact", name, "--nocapture"]).env(PACE, "8");
    let ended = faster.kill_on_drop(true).output().await;
    let ended = ended.expect("this test can be started again");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
}

async fn record(write: bool) {
    let mut stale = Vec::new();
    for (name, fresh) in scenes::record().await {
        let path = Path::new(FOLDER).join(format!("{name}.json"));
        let Some(difference) = difference(&path, &fresh) else {
            continue;
        };
        if write {
            std::fs::write(&path, layout::text(&fresh)).expect("the recording can be written");
        } else {
            stale.push(format!("{}: {difference}", path.display()));
        }
    }
    assert!(
        stale.is_empty(),
        "recordings are stale; run `make recordings`:\n{}",
        stale.join("\n")
    );
}

fn difference(committed: &PathBuf, fresh: &Value) -> Option<String> {
    let committed = std::fs::read(committed).ok();
    let committed: Option<Value> = committed.and_then(|t| serde_json::from_slice(&t).ok());
    match &committed {
        Some(committed) => stable::difference(committed, fresh),
        None => Some("it is not there".to_owned()),
    }
}
