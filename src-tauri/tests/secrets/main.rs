//! Secrets that are used in a whole story are found nowhere but where they belong.
//!
//! The story happens in a process of its own, with a home folder of its own and no keyring: a machine is added by its
//! password over a real SSH connection, sudo asks for it, weights come from a Hub that wants a token, and a rehearsal
//! serves a model behind an API key. This process tells it the secrets over a pipe, watches the arguments of every
//! process meanwhile, and then looks through all files, the database with its log, and all that was said.

mod server;
mod story;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

/// Where the story's process finds its folder.
pub(crate) const FOLDER: &str = "TANDEM_TEST_SECRETS";
/// What it says when all has been used and nothing was cleaned up yet.
pub(crate) const USED: &str = "all secrets have been used";

/// A secret and what it is.
struct Canary {
    what: &'static str,
    text: String,
}

impl Canary {
    fn new(what: &'static str, prefix: &str) -> Self {
        let nonce = uuid::Uuid::new_v4().simple();
        let text = format!("{prefix}{nonce}");
        Self { what, text }
    }

    /// Whether bytes hold it. It is made of letters and digits, which are written alike everywhere.
    fn is_in(&self, bytes: &[u8]) -> bool {
        String::from_utf8_lossy(bytes).contains(&self.text)
    }
}

/// All files below a folder, with their content; what goes while it is read is none.
fn files(root: &Path, each: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        if kind.is_dir() {
            files(&path, each);
        } else if kind.is_file()
            && let Ok(bytes) = std::fs::read(&path)
        {
            each(&path, &bytes);
        }
    }
}

/// The arguments of every process, and the API keys that the environment of some of them holds.
fn processes(each: &mut dyn FnMut(&[u8]), keys: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        if let Ok(arguments) = std::fs::read(path.join("cmdline")) {
            each(&arguments);
        }
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        for variable in environment.split(|b| *b == 0) {
            if let Some(key) = variable.strip_prefix(b"VLLM_API_KEY=") {
                keys.insert(String::from_utf8_lossy(key).into_owned());
            }
        }
    }
}

#[test]
fn a_secret_is_found_nowhere_but_in_its_own_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, data) = (folder.path().join("home"), folder.path().join("data"));
    std::fs::create_dir_all(&home).expect("a home");
    let password = Canary::new("the login's and sudo's password", "pw-");
    let token = Canary::new("the Hub's token", "hf_");
    let shm_before: BTreeSet<PathBuf> = shared_memory();
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "story::told_in_a_process_of_its_own",
            "--nocapture",
        ])
        .env(FOLDER, folder.path())
        .env("HOME", &home)
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
        .env_remove("SSH_AUTH_SOCK")
        .env_remove("HF_HOME")
        .env_remove("HF_TOKEN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    let secrets = json!({"password": password.text, "token": token.text});
    writeln!(stdin, "{secrets}").expect("it reads");

    let canaries = [password, token];
    // Jobs of the rehearsal and of the machine are named so on their command line.
    let control = Canary {
        what: "no secret",
        text: "--job".into(),
    };
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut said = String::new();
    let is_over = AtomicBool::new(false);
    let (mut stdout, mut stderr) = (
        BufReader::new(child.stdout.take().expect("piped")),
        child.stderr.take().expect("piped"),
    );
    let (keys, errors) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut keys, mut seen, mut looks) = (BTreeSet::new(), Vec::new(), 0);
            let mut jobs = 0;
            while !is_over.load(Ordering::Relaxed) {
                let known = seen_keys(&keys);
                processes(
                    &mut |arguments| {
                        // What is no secret is found, so that a secret would be.
                        jobs += u32::from(control.is_in(arguments));
                        for canary in canaries.iter().filter(|c| c.is_in(arguments)) {
                            seen.push(format!("{} in a process' arguments", canary.what));
                        }
                        if known.iter().any(|key| key.is_in(arguments)) {
                            seen.push("the API key in a process' arguments".to_owned());
                        }
                    },
                    &mut keys,
                );
                looks += 1;
                std::thread::sleep(Duration::from_millis(40));
            }
            assert!(
                looks > 20 && jobs > 0,
                "it was watched: {looks} times, {jobs} jobs"
            );
            (keys, seen)
        });
        let errors = scope.spawn(|| {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        loop {
            let mut line = String::new();
            let n = stdout.read_line(&mut line).unwrap_or(0);
            said.push_str(&line);
            if n == 0 || line.trim() == USED {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let (keys, seen) = watch.join().expect("it ends");
        found.extend(seen);
        let all: Vec<Canary> = seen_keys(&keys);
        let database = std::fs::read(data.join("tandem.db")).expect("the database");
        let log = std::fs::read(data.join("tandem.db-wal")).unwrap_or_default();
        let kept = [database, log].concat();
        let user = Canary {
            what: "no secret",
            text: "kim".into(),
        };
        assert!(user.is_in(&kept), "what is kept is found");
        let mut looked = 0;
        for canary in canaries.iter().chain(&all) {
            files(folder.path(), &mut |path, bytes| {
                looked += 1;
                let below = path.strip_prefix(folder.path()).unwrap_or(path);
                if canary.is_in(bytes) && !is_its_place(canary, below) {
                    found.insert(format!("{} in {}", canary.what, below.display()));
                }
            });
            for path in shared_memory().difference(&shm_before) {
                if std::fs::read(path).is_ok_and(|bytes| canary.is_in(&bytes)) {
                    found.insert(format!("{} in {}", canary.what, path.display()));
                }
            }
        }
        assert!(data.join("tandem.db").is_file(), "{said}");
        assert!(
            looked > 100,
            "there was something to look through: {looked}"
        );
        drop(stdin);
        let _ = stdout.read_to_string(&mut said);
        (keys, errors.join().expect("it ends"))
    });
    let status = child.wait().expect("it ended");
    assert!(
        status.success(),
        "the story is told to its end: {said}\n{}",
        end_of(&errors)
    );
    assert!(!keys.is_empty(), "an API key was used");
    assert!(
        errors.contains("TRACE"),
        "everything that could be logged was"
    );
    for canary in canaries.iter().chain(&seen_keys(&keys)) {
        for (where_, text) in [("what the window is told", &said), ("the log", &errors)] {
            if canary.is_in(text.as_bytes()) {
                found.insert(format!("{} in {where_}", canary.what));
            }
        }
    }
    assert_eq!(found, BTreeSet::new());
}

fn seen_keys(keys: &BTreeSet<String>) -> Vec<Canary> {
    let canary = |text: &String| Canary {
        what: "the API key",
        text: text.clone(),
    };
    keys.iter().map(canary).collect()
}

/// Files of the memory that all processes share.
fn shared_memory() -> BTreeSet<PathBuf> {
    let list = std::fs::read_dir("/dev/shm")
        .into_iter()
        .flatten()
        .flatten();
    list.map(|entry| entry.path()).collect()
}

/// The engine keeps what it gives a container; of a rehearsal that is a file beside the machine's home.
fn is_its_place(canary: &Canary, below: &Path) -> bool {
    canary.what == "the API key"
        && below.starts_with("data/rehearsal")
        && !below.components().any(|part| part.as_os_str() == "home")
        && below.extension().is_none_or(|ending| ending != "db")
}

fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
