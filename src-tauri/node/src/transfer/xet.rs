//! One connection that takes its bytes as chunks from the Hub's storage instead of ranges.
//!
//! A chunk is written where it belongs as soon as it is unpacked, so a connection holds one chunk and what
//! the socket brought, whatever the size of the object it reads. A death costs that one chunk. The hash of
//! the whole file is checked as ever: the chunks' own names are not known here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Response, StatusCode};
use tandem_domain::node::xet::worth_it;
use tokio::sync::Semaphore;

use super::chunk::{self, HEADER};
use super::trouble::Trouble;
use super::{Piece, TransferState};
use crate::hub::{Fault, Leaves, Part, backoff};
use crate::job_output::JobOutput;

/// How often in a row one place is tried before all goes on by ranges.
const TRIES: u32 = 3;
/// A storage that asks to wait longer than this is not waited for: the bridge is there.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Chunks unpacked at once.
const TURNS: usize = 2;
/// Connections that take chunks at once; more wait. Each holds a list, a chunk and what its socket brought,
/// about a MiB together, and the program has 64 for all it does.
const SEATS: usize = 16;

/// What the connections of a transfer share about the storage.
pub struct Xet {
    leaves: Leaves,
    lines: Arc<JobOutput>,
    given_up: AtomicBool,
    seats: Semaphore,
    turns: Semaphore,
}

/// How a stretch ended that did not fail.
pub(super) enum Came {
    /// It is here.
    Whole,
    /// Its chunks would cost more than the stretch itself: take it by ranges.
    Dear,
}

impl Xet {
    /// Says in `lines` when it is given up.
    pub fn new(lines: Arc<JobOutput>) -> Arc<Self> {
        Arc::new(Self {
            leaves: Leaves::default(),
            lines,
            given_up: AtomicBool::new(false),
            seats: Semaphore::new(SEATS),
            turns: Semaphore::new(TURNS),
        })
    }

    /// Whether a piece comes as chunks now.
    pub(super) fn serves(&self, piece: &Piece) -> bool {
        !self.given_up.load(Ordering::Relaxed) && piece.source.chunks().is_some()
    }

    /// What to do after a fault: how long to wait for another attempt, or nothing where the rest of the
    /// transfer goes on by ranges. `attempt` counts those in a row without a byte.
    pub(super) fn after(&self, fault: &Fault, attempt: u32) -> Option<Duration> {
        let (why, wait) = match fault {
            Fault::Again { why, after } => (why.clone(), after.unwrap_or_else(|| backoff(attempt))),
            Fault::Expired { why } => (why.clone(), backoff(attempt)),
            Fault::Fatal(error) => {
                let problem = error.problem();
                let cause = problem.cause.as_deref().unwrap_or_default();
                (format!("{} {cause}", problem.message), Duration::MAX)
            }
        };
        if attempt + 1 < TRIES && wait <= LONGEST_WAIT {
            return Some(wait);
        }
        if !self.given_up.swap(true, Ordering::Relaxed) {
            self.lines.note(format!(
                "Xet does not work from here, so the rest comes by ranges: {}",
                why.trim()
            ));
        }
        None
    }
}

/// Asks once for the chunks of `from..to` of the target's bytes and writes what comes.
pub(super) async fn once(
    xet: &Xet,
    shared: &TransferState,
    piece: &Piece,
    from: u64,
    to: u64,
) -> Result<Came, Trouble> {
    let Ok(_seat) = xet.seats.acquire().await else {
        return Ok(Came::Dear);
    };
    let there = |at: u64| piece.at + (at - piece.to);
    let hub = &shared.transfer.hub;
    let fault = |f: Fault| Trouble::Fault(0, f);
    let asked = hub.chunks(&xet.leaves, &piece.source, there(from), there(to));
    let Some(plan) = asked.await.map_err(fault)? else {
        return Ok(Came::Dear);
    };
    if !worth_it(plan.cost(), to - from) {
        return Ok(Came::Dear);
    }
    let Some(at) = there(from).checked_sub(plan.skip) else {
        return Err(fault(Fault::Again {
            why: "the storage's list of chunks begins before the file".into(),
            after: None,
        }));
    };
    let mut place = Place {
        at,
        from: there(from),
        end: there(piece.to + piece.len),
    };
    for part in &plan.parts {
        let (first, last) = part.bytes;
        let answer = hub.get(&part.url, Some(part.bytes)).await.map_err(fault)?;
        expect(&answer, first, last).map_err(fault)?;
        read(xet, shared, piece, part, answer, &mut place).await?;
    }
    Ok(Came::Whole)
}

/// Looks whether an answer is the stretch of an object that was asked for.
fn expect(answer: &Response, from: u64, to: u64) -> Result<(), Fault> {
    let status = answer.status();
    if status == StatusCode::PARTIAL_CONTENT {
        let given = answer.headers().get("content-range");
        let given = given.and_then(|v| v.to_str().ok()).unwrap_or_default();
        if given.starts_with(&format!("bytes {from}-{}/", to - 1)) {
            return Ok(());
        }
    }
    let why = format!("the storage answered {}", status.as_u16());
    Err(match status.as_u16() {
        // The address was good for a while; the next list of chunks has another.
        400 | 401 | 403 | 404 | 410 => Fault::Expired { why },
        200 | 206 => Fault::Again {
            why: "something else came instead of chunks".into(),
            after: None,
        },
        _ => Fault::Again { why, after: None },
    })
}

/// Where in the file the next chunk belongs, and what of it is wanted.
struct Place {
    at: u64,
    from: u64,
    end: u64,
}

/// Reads the chunks of a part and writes them.
async fn read(
    xet: &Xet,
    shared: &TransferState,
    piece: &Piece,
    part: &Part,
    answer: Response,
    place: &mut Place,
) -> Result<(), Trouble> {
    let wrong = |why: String| Trouble::Fault(0, Fault::Again { why, after: None });
    let until = place.at + part.len;
    let mut body = PackedBody {
        answer,
        came: Bytes::new(),
        left: part.bytes.1 - part.bytes.0,
    };
    let mut packed = Vec::new();
    for index in 0..part.before + part.chunks {
        body.take(shared, HEADER, &mut packed).await?;
        let mut header = [0; HEADER];
        header.copy_from_slice(&packed);
        let head = chunk::head(header).map_err(wrong)?;
        body.take(shared, head.packed, &mut packed).await?;
        if index < part.before {
            continue;
        }
        if place.at + head.len as u64 > until {
            return Err(wrong("the chunks are longer than announced".into()));
        }
        let Ok(_turn) = xet.turns.acquire().await else {
            return Err(wrong("no chunk can be unpacked any more".into()));
        };
        let bytes = tokio::task::block_in_place(|| head.unpack(&packed)).map_err(wrong)?;
        // A chunk that reaches beyond the stretch is written whole: the next stretch needs not fetch it.
        let from = place.from.max(place.at).min(place.at + head.len as u64);
        let to = (place.at + head.len as u64).min(place.end);
        if from < to {
            let inside = &bytes[(from - place.at) as usize..(to - place.at) as usize];
            shared
                .put(piece, piece.to + (from - piece.at), inside)
                .await
                .map_err(Trouble::Stop)?;
        }
        place.at += head.len as u64;
    }
    if place.at == until {
        Ok(())
    } else {
        Err(wrong("the chunks are shorter than announced".into()))
    }
}

/// A body that is taken in exact portions.
struct PackedBody {
    answer: Response,
    came: Bytes,
    left: u64,
}

impl PackedBody {
    /// Takes the next `n` bytes, instead of what `into` held.
    async fn take(
        &mut self,
        shared: &TransferState,
        n: usize,
        into: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        let fault = |f: Fault| Trouble::Fault(0, f);
        let short = || Fault::Again {
            why: "fewer bytes arrived than were announced".into(),
            after: None,
        };
        if n as u64 > self.left {
            return Err(fault(short()));
        }
        self.left -= n as u64;
        into.clear();
        let throttle = &shared.transfer.manner.throttle;
        while into.len() < n {
            if self.came.is_empty() {
                let chunk = tokio::select! {
                    biased;
                    () = throttle.closed() => return Err(Trouble::Closed),
                    chunk = self.answer.chunk() => chunk,
                };
                let chunk = chunk.map_err(|e| fault(Fault::of_transport(&e)))?;
                self.came = chunk.ok_or_else(|| fault(short()))?;
                shared.transfer.meter.alive();
                shared.transfer.fetched.add(self.came.len() as u64);
                throttle.pass(self.came.len() as u64).await;
            }
            let most = self.came.len().min(n - into.len());
            into.extend_from_slice(&self.came.split_to(most));
        }
        Ok(())
    }
}
