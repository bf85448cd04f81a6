//! A listener on the private link, seen from another network: three network namespaces, which only root makes.
//!
//! A Spark has a rail, with the other machine at its end, and a port in the LAN, with a stranger on it who has
//! been given a route to the rail's subnet by way of the Spark. Linux would let that stranger in.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tandem_domain::node::{Listening, Serving};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tandem-node");
const RAIL: &str = "192.168.100.10";

/// The three namespaces; they go when this is dropped.
struct Networks {
    spark: String,
    other: String,
    stranger: String,
}

fn ip(words: &str) -> bool {
    let status = Command::new("ip")
        .args(words.split(' '))
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|s| s.success())
}

impl Networks {
    /// `None` where none can be made.
    fn make(of: &str) -> Option<Self> {
        let id = std::process::id();
        let name = |role: &str| format!("rails-{of}-{role}-{id}");
        let all = Self {
            spark: name("spark"),
            other: name("other"),
            stranger: name("stranger"),
        };
        if !ip(&format!("netns add {}", all.spark)) {
            eprintln!("Network namespaces are not to be had here, so this is not tested.");
            return None;
        }
        let (spark, other, stranger) = (&all.spark, &all.other, &all.stranger);
        for words in [
            format!("netns add {other}"),
            format!("netns add {stranger}"),
            format!("link add rail netns {spark} type veth peer name rail netns {other}"),
            format!("link add lan netns {spark} type veth peer name lan netns {stranger}"),
            format!("-n {spark} addr add {RAIL}/24 dev rail"),
            format!("-n {other} addr add 192.168.100.11/24 dev rail"),
            format!("-n {spark} addr add 192.168.1.20/24 dev lan"),
            format!("-n {stranger} addr add 192.168.1.66/24 dev lan"),
        ] {
            assert!(ip(&words), "ip {words}");
        }
        for namespace in [spark, other, stranger] {
            for device in ["lo", "rail", "lan"] {
                ip(&format!("-n {namespace} link set {device} up"));
            }
        }
        let route = format!("-n {stranger} route add 192.168.100.0/24 via 192.168.1.20");
        assert!(ip(&route));
        Some(all)
    }

    fn inside(&self, namespace: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    /// Whether somebody in this namespace is let in by what listens there, to say something and be heard.
    fn connects(&self, from: &str, at: &str) -> bool {
        const TALK: &str = "import socket, sys\n\
            host, port = sys.argv[1].split(':')\n\
            s = socket.create_connection((host, int(port)), 2)\n\
            s.settimeout(1)\n\
            try:\n    sys.exit(0 if s.recv(1) else 1)\n\
            except socket.timeout:\n    sys.exit(0)\n";
        let talk = self
            .inside(from, "python3")
            .args(["-c", TALK, at])
            .stderr(Stdio::null())
            .status();
        talk.expect("Python runs").success()
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for namespace in [&self.spark, &self.other, &self.stranger] {
            ip(&format!("netns del {namespace}"));
        }
    }
}

/// A program of the Spark's, ended with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let out = child.stdout.take().expect("asked for");
    BufReader::new(out).read_line(&mut line).expect("a line");
    line
}

#[test]
fn the_copy_is_served_to_the_rail_and_to_no_other_network() {
    let Some(networks) = Networks::make("copy") else {
        return;
    };
    let home = tempfile::tempdir().expect("a folder");
    let mut child = networks
        .inside(&networks.spark, PROGRAM)
        .args(["copy", "serving", "--listen", RAIL, "--repo", "o/n"])
        .args(["--hf-home", home.path().to_str().expect("text")])
        .env("HOME", home.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let line = first_line(&mut child);
    let _ending = Ending(child);
    let serving: Serving = serde_json::from_str(&line).expect("it says where");
    let at = &serving.addresses[0];
    assert!(networks.connects(&networks.other, at), "over the rail");
    assert!(!networks.connects(&networks.stranger, at), "over the LAN");
}

#[test]
fn the_bandwidth_is_measured_over_the_rail_and_by_no_other_network() {
    let Some(networks) = Networks::make("tcp") else {
        return;
    };
    let mut child = networks
        .inside(&networks.spark, PROGRAM)
        .args(["bandwidth", "serve", "--listen", RAIL])
        .args(["--seconds", "1", "--streams", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let line = first_line(&mut child);
    let _ending = Ending(child);
    let listening: Listening = serde_json::from_str(&line).expect("it says where");
    let at = format!("{RAIL}:{}", listening.port);
    assert!(!networks.connects(&networks.stranger, &at), "over the LAN");
    let mut sending = networks
        .inside(&networks.other, PROGRAM)
        .args(["bandwidth", "send", "--to", &at])
        .args(["--seconds", "1", "--streams", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = sending.stdin.take().expect("asked for");
    stdin
        .write_all(listening.token.as_bytes())
        .expect("written");
    drop(stdin);
    let mut sent = Ending(sending);
    let began = std::time::Instant::now();
    let status = loop {
        if let Some(status) = sent.0.try_wait().expect("it is ours") {
            break status;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it ends");
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut said = String::new();
    let out = sent.0.stdout.as_mut().expect("asked for");
    out.read_to_string(&mut said).expect("text");
    assert!(status.success(), "over the rail: {said}");
}
