//! A check and a repair as a job of the machine's own, through the ports, on a rehearsed machine with the real
//! node program: found again after the one who began it is gone, stopped there, and forgotten once heard.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_domain::node::disk::{CheckReceipt, CheckRequest};
use tandem_domain::ports::{Clock, MachineServices};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::step::job::check::{self, CheckNews, Kept};
use tandem_rehearsal::checkpoint::{NVFP4_COMMIT, NVFP4_REPO};
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};
use tandem_tests::bed::RealClock;
use tandem_tests::{built, enabled, until};
use tokio_util::sync::CancellationToken;

use crate::link::opened;

const SOON: Duration = Duration::from_secs(60);

/// Listens in a task of its own, as a window does; what it heard is kept beside it.
struct Listener {
    heard: Arc<Mutex<Vec<CheckNews>>>,
    cancel: CancellationToken,
    going: tokio::task::JoinHandle<Result<CheckReceipt, Problem>>,
}

impl Listener {
    fn to(machine: &MachineServices, kept: Kept) -> Self {
        let heard: Arc<Mutex<Vec<CheckNews>>> = Arc::default();
        let cancel = CancellationToken::new();
        let (machine, hears, stop) = (machine.clone(), heard.clone(), cancel.clone());
        let going = tokio::spawn(async move {
            let clock: Arc<dyn Clock> = Arc::new(RealClock::start());
            let mut hear = |news| hears.lock().expect("no listener panics").push(news);
            check::follow(&machine, &kept, &clock, &stop, &mut hear).await
        });
        Self {
            heard,
            cancel,
            going,
        }
    }

    async fn hears(&self, what: &str, wanted: impl Fn(&CheckNews) -> bool) {
        let heard = until(what, SOON, || async {
            let heard = self.heard.lock().expect("no listener panics");
            heard.iter().any(&wanted).then_some(())
        });
        heard.await.expect("it is heard");
    }

    async fn end(self) -> Result<CheckReceipt, Problem> {
        let ended = tokio::time::timeout(SOON, self.going).await;
        ended.expect("it ends").expect("no panic")
    }
}

fn run(node: &Path, home: &Path, words: &[&str], stdin: &serde_json::Value) {
    let mut child = std::process::Command::new(node)
        .args(words)
        .env("HOME", home)
        .env_remove("HF_HOME")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut to = child.stdin.take().expect("stdin");
    to.write_all(stdin.to_string().as_bytes()).expect("asked");
    drop(to);
    assert!(child.wait().expect("it ends").success(), "{words:?}");
}

/// The largest blob of the model in a home.
fn shard(home: &Path) -> PathBuf {
    let model = format!("models--{}", NVFP4_REPO.replace('/', "--"));
    let blobs = home
        .join(".cache/huggingface/hub")
        .join(model)
        .join("blobs");
    let all = std::fs::read_dir(blobs).expect("the blobs").flatten();
    let largest = all.max_by_key(|e| e.metadata().map_or(0, |m| m.len()));
    largest.expect("a blob").path()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_goes_on_while_nobody_listens_and_is_found_stopped_and_forgotten() {
    if !enabled() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let node = built("tandem-node").await.expect("it is built");
    let rehearsal = opened(folder.path()).await;
    let machine = rehearsal.machines().remove(0);
    let home = folder.path().join("spark-a/home");
    let fetch = serde_json::json!({
        "kind": "fetch", "endpoint": rehearsal.hub_endpoint(), "repo": NVFP4_REPO,
        "revision": NVFP4_COMMIT,
    });
    run(&node, &home, &["run", "fetch"], &fetch);
    let good = std::fs::read(shard(&home)).expect("a shard");
    let asked = |repair| CheckRequest {
        endpoint: rehearsal.hub_endpoint(),
        repo: NVFP4_REPO.into(),
        commit: NVFP4_COMMIT.into(),
        files: None,
        hf_home: None,
        deep: true,
        only_copied: false,
        repair,
        online: false,
    };
    let look = || async { check::find(&machine).await.expect("it is looked for") };
    assert_eq!(look().await, None, "there was none");

    // Something to repair that takes its time.
    let mut spoilt = good.clone();
    spoilt[good.len() / 2] ^= 1;
    let blob = shard(&home);
    std::fs::write(&blob, &spoilt).expect("a bit is turned");
    let slow = FaultKind::Slow {
        bytes_per_second: 20_000,
    };
    rehearsal.hub().fault(Fault::new(slow).on(Side::Cdn));
    // No program is installed there, so a copy does the work.
    let begun = check::begin(&machine, &asked(true), None).await;
    let first = Listener::to(&machine, begun.expect("it begins"));
    first
        .hears("how far it is, and how fast", |news| {
            matches!(news, CheckNews::Progress { total: Some(t), rate: Some(r), .. } if *t > 0 && *r > 0.0)
        })
        .await;
    // The laptop is closed.
    first.going.abort();
    let kept = look().await.expect("it goes on");
    assert!(kept.alive, "{kept:?}");
    assert_eq!(kept.request, asked(true));
    let other = check::begin(&machine, &asked(false), None).await;
    assert_eq!(other.expect_err("one at a time").code, Code::Locked);
    let same = check::begin(&machine, &asked(true), None).await;
    assert_eq!(same.expect("the same is found"), kept);

    // Somebody comes back, and stops it: on the machine, where what was fetched stays.
    let second = Listener::to(&machine, kept);
    second
        .hears("it again", |news| {
            matches!(news, CheckNews::Progress { .. })
        })
        .await;
    second.cancel.cancel();
    let stopped = second.end().await.expect_err("it is stopped");
    assert_eq!(stopped.message, "The check was stopped.");
    assert_eq!(look().await, None, "it is forgotten");
    let left = home.join(".local/share/tandem");
    assert!(!left.exists(), "with the copy and its folders");

    // Begun again it goes on to its end, which nobody hears at first.
    rehearsal.hub().faults().clear();
    let begun = check::begin(&machine, &asked(true), None).await;
    begun.expect("it begins");
    let kept = until("it to end unheard", SOON, || async {
        look().await.filter(|kept| !kept.alive)
    });
    let kept = kept.await.expect("it ends");
    let receipt = Listener::to(&machine, kept)
        .end()
        .await
        .expect("it is done");
    assert_eq!(receipt.repaired.len(), 1, "{receipt:?}");
    assert!(receipt.faults.is_empty() && receipt.deep, "{receipt:?}");
    assert!(
        std::fs::read(&blob).expect("the shard") == good,
        "as it was"
    );
    assert_eq!(look().await, None, "it is told once");
    assert!(!left.exists(), "nothing of it is left");

    // Where the program is installed it does the work itself, and stays.
    let installed = left.join("tandem-node");
    std::fs::create_dir_all(&left).expect("a folder");
    std::fs::copy(&node, &installed).expect("it is installed");
    let begun = check::begin(&machine, &asked(false), None).await;
    let receipt = Listener::to(&machine, begun.expect("it begins"))
        .end()
        .await;
    assert!(receipt.expect("it is done").faults.is_empty());
    let names: Vec<_> = std::fs::read_dir(&left)
        .expect("the folder")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(names, ["tandem-node"], "and nothing beside it");
}
