//! A Hub with the three checkpoints, homes to fetch into, and the program itself.

#![allow(dead_code, unreachable_pub)] // each test file uses a part

pub mod docker;
pub mod relay;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_domain::node::{NodeEvent, NodeLine};
use tandem_rehearsal::checkpoint;
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};
use tandem_rehearsal::hub::{Hub, HubConfig};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tandem-node");

/// Repositories on disk, made once for a test file's run.
pub struct Site {
    pub dir: tempfile::TempDir,
    pub hub: Hub,
    runtime: tokio::runtime::Runtime,
}

impl Site {
    pub fn new() -> Self {
        Self::with(|repos| checkpoint::write_all(repos).expect("the checkpoints can be written"))
    }

    pub fn with(write: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let repos = dir.path().join("repos");
        write(&repos);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let hub = runtime
            .block_on(Hub::start(HubConfig {
                bind: "127.0.0.1:0".parse().expect("an address"),
                cdn: None,
                repos,
            }))
            .expect("the Hub starts");
        Self { dir, hub, runtime }
    }

    /// Lets the Hub offer the large files of a repository as chunks too.
    pub fn offer_xet(&self, repo: &str) {
        let store = self.dir.path().join("xet-store");
        self.runtime
            .block_on(self.hub.offer_xet(repo, "main", &store))
            .expect("the files can be cut into chunks");
    }

    /// A user's home folder.
    pub fn home(&self, name: &str) -> Home {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).expect("a home folder");
        Home {
            path,
            endpoint: self.hub.endpoint(),
        }
    }
}

pub struct Home {
    pub path: PathBuf,
    pub endpoint: String,
}

impl Home {
    pub fn hf(&self) -> PathBuf {
        self.path.join(".cache/huggingface")
    }

    /// Where this machine's Docker would listen; outside of what a job may touch.
    pub fn docker_socket(&self) -> PathBuf {
        self.path.with_extension("sock")
    }

    /// Undoes a job, which must leave the home as it was.
    pub fn undone_to(&self, job: &str, before: &BTreeMap<String, String>) {
        let undone = self.answer(&["undo", "--job", job], &json!({}));
        assert_eq!(undone["left"], json!([]));
        let mut after = self.tree();
        // Where the app keeps the program is not the job's.
        after.retain(|name, _| !name.starts_with(".local"));
        assert_eq!(after, *before, "as if nothing had been");
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .env("HOME", &self.path)
            .env("TANDEM_DOCKER_SOCKET", self.docker_socket())
            .env_remove("HF_HOME")
            .env_remove("HF_HUB_CACHE")
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_RUNTIME_DIR");
        command
    }

    pub fn ask(&self, arguments: &[&str], stdin: &Value) -> Output {
        let mut child = self
            .command()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let _ = child
            .stdin
            .take()
            .expect("stdin")
            .write_all(stdin.to_string().as_bytes());
        child.wait_with_output().expect("the program ends")
    }

    /// The one line of an answer.
    pub fn answer(&self, arguments: &[&str], stdin: &Value) -> Value {
        let out = self.ask(arguments, stdin);
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| {
            panic!(
                "{arguments:?} gave no line ({e}): {}{}",
                String::from_utf8_lossy(&out.stdout),
                String::from_utf8_lossy(&out.stderr)
            )
        })
    }

    /// All lines of a job in the foreground.
    pub fn run(&self, kind: &str, request: &Value) -> Vec<NodeLine> {
        lines(&self.ask(&["run", kind], request).stdout)
    }

    /// The receipt of a job in the foreground.
    pub fn done(&self, kind: &str, request: &Value) -> Value {
        let lines = self.run(kind, request);
        match lines.last().map(|l| l.event.clone()) {
            Some(NodeEvent::Done { result }) => result,
            other => panic!("{kind} is done, but it ended as {other:?}"),
        }
    }

    /// The problem of a job that fails.
    pub fn refused(&self, kind: &str, request: &Value) -> tandem_domain::problem::Problem {
        match self.run(kind, request).last().map(|l| l.event.clone()) {
            Some(NodeEvent::Failed { problem }) => problem,
            other => panic!("{kind} fails, but it ended as {other:?}"),
        }
    }

    pub fn follow(&self, job: &str, after: u64) -> Vec<NodeLine> {
        let after = after.to_string();
        let out = self.ask(&["follow", "--job", job, "--after", &after], &json!({}));
        lines(&out.stdout)
    }

    pub fn fetch(&self, repo: &str, revision: &str) -> Value {
        json!({"kind": "fetch", "endpoint": self.endpoint, "repo": repo, "revision": revision})
    }

    pub fn graft(&self, commit: &str) -> Value {
        json!({
            "kind": "graft", "endpoint": self.endpoint, "repo": checkpoint::NVFP4_REPO,
            "commit": commit, "source_repo": checkpoint::BF16_REPO, "source_revision": "main",
        })
    }

    pub fn verify(&self, repo: &str, commit: &str, deep: bool) -> Value {
        json!({
            "kind": "check", "endpoint": self.endpoint, "repo": repo, "commit": commit, "deep": deep, "online": true,
        })
    }

    /// The process that works on a job.
    pub fn worker(&self, job: &str) -> Option<i32> {
        let path = self
            .path
            .join(".local/share/tandem/jobs")
            .join(job)
            .join("worker.json");
        let value: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        value["pid"].as_i64().map(|p| p as i32)
    }

    /// Everything below the home: path, kind and content's hash or link target.
    pub fn tree(&self) -> BTreeMap<String, String> {
        tree(&self.path)
    }
}

pub fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path
                .strip_prefix(root)
                .expect("below the root")
                .to_string_lossy()
                .into_owned();
            let kind = entry.file_type().expect("a kind");
            let what = if kind.is_dir() {
                folders.push(path);
                "folder".to_owned()
            } else if kind.is_symlink() {
                format!(
                    "-> {}",
                    std::fs::read_link(&path).expect("a target").display()
                )
            } else {
                tandem_node::digest::sha256(&std::fs::read(&path).expect("a file"))
            };
            out.insert(name, what);
        }
    }
    out
}

pub fn lines(stdout: &[u8]) -> Vec<NodeLine> {
    let lines: Vec<NodeLine> = stdout
        .lines()
        .map(|l| serde_json::from_str(&l.expect("text")).expect("a line of the conversation"))
        .collect();
    lines
}

pub const MIXED: &str = "o/mixed";

/// Writes a repository of large files of this size each. Every file is one half noise that cannot be packed,
/// one quarter numbers that can, and one quarter the first file's first quarter once more.
pub fn write_mixed(repos: &Path, files: usize, size: usize) {
    let commit = "c".repeat(40);
    let folder = repos.join(MIXED).join(&commit);
    std::fs::create_dir_all(&folder).expect("a repository");
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |n: usize| -> Vec<u8> {
        let mut out = Vec::with_capacity(n);
        while out.len() < n {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            out.extend_from_slice(&x.to_le_bytes());
        }
        out
    };
    let mut again = Vec::new();
    for number in 0..files {
        let len = size - 128;
        let head =
            json!({"noise": {"dtype": "U8", "shape": [len], "data_offsets": [0, len]}}).to_string();
        let mut bytes = 120_u64.to_le_bytes().to_vec();
        bytes.extend(format!("{head:<120}").into_bytes());
        bytes.extend(noise(size / 2 - 128));
        if number == 0 {
            again = bytes[..size / 4].to_vec();
        }
        let first = number as u32 * 1_000_003;
        bytes.extend((first..).flat_map(|n| (n / 3).to_le_bytes()).take(size / 4));
        bytes.extend_from_slice(&again);
        let name = format!("model-{number}.safetensors");
        std::fs::write(folder.join(name), &bytes).expect("a file");
    }
    std::fs::write(folder.join("config.json"), "{}").expect("a file");
    let refs = repos.join(MIXED).join("refs");
    std::fs::create_dir_all(&refs).expect("a folder");
    std::fs::write(refs.join("main"), &commit).expect("a branch");
}

/// Waits until a condition holds, for at most a minute.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "within a minute {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn kill(pid: i32) {
    let status = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .expect("kill");
    assert!(status.success(), "{pid} can be killed");
}

/// What a killed worker may lose: of each of a graft's connections a buffer that was not full, and what the
/// sockets held of a Hub that gives slowly.
const HELD: u64 = 2 << 20;

/// A graft whose worker is killed when three quarters of its tensors have been given out, and that goes on
/// from there without fetching again what it had. `tensors` are their bytes, or a few less. Gives back the
/// receipt.
pub fn killed_and_gone_on(site: &Site, home: &Home, request: &Value, tensors: u64) -> Value {
    let given = || site.hub.counters().read().cdn_bytes;
    site.hub.counters().reset();
    let slow = FaultKind::Slow {
        bytes_per_second: 2 << 20,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    home.answer(&["start", "graft", "--job", "k"], request);
    let due = tensors / 4 * 3;
    assert!(due > 2 * HELD, "to begin anew would be seen: {due}");
    until("most of it has arrived", || given() > due);
    kill(home.worker("k").expect("somebody works on it"));
    let last = home.follow("k", 0).pop().expect("a last line");
    assert_eq!(last.event, NodeEvent::Lost);
    site.hub.faults().clear();
    let started = home.answer(&["start", "graft", "--job", "k"], request);
    let after = started["last_seq"].as_u64().expect("where it was");
    let result = match home.follow("k", after).pop().map(|l| l.event) {
        Some(NodeEvent::Done { result }) => result,
        other => panic!("it goes on to its end, but it ended as {other:?}"),
    };
    let tensors = result["tensor_bytes"].as_u64().expect("their bytes");
    let given = given();
    println!("graft: {given} bytes for {tensors} in two starts");
    assert!(
        given < tensors + HELD,
        "what it had came again: {given} for {tensors}"
    );
    result
}

pub fn spawn_follow(home: &Home, job: &str) -> (Child, impl Iterator<Item = NodeLine>) {
    let mut child = home
        .command()
        .args(["follow", "--job", job])
        .stdout(Stdio::piped())
        .spawn()
        .expect("follow starts");
    let out = BufReader::new(child.stdout.take().expect("stdout"));
    let lines = out
        .lines()
        .map(|l| serde_json::from_str(&l.expect("text")).expect("a line"));
    (child, lines)
}
