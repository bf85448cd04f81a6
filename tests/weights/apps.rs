//! Two apps that want the same, and one whose laptop is closed meanwhile.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tandem_domain::node::{JobStanding, NodeEvent, NodeLine};
use tandem_domain::problem::Code;
use tandem_rehearsal::hub::faults::{Fault, FaultKind};
use tandem_tests::{Link, Spark, USER, until};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::scene::{COMMIT, Scene, told};

pub(crate) async fn two_at_once(scene: &Scene) {
    let one = scene.fresh("apps").await;
    let two = scene.fetch(Spark::A, "apps-two", &one.home);
    let link = Link::Management(Spark::A);
    scene.lab.rate(link, Some(160)).await.unwrap();
    let started = one.start().await;
    scene.served_is(scene.total / 8).await;
    let problem = two.failed(&two.start().await).await;
    told(&problem, Code::Locked);
    // The same app started twice finds its own job.
    let again = scene.place(Spark::A);
    let again = again.start(&one.name, one.work.clone(), None).await;
    assert_eq!(again.unwrap().unwrap().state, JobStanding::Running);
    one.done(&started).await;
    scene.lab.rate(link, None).await.unwrap();
    let receipt = two.completes().await;
    assert_eq!(receipt.fetched, 0, "what one brought is the other's too");
    one.each_byte_once(0);
}

/// A follower at the other end of a real SSH session.
struct Watcher {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// A key with which the user may come in, in a folder.
async fn key(scene: &Scene, folder: &Path) -> PathBuf {
    let key = folder.join("key");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.await.unwrap().success());
    let line = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let script = "umask 077; mkdir -p \"$1\"/.ssh; echo \"$2\" >> \"$1\"/.ssh/authorized_keys; \
        chown -R \"$3\": \"$1\"/.ssh";
    let home = format!("/home/{USER}");
    scene
        .sh(Spark::A, script, &[&home, line.trim(), USER])
        .await;
    key
}

impl Watcher {
    fn start(key: &Path, job: &str, after: u64) -> Self {
        let program = format!("/home/{USER}/.local/share/tandem/tandem-node");
        let mut child = Command::new("ssh")
            .args(["-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-i"])
            .arg(key)
            .arg(format!("{USER}@{}", Spark::A.address()))
            .arg(format!("{program} follow --job {job} --after {after}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("ssh is installed");
        let stdout = child.stdout.take().unwrap();
        Self {
            child,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// The next line; `None` when the connection is over.
    async fn hear(&mut self) -> Option<NodeLine> {
        let line = self.lines.next_line().await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

pub(crate) async fn the_laptop_sleeps(scene: &Scene) {
    let job = scene.fresh("asleep").await;
    let folder = tempfile::tempdir().unwrap();
    let key = key(scene, folder.path()).await;
    let link = Link::Management(Spark::A);
    scene.lab.rate(link, Some(100)).await.unwrap();
    // What is signed when the lid closes is of no use any more when the next file is begun.
    scene.fault(Fault::new(FaultKind::SignedFor { seconds: 1 }));
    job.start().await;
    let mut watcher = Watcher::start(&key, &job.name, 0);
    let first = watcher.hear().await.expect("it says something");
    // Asleep: nothing is read any more, and nothing is ended either.
    watcher.send(Signal::STOP);
    let lines = format!("/home/{USER}/.local/share/tandem/jobs/asleep/lines.jsonl");
    until(
        "the job to end by itself",
        Duration::from_secs(60),
        || async {
            let said = scene.sh(Spark::A, "cat \"$1\"", &[&lines]).await;
            said.contains("\"event\":\"done\"").then_some(())
        },
    )
    .await
    .unwrap();
    scene.lab.rate(link, None).await.unwrap();
    assert!(scene.hub.counters().read().expired > 0, "addresses expired");
    // The hours have ended the connection; what was on its way when the lid closed may still be read.
    scene.lab.drop_sessions(Spark::A).await.unwrap();
    watcher.send(Signal::CONT);
    let mut last = first.seq;
    while let Some(line) = watcher.hear().await {
        assert_eq!(line.seq, last + 1, "no line is lost");
        last = line.seq;
    }
    let mut watcher = Watcher::start(&key, &job.name, last);
    let mut end = None;
    while let Some(line) = watcher.hear().await {
        if !line.event.is_last() {
            assert_eq!(line.seq, last + 1, "no line is lost");
            last = line.seq;
        }
        end = Some(line.event);
    }
    assert!(matches!(end, Some(NodeEvent::Done { .. })), "{end:?}");
    job.same_files(COMMIT).await;
    job.each_byte_once(0);
}
