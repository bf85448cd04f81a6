//! The stand-in in the place of `python3`: two ranks of Tandem's all-reduce, and nothing else.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tandem_domain::network::verdict::all_reduce::{AllReduce, AllReduceLog, Backend};
use tandem_domain::step::all_reduce::PROGRAM as ALL_REDUCE;

/// The stand-in under the name that an image has it by.
fn python(folder: &Path) -> PathBuf {
    let python = folder.join("python3");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_tandem-standin"), &python).expect("linked");
    python
}

fn rank(python: &Path, rank: u32, port: u16, meet: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-c", ALL_REDUCE, "--node-rank", &rank.to_string()]);
    command.args(["--nnodes", "2", "--master-addr", "127.0.0.1"]);
    command.args(["--master-port", &port.to_string(), "--seconds", "1"]);
    command.args(["--meet-seconds", meet, "--limit-seconds", "60"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn free_port() -> u16 {
    let bound = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    bound.local_addr().expect("an address").port()
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn two_ranks_add_up_what_both_have_and_say_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let (python, port) = (python(folder.path()), free_port());
    // As the step starts them: the second rank first.
    let second = rank(&python, 1, port, "30").spawn().expect("it starts");
    let first = rank(&python, 0, port, "30").output().expect("it starts");
    let second = second.wait_with_output().expect("it ends");
    assert!(
        first.status.success() && second.status.success(),
        "{first:?}"
    );
    let read = AllReduce::of(&[lines(&first), lines(&second)]).expect("both came to the end");
    assert!(read.stand_in && read.backend == Backend::Gloo);
    assert_eq!((read.sizes.len(), read.wrong()), (3, 0));
    assert!(read.gbps().is_some_and(|gbps| gbps > 0.0));
}

#[test]
fn a_rank_alone_says_how_far_it_came_and_another_program_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let python = python(folder.path());
    let alone = rank(&python, 1, free_port(), "0.2")
        .output()
        .expect("it starts");
    assert!(!alone.status.success());
    let (log, words) = (lines(&alone), String::from_utf8_lossy(&alone.stderr));
    let read = AllReduceLog::of(log.iter().map(String::as_str));
    assert!(read.started.is_some() && !read.met, "{log:?}");
    assert!(words.contains("client socket has timed out"), "{words}");
    let other = Command::new(&python).args(["-c", "print(1)"]).output();
    let other = other.expect("it starts");
    assert_eq!(other.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&other.stderr).contains("no Python"));
}
