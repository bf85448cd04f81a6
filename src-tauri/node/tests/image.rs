//! A container image from one machine to the other, by the program itself on this computer's loopback, with
//! two engines that know images as files.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use common::docker::{Engine, engine, id};
use common::relay::{Relay, closed};
use common::{Home, Site, kill, until};
use serde_json::{Value, json};
use tandem_domain::node::{CopyTicket, NodeEvent, Serving};
use tandem_domain::problem::{Code, Problem};

const IMAGE: &str = "a/b:c";
const JOB: &str = "r-image";

/// Two machines, the first with an image of so many bytes.
struct Pair {
    /// Holds the homes.
    _site: Site,
    a: Home,
    b: Home,
    docker: [Arc<Mutex<Engine>>; 2],
    id: String,
}

impl Pair {
    fn new(size: usize) -> Self {
        let site = Site::with(|_| ());
        let (a, b) = (site.home("a"), site.home("b"));
        let docker = [engine(&a), engine(&b)];
        let mut archive: Vec<u8> = (0..size - 1024)
            .map(|i| (i * 31 + (i >> 9)) as u8)
            .collect();
        archive.resize(size, 0);
        let id = id(&archive);
        let mut first = docker[0].lock().unwrap();
        first.images.insert(IMAGE.into(), archive);
        drop(first);
        Self {
            _site: site,
            a,
            b,
            docker,
            id,
        }
    }

    fn save(&self) -> NodeEvent {
        let request = json!({"kind": "save-image", "image": IMAGE, "id": self.id});
        run(&self.a, "save-image", &request)
    }

    fn saved(&self) -> Value {
        match self.save() {
            NodeEvent::Done { result } => result,
            other => panic!("it is saved, but {other:?}"),
        }
    }

    fn serve(&self) -> Serving {
        let words = [
            "copy",
            "serve",
            "--listen",
            "127.0.0.1",
            "--listen",
            "127.0.0.2",
            "--spool",
            JOB,
        ];
        serde_json::from_value(self.a.answer(&words, &json!({}))).unwrap()
    }

    fn request(&self, spooled: &Value, serving: &Serving) -> Value {
        let ticket = CopyTicket::new(serving.clone(), None);
        json!({
            "kind": "load-image", "image": IMAGE, "id": self.id, "spooled": spooled,
            "from": "spark-a", "streams": 2, "token": ticket.seal().reveal(),
        })
    }

    fn load(&self, spooled: &Value, serving: &Serving) -> NodeEvent {
        run(&self.b, "load-image", &self.request(spooled, serving))
    }

    fn has(&self, machine: usize) -> Option<String> {
        let engine = self.docker[machine].lock().unwrap();
        engine.images.get(IMAGE).map(|a| id(a))
    }
}

/// Starts a job and waits for its end.
fn run(home: &Home, kind: &str, request: &Value) -> NodeEvent {
    let before = home.answer(&["start", kind, "--job", JOB], request);
    let after = before["last_seq"].as_u64().unwrap_or_default();
    home.follow(JOB, after).pop().unwrap().event
}

fn problem(end: NodeEvent) -> Problem {
    match end {
        NodeEvent::Failed { problem } => problem,
        other => panic!("it fails, but it ended as {other:?}"),
    }
}

/// The files of the job on a machine, but for its notes.
fn spool(home: &Home) -> Vec<String> {
    let folder = home.path.join(".local/share/tandem/jobs").join(JOB);
    let list = std::fs::read_dir(folder.join("spool"))
        .into_iter()
        .flatten();
    let mut names: Vec<String> = list
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn it_arrives_as_it_was_and_nothing_is_left() {
    let pair = Pair::new(40 << 20);
    let spooled = pair.saved();
    assert_eq!(spooled["bytes"], 40 << 20);
    assert_eq!(pair.saved(), spooled, "it is not saved twice");
    assert_eq!(pair.docker[0].lock().unwrap().saves, 1);
    let serving = pair.serve();
    let NodeEvent::Done { result } = pair.load(&spooled, &serving) else {
        panic!("{:?}", pair.b.follow(JOB, 0));
    };
    assert_eq!(result, json!({"id": pair.id, "copied": 40 << 20}));
    assert_eq!(pair.has(1), Some(pair.id.clone()));
    assert_eq!(spool(&pair.b), [""; 0], "the copy is gone");
    assert_eq!(spool(&pair.a), [spooled["name"].as_str().unwrap()]);
    until("nothing listens", || closed(&serving));
    let secret = std::process::Command::new("grep")
        .args(["-rl", &serving.token])
        .args([&pair.a.path, &pair.b.path])
        .output()
        .unwrap();
    assert!(secret.stdout.is_empty(), "the key is on no disk");
    let undone = pair.a.answer(&["undo", "--job", JOB], &json!({}));
    assert_eq!(undone, json!({"removed": 1, "bytes": 40 << 20, "left": []}));
    pair.b.answer(&["undo", "--job", JOB], &json!({}));
    for home in [&pair.a, &pair.b] {
        let mut left: Vec<String> = home.tree().into_keys().collect();
        left.retain(|l| !".local/share/tandem".starts_with(l.as_str()));
        assert_eq!(left, [""; 0], "undo leaves nothing");
    }
    assert_eq!(pair.has(1), Some(pair.id.clone()), "but the image");
}

#[test]
fn killed_in_the_middle_it_goes_on_from_what_is_there() {
    let size: u64 = 80 << 20;
    let pair = Pair::new(size as usize);
    let spooled = pair.saved();
    let serving = pair.serve();
    let relay = Relay::new(&serving, size / 2, true);
    let request = pair.request(&spooled, &relay.serving);
    pair.b
        .answer(&["start", "load-image", "--job", JOB], &request);
    let half = || relay.passed.load(Ordering::SeqCst) > size / 2;
    until("half of it has come", half);
    kill(pair.b.worker(JOB).unwrap());
    until("the worker is gone", || {
        pair.b.follow(JOB, 0).last().unwrap().event == NodeEvent::Lost
    });
    relay.held.store(false, Ordering::SeqCst);
    let NodeEvent::Done { result } = pair.load(&spooled, &serving) else {
        panic!("{:?}", pair.b.follow(JOB, 0));
    };
    let again = result["copied"].as_u64().unwrap();
    assert!(again < size && again > 0, "{again} of {size} came again");
    assert_eq!(pair.has(1), Some(pair.id.clone()));
    assert_eq!(spool(&pair.b), [""; 0]);
}

#[test]
fn what_docker_does_wrong_is_told_and_nothing_wrong_is_kept() {
    let pair = Pair::new(2 << 20);
    pair.docker[0].lock().unwrap().breaks_off_at = Some(1 << 20);
    let told = problem(pair.save());
    assert_eq!(told.code, Code::ImagePull, "{told}");
    assert!(told.message.contains("whole image"), "{told}");
    pair.docker[0].lock().unwrap().breaks_off_at = None;
    let spooled = pair.saved();
    let serving = pair.serve();

    pair.docker[1].lock().unwrap().complaint = Some("no space left on device".into());
    let told = problem(pair.load(&spooled, &serving));
    assert_eq!(told.code, Code::ImagePull, "{told}");
    assert!(told.cause.unwrap().contains("no space left"));
    assert_eq!(spool(&pair.b), [spooled["name"].as_str().unwrap()]);
    pair.docker[1].lock().unwrap().complaint = None;

    pair.docker[1].lock().unwrap().spoils = true;
    let told = problem(pair.load(&spooled, &serving));
    assert_eq!(told.code, Code::ImageDiffers, "{told}");
    assert_eq!(
        pair.has(1),
        None,
        "another image under the name is taken away"
    );
    pair.docker[1].lock().unwrap().spoils = false;

    // It is whole there, and needs nobody who serves.
    let NodeEvent::Done { result } = pair.load(&spooled, &serving) else {
        panic!("{:?}", pair.b.follow(JOB, 0));
    };
    assert_eq!(result["copied"], 0);
    assert_eq!(pair.has(1), Some(pair.id.clone()));
}

#[test]
fn another_image_a_serving_end_that_is_gone_and_a_silent_docker_are_told() {
    let mut pair = Pair::new(2 << 20);
    let good = std::mem::replace(&mut pair.id, "sha256:other".into());
    assert_eq!(problem(pair.save()).code, Code::ImageDiffers);
    pair.id = good;
    let spooled = pair.saved();
    let gone = {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        Serving {
            addresses: vec![door.local_addr().unwrap().to_string()],
            token: "t".into(),
        }
    };
    let told = problem(pair.load(&spooled, &gone));
    assert_eq!(told.code, Code::LinkFails, "{told}");
    assert!(told.cause.unwrap().contains("spark-a"), "it names the end");

    let mut foreign = pair.docker[1].lock().unwrap();
    foreign.images.insert(IMAGE.into(), vec![1]);
    drop(foreign);
    let told = problem(pair.load(&spooled, &gone));
    assert_eq!(told.code, Code::ImageDiffers, "{told}");
    assert!(pair.has(1).is_some(), "it was there before, and stays");

    std::fs::remove_file(pair.a.docker_socket()).unwrap();
    pair.a.answer(&["undo", "--job", JOB], &json!({}));
    assert_eq!(problem(pair.save()).code, Code::DockerNotRunning);
}
