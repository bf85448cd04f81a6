//! A Docker engine that knows images as files, and can be told to fail as one fails.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::Home;

/// What it has and does.
#[derive(Default)]
pub struct Engine {
    /// Archives by name.
    pub images: BTreeMap<String, Vec<u8>>,
    /// A save ends after so many bytes, with a complaint in the place of the rest.
    pub breaks_off_at: Option<usize>,
    /// What a load complains of.
    pub complaint: Option<String>,
    /// A load comes out as another image.
    pub spoils: bool,
    /// Images saved.
    pub saves: u32,
}

/// The id of an archive.
pub fn id(archive: &[u8]) -> String {
    format!("sha256:{}", tandem_node::digest::sha256(archive))
}

/// Listens where the node program of this home looks for it, until the test ends.
pub fn engine(home: &Home) -> Arc<Mutex<Engine>> {
    let listener = UnixListener::bind(home.docker_socket()).expect("a socket");
    let engine = Arc::new(Mutex::new(Engine::default()));
    let shared = Arc::clone(&engine);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (engine, stream) = (Arc::clone(&shared), stream.expect("a caller"));
            std::thread::spawn(move || {
                // A caller that goes away in the middle is what some tests are about.
                let _ = attend(&engine, stream);
            });
        }
    });
    engine
}

fn attend(engine: &Mutex<Engine>, stream: UnixStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let named = path.strip_prefix("/images/").unwrap_or("");
    let none = json!({"message": "No such image"}).to_string().into_bytes();
    match (method, path) {
        ("GET", "/info") => answer(&mut out, 200, b"{\"DockerRootDir\":\"/\"}"),
        ("POST", _) => {
            let archive = body(&mut reader)?;
            let mut engine = engine.lock().expect("no panic");
            if let Some(why) = &engine.complaint {
                let text = json!({"errorDetail": {"message": why}, "error": why}).to_string();
                return answer(&mut out, 200, text.as_bytes());
            }
            let kept = if engine.spoils { vec![9] } else { archive };
            engine.images.insert("a/b:c".into(), kept);
            answer(&mut out, 200, b"{\"stream\":\"Loaded image: a/b:c\"}\n")
        }
        ("DELETE", _) => {
            engine.lock().expect("no panic").images.remove(named);
            answer(&mut out, 200, b"[]")
        }
        (_, "/images/get?names=a/b:c") => {
            let mut engine = engine.lock().expect("no panic");
            engine.saves += 1;
            let mut archive = engine.images["a/b:c"].clone();
            if let Some(at) = engine.breaks_off_at {
                archive.truncate(at);
                archive.extend(b"{\"error\":\"no space left on device\"}");
            }
            drop(engine);
            answer(&mut out, 200, &archive)
        }
        _ => {
            let name = named.trim_end_matches("/json");
            match engine.lock().expect("no panic").images.get(name) {
                Some(a) => {
                    let text = json!({"Id": id(a), "Size": a.len()}).to_string();
                    answer(&mut out, 200, text.as_bytes())
                }
                None => answer(&mut out, 404, &none),
            }
        }
    }
}

fn answer(out: &mut UnixStream, status: u16, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        out,
        "HTTP/1.1 {status} OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    )?;
    out.write_all(body)
}

/// A body in chunks.
fn body(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16)
            .map_err(|_| std::io::Error::other("it is no chunk"))?;
        let before = all.len();
        all.resize(before + size, 0);
        reader.read_exact(&mut all[before..])?;
        reader.read_exact(&mut [0; 2])?;
        if size == 0 {
            return Ok(all);
        }
    }
}
