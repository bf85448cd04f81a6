//! The measurement over TCP, by the program itself on this computer's loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tandem_domain::node::{Carried, Listening, Refused};
use tandem_domain::problem::Code;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tandem-node");

struct Serving {
    child: Child,
    lines: BufReader<ChildStdout>,
    at: Listening,
}

fn serve(streams: &str) -> Serving {
    let mut child = Command::new(PROGRAM)
        .args(["bandwidth", "serve", "--listen", "127.0.0.1"])
        .args(["--seconds", "1", "--streams", streams])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("asked for"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    let at = serde_json::from_str(&line).expect("it says where");
    Serving { child, lines, at }
}

fn send(port: u16, token: &str, streams: &str) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(["bandwidth", "send", "--to", &format!("127.0.0.1:{port}")])
        .args(["--seconds", "1", "--streams", streams])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("asked for");
    stdin.write_all(token.as_bytes()).expect("written");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn closed(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_err()
}

impl Serving {
    /// Its last line and whether it ended well.
    fn end(mut self) -> (bool, String) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("text");
        (self.child.wait().expect("it ends").success(), rest)
    }
}

#[test]
fn both_ends_agree_on_what_crossed_and_nothing_listens_then() {
    let serving = serve("3");
    let (port, token) = (serving.at.port, serving.at.token.clone());
    assert!(!format!("{:?}", serving.at).contains(&token));
    let sent = send(port, &format!("{token}\n"), "3");
    assert!(sent.status.success());
    let sent: Carried = serde_json::from_slice(&sent.stdout).expect("one line");
    let (good, line) = serving.end();
    assert!(good);
    let got: Carried = serde_json::from_str(&line).expect("one line");
    assert_eq!(sent.bytes, got.bytes, "what arrived is what counts");
    assert!(sent.bytes > 1 << 20, "{sent:?}");
    assert!((1.0..4.0).contains(&sent.seconds), "{sent:?}");
    let gbps = sent.bytes as f64 * 8.0 / sent.seconds / 1e9;
    assert!((sent.gbps - gbps).abs() < 1e-6);
    assert!(closed(port));
}

#[test]
fn a_stranger_is_not_let_in_and_does_not_spoil_it() {
    let serving = serve("2");
    let (port, token) = (serving.at.port, serving.at.token.clone());
    let silent = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let refused = send(port, &"0".repeat(token.len()), "2");
    assert!(!refused.status.success());
    let words: Refused = serde_json::from_slice(&refused.stdout).expect("one line");
    assert_eq!(words.problem.code, Code::LinkFails);
    assert!(send(port, &token, "2").status.success());
    drop(silent);
    assert!(serving.end().0);
    assert!(closed(port));
}

#[test]
fn a_sender_that_goes_silent_ends_the_listener() {
    let mut serving = serve("1");
    let mut stream = TcpStream::connect(("127.0.0.1", serving.at.port)).expect("it listens");
    stream
        .write_all(serving.at.token.as_bytes())
        .expect("written");
    let mut go = [0u8; 3];
    stream.read_exact(&mut go).expect("let in");
    assert!(closed(serving.at.port), "the one sender is there");
    // The link goes silent: nothing is sent and nothing is closed.
    let began = Instant::now();
    let status = serving.child.wait().expect("it ends");
    assert!(!status.success());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_listener_nobody_comes_to_ends_by_itself() {
    let mut serving = serve("1");
    // As when the connection that started it is cut: nobody reads what it says.
    drop(serving.lines);
    let began = Instant::now();
    let status = serving.child.wait().expect("it ends");
    assert!(!status.success());
    assert!(began.elapsed() < Duration::from_secs(40));
    assert!(closed(serving.at.port));
}

#[test]
fn only_a_private_address_and_a_sane_extent_are_taken() {
    for arguments in [
        ["--listen", "0.0.0.0", "--seconds", "1"],
        ["--listen", "8.8.8.8", "--seconds", "1"],
        ["--listen", "127.0.0.1", "--seconds", "0"],
        ["--listen", "127.0.0.1", "--streams", "999"],
    ] {
        let said = Command::new(PROGRAM)
            .args(["bandwidth", "serve"])
            .args(arguments)
            .output()
            .expect("it runs");
        assert!(!said.status.success(), "{arguments:?}");
        let words: Refused = serde_json::from_slice(&said.stdout).expect("one line");
        assert_eq!(words.problem.code, Code::BadInput, "{arguments:?}");
    }
}

#[test]
fn silent_strangers_hold_up_nobody() {
    let serving = serve("2");
    let (port, token) = (serving.at.port, serving.at.token.clone());
    // More than there are places for, and more seconds of silence than a sender is waited for.
    let silent: Vec<TcpStream> = (0..90)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it listens"))
        .collect();
    let began = Instant::now();
    assert!(send(port, &token, "2").status.success());
    assert!(began.elapsed() < Duration::from_secs(8), "{began:?}");
    assert!(serving.end().0);
    drop(silent);
}
