//! The box the lab runs on: its programs, the places the lab keeps things, waiting for a condition.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use crate::error::{Context as _, LabError};

/// What a program printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + n when ended by signal n.
    pub status: i32,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
}

impl Output {
    /// Whether it ended with 0.
    pub fn ok(&self) -> bool {
        self.status == 0
    }
}

/// Runs a program to its end with `input` on stdin; any status is an answer.
pub(crate) async fn ask(argv: &[&str], input: &[u8]) -> Result<Output, LabError> {
    use std::os::unix::process::ExitStatusExt as _;
    let what = || format!("`{}` did not run", argv.join(" "));
    let mut child = tokio::process::Command::new(argv[0])
        .args(&argv[1..])
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context(what)?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A program that does not read its input closes the pipe, which is its own affair.
    let feed = async {
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let ((), done) = tokio::join!(feed, child.wait_with_output());
    let done = done.context(what)?;
    Ok(Output {
        status: done
            .status
            .code()
            .unwrap_or_else(|| 128 + done.status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// Runs a program that has to succeed and gives back its stdout.
pub(crate) async fn run(argv: &[&str]) -> Result<String, LabError> {
    let output = ask(argv, b"").await?;
    if output.ok() {
        return Ok(output.stdout);
    }
    Err(LabError::new(
        format!("`{}` ended with {}", argv.join(" "), output.status),
        if output.stderr.trim().is_empty() {
            output.stdout
        } else {
            output.stderr
        },
    ))
}

/// Looks at a condition until it holds; `what` names it when it never did.
pub async fn until<T, F>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, LabError>
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        if start.elapsed() > limit {
            return Err(LabError::new(
                format!("waited {} s for {what}", limit.as_secs()),
                "it did not come",
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Where trees, images and the machines' disks are: `$TANDEM_LAB_CACHE` or `/var/cache/tandem-lab`.
/// It has to be on a real disk, since Docker's own layers cannot lie on layers.
pub(crate) fn cache() -> PathBuf {
    std::env::var_os("TANDEM_LAB_CACHE")
        .map_or_else(|| PathBuf::from("/var/cache/tandem-lab"), PathBuf::from)
}

/// What tells this pair of machines from others that run beside it, each in a network of its own
/// (`apart.sh`): `$TANDEM_LAB_PAIR`, nothing for the only pair.
pub(crate) fn pair() -> String {
    std::env::var("TANDEM_LAB_PAIR").map_or_else(|_| String::new(), |pair| format!("-{pair}"))
}

/// Where a running lab keeps its process ids, logs and what it says of the hardware.
pub(crate) fn state() -> PathBuf {
    PathBuf::from("/run/tandem-lab")
}

/// A path as an argument. The lab's own paths are all plain text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the lab's paths are UTF-8")
}

/// What the box lacks for the lab, one sentence each. Empty means that it can start.
pub fn missing() -> Vec<String> {
    let mut list = Vec::new();
    if !cfg!(target_os = "linux") {
        list.push("The lab runs on Linux only.".to_owned());
        return list;
    }
    if !rustix::process::geteuid().is_root() {
        list.push("The lab makes namespaces and mounts, which only root may do.".to_owned());
    }
    for (program, package) in [
        ("debootstrap", "debootstrap"),
        ("docker-registry", "docker-registry"),
        ("ip", "iproute2"),
        ("tc", "iproute2"),
        ("ldd", "libc-bin"),
        ("mkfs.ext4", "e2fsprogs"),
        ("mount", "mount"),
        ("nsenter", "util-linux"),
        ("python3", "python3"),
        ("setsid", "util-linux"),
        ("ssh-keygen", "openssh-client"),
        ("systemd-nspawn", "systemd-container"),
        ("tar", "tar"),
    ] {
        if find(program).is_none() {
            list.push(format!("`{program}` is missing: apt-get install {package}"));
        }
    }
    list
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
