//! How much TCP carries from one machine to the other: one listens for one sender, the other sends.
//!
//! Both ends are bounded by time. The listener is open until every stream of the one sender has come and
//! not longer, nobody gets in without the token it made for this measurement, and it ends by itself if
//! nobody comes or the link goes silent, whatever became of the connection that started it.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use tandem_domain::node::{Carried, Listening};
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_domain::secret::Secret;

use crate::rail::{RailListener, WaitingRoom};

/// How long the listener waits for all streams of its sender.
const ARRIVE: Duration = Duration::from_secs(20);
/// How long a link may carry nothing in the middle, and the last bytes may take.
const SILENCE: Duration = Duration::from_secs(4);
/// How long somebody who connects may take to say the token.
const HELLO: Duration = Duration::from_secs(1);
/// Between two looks whether somebody knocks.
const KNOCK: Duration = Duration::from_millis(5);
/// Large enough that calls cost little beside the copying.
const BLOCK: usize = 256 * 1024;
/// What the listener answers once everyone is there.
const GO: &[u8] = b"go\n";
/// Bytes of a token as it is written.
const TOKEN: usize = 32;

/// How long to send, and over how many streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    time: Duration,
    streams: usize,
}

impl Extent {
    /// 1 to 60 seconds over 1 to 32 streams.
    pub fn of(seconds: u64, streams: u64) -> Result<Self, Problem> {
        if !(1..=60).contains(&seconds) || !(1..=32).contains(&streams) {
            return Err(Problem::new(
                Code::BadInput,
                "The bandwidth cannot be measured with these values.",
            )
            .cause(format!(
                "{seconds} s over {streams} streams lies outside 1 to 60 s and 1 to 32."
            )));
        }
        Ok(Self {
            time: Duration::from_secs(seconds),
            streams: streams as usize,
        })
    }
}

fn failed(why: impl Into<String>) -> Problem {
    Problem::new(Code::LinkFails, "The bandwidth was not measured.")
        .cause(why)
        .fix("Check that the cable sits in both machines, then measure again.")
        .retry(Retry::Now)
}

/// Waits for one sender at this address and counts what arrives. `listening` is told where and with
/// which token.
pub fn serve(
    address: Ipv4Addr,
    extent: Extent,
    listening: impl FnOnce(&Listening),
) -> Result<Carried, Problem> {
    if !(address.is_private() || address.is_link_local() || address.is_loopback()) {
        return Err(Problem::new(
            Code::BadInput,
            "The bandwidth is measured on a private address only.",
        )
        .cause(format!("{address} is not a private address.")));
    }
    let refused = |e: std::io::Error| failed(format!("Nothing can listen on {address}: {e}."));
    let listener = RailListener::open(address).map_err(refused)?;
    let port = listener.local_addr().map_err(refused)?.port();
    let token = token()?;
    listening(&Listening {
        port,
        token: token.reveal().to_owned(),
    });
    let streams = arrivals(listener, &token, extent.streams)?;
    let limit = Instant::now() + extent.time + SILENCE;
    let started = Instant::now();
    let counting: Vec<_> = streams
        .into_iter()
        .map(|stream| std::thread::spawn(move || count(stream, limit)))
        .collect();
    let counted = all(counting)?;
    Ok(carried(counted, started.elapsed()))
}

/// A word that nobody guesses.
fn token() -> Result<Secret, Problem> {
    let mut bytes = [0u8; TOKEN / 2];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .map_err(|e| failed(format!("No random numbers: {e}.")))?;
    Ok(Secret::new(hex::encode(bytes)))
}

/// Lets in as many streams as there shall be, each with the token, and nobody else.
///
/// Each is heard apart, so that one who says nothing holds up nobody.
fn arrivals(
    listener: RailListener,
    token: &Secret,
    count: usize,
) -> Result<Vec<TcpStream>, Problem> {
    let until = Instant::now() + ARRIVE;
    let waiting = Arc::new(WaitingRoom::default());
    let (arrived, arriving) = mpsc::channel();
    let mut streams: Vec<TcpStream> = Vec::with_capacity(count);
    while streams.len() < count {
        if Instant::now() > until {
            return Err(failed(format!(
                "{} of {count} streams came within {} s.",
                streams.len(),
                ARRIVE.as_secs()
            )));
        }
        let Some(stream) = listener.accept().map_err(|e| failed(format!("{e}.")))? else {
            streams.extend(arriving.recv_timeout(KNOCK));
            continue;
        };
        let Ok(place) = waiting.enter(&stream) else {
            continue;
        };
        let (token, waiting, arrived) = (token.clone(), waiting.clone(), arrived.clone());
        std::thread::spawn(move || {
            let known = greeted(&stream, &token).unwrap_or(false);
            waiting.leave(place);
            if known {
                // Nobody waits for it once all are there.
                let _ = arrived.send(stream);
            }
        });
    }
    // From here on nobody else is let in.
    drop(listener);
    for mut stream in &streams {
        stream
            .write_all(GO)
            .map_err(|e| failed(format!("The sender went away: {e}.")))?;
    }
    Ok(streams)
}

/// Whether the other end says the token, in its time.
fn greeted(mut stream: &TcpStream, token: &Secret) -> std::io::Result<bool> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(HELLO))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut said = [0u8; TOKEN];
    let until = Instant::now() + HELLO;
    let mut read = 0;
    while read < TOKEN {
        if Instant::now() > until {
            return Ok(false);
        }
        match stream.read(&mut said[read..])? {
            0 => return Ok(false),
            n => read += n,
        }
    }
    // Every byte is looked at, so that the time says nothing of where they differ.
    let differing = said
        .iter()
        .zip(token.reveal().as_bytes())
        .fold(0, |d, (a, b)| d | (a ^ b));
    Ok(differing == 0)
}

/// Counts to the end of a stream and tells the sender how much that was.
fn count(mut stream: TcpStream, limit: Instant) -> Result<u64, String> {
    let mut block = vec![0u8; BLOCK];
    let mut bytes = 0u64;
    let silent = |e: std::io::Error| format!("the link went silent: {e}");
    stream.set_read_timeout(Some(SILENCE)).map_err(silent)?;
    loop {
        if Instant::now() > limit {
            return Err("the sender did not end in its time".into());
        }
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(n) => bytes += n as u64,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(silent(e)),
        }
    }
    stream.write_all(&bytes.to_be_bytes()).map_err(silent)?;
    Ok(bytes)
}

/// Sends to a listener for the time given, as fast as it goes.
pub fn send(to: SocketAddr, token: &Secret, extent: Extent) -> Result<Carried, Problem> {
    if !matches!(to.ip(), IpAddr::V4(_)) {
        return Err(failed(format!("{to} is not an IPv4 address.")));
    }
    let unreached = |e: std::io::Error| failed(format!("{to} was not reached: {e}."));
    let mut streams = Vec::with_capacity(extent.streams);
    for _ in 0..extent.streams {
        let mut stream = TcpStream::connect_timeout(&to, SILENCE).map_err(unreached)?;
        stream.set_write_timeout(Some(SILENCE)).map_err(unreached)?;
        stream.set_read_timeout(Some(ARRIVE)).map_err(unreached)?;
        stream
            .write_all(token.reveal().as_bytes())
            .map_err(unreached)?;
        streams.push(stream);
    }
    for stream in &mut streams {
        let mut go = [0u8; GO.len()];
        let let_in = stream.read_exact(&mut go).is_ok() && go == GO;
        if !let_in {
            return Err(failed(format!("{to} did not let us in.")));
        }
    }
    let together = Arc::new(Barrier::new(extent.streams));
    let started = Instant::now();
    let sending: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            let together = Arc::clone(&together);
            std::thread::spawn(move || {
                together.wait();
                fill(stream, Instant::now() + extent.time)
            })
        })
        .collect();
    let arrived = all(sending)?;
    Ok(carried(arrived, started.elapsed()))
}

/// Sends until a moment, and says how much of it arrived.
fn fill(mut stream: TcpStream, until: Instant) -> Result<u64, String> {
    let silent = |e: std::io::Error| format!("the link went silent: {e}");
    let block = vec![0x5au8; BLOCK];
    while Instant::now() < until {
        stream.write_all(&block).map_err(silent)?;
    }
    stream.shutdown(std::net::Shutdown::Write).map_err(silent)?;
    stream.set_read_timeout(Some(SILENCE)).map_err(silent)?;
    let mut arrived = [0u8; 8];
    stream.read_exact(&mut arrived).map_err(silent)?;
    Ok(u64::from_be_bytes(arrived))
}

/// Waits for every stream, also where one failed, and adds up.
fn all(threads: Vec<std::thread::JoinHandle<Result<u64, String>>>) -> Result<u64, Problem> {
    let ends: Vec<Result<u64, String>> = threads
        .into_iter()
        .map(|t| t.join().unwrap_or_else(|_| Err("a thread died".into())))
        .collect();
    ends.into_iter()
        .sum::<Result<u64, String>>()
        .map_err(|why| failed(format!("In the middle {why}.")))
}

fn carried(bytes: u64, time: Duration) -> Carried {
    let seconds = time.as_secs_f64().max(1e-6);
    Carried {
        bytes,
        seconds,
        gbps: bytes as f64 * 8.0 / seconds / 1e9,
    }
}
