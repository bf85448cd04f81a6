//! Answers of Hubs, played as a file writes them down.
//!
//! A file is exchanges with an empty line between: the request (`HEAD https://mirror.example/o/n/…`), the status,
//! then headers, or the body where the line begins with `{`. `mirror.example` and `hub.example` are two servers;
//! a request without a host is the first one's.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const HOSTS: [&str; 2] = ["https://mirror.example", "https://hub.example"];

#[derive(Clone)]
struct Reply {
    status: String,
    headers: Vec<String>,
    body: String,
}

type Replies = BTreeMap<(usize, String), Reply>;

/// What a server was asked: its request line, and the token that came with it.
pub(crate) type Heard = (usize, String, Option<String>);

/// Two servers that answer as a file says.
pub(crate) struct Played {
    /// Their addresses: the mirror's and the Hub's.
    pub(crate) endpoints: [String; 2],
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Played {
    pub(crate) fn new(script: &str) -> Self {
        let listeners = HOSTS.map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let endpoints = [0, 1].map(|n| {
            let address = listeners[n].local_addr().expect("an address");
            format!("http://{address}")
        });
        let placed = HOSTS
            .iter()
            .zip(&endpoints)
            .fold(script.to_owned(), |text, (host, to)| text.replace(host, to));
        let replies = Arc::new(replies(&placed, &endpoints));
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        for (who, listener) in listeners.into_iter().enumerate() {
            let (replies, heard) = (Arc::clone(&replies), Arc::clone(&heard));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let _ = answer(stream, who, &replies, &heard);
                }
            });
        }
        Self { endpoints, heard }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no thread panics").clone()
    }
}

fn replies(script: &str, endpoints: &[String; 2]) -> Replies {
    let lines: Vec<&str> = script.lines().filter(|l| !l.starts_with("#%")).collect();
    let exchanges = lines
        .split(|l| l.trim().is_empty())
        .filter(|e| !e.is_empty());
    exchanges
        .map(|exchange| {
            let [request, status, rest @ ..] = exchange else {
                panic!("an exchange has a request and a status: {exchange:?}");
            };
            let (method, address) = request.split_once(' ').expect("a method and an address");
            let at = |n: usize| address.strip_prefix(endpoints[n].as_str()).map(|p| (n, p));
            let (who, path) = at(0).or_else(|| at(1)).unwrap_or((0, address));
            let (body, headers): (Vec<&str>, Vec<&str>) =
                rest.iter().partition(|l| l.starts_with('{'));
            let reply = Reply {
                status: (*status).to_owned(),
                headers: headers.into_iter().map(str::to_owned).collect(),
                body: body.concat(),
            };
            ((who, format!("{method} {path}")), reply)
        })
        .collect()
}

fn answer(
    mut stream: TcpStream,
    who: usize,
    replies: &Replies,
    heard: &Mutex<Vec<Heard>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut token = None;
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if line.to_ascii_lowercase().starts_with("authorization:") {
            token = Some(line);
        }
    }
    let asked = request.trim_end_matches(" HTTP/1.1").to_owned();
    heard
        .lock()
        .expect("no thread panics")
        .push((who, asked.clone(), token));
    let none = Reply {
        status: "404".into(),
        headers: vec!["X-Error-Code: RepoNotFound".into()],
        body: String::new(),
    };
    let reply = replies.get(&(who, asked)).unwrap_or(&none);
    let mut text = format!("HTTP/1.1 {} Played\r\n", reply.status);
    for header in &reply.headers {
        text += &format!("{header}\r\n");
    }
    let told = reply.headers.iter();
    if !told
        .clone()
        .any(|h| h.to_ascii_lowercase().starts_with("content-length"))
    {
        text += &format!("Content-Length: {}\r\n", reply.body.len());
    }
    text += "Connection: close\r\n\r\n";
    stream.write_all(text.as_bytes())?;
    stream.write_all(reply.body.as_bytes())
}
