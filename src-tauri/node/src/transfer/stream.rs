//! One connection: takes segments and reads them until nothing is left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Response;

use super::trouble::Trouble;
use super::xet::{self, Came};
use super::{Piece, Segment, TransferState};
use crate::hub::{Body, Fault, backoff, gave_up, no_ranges};
use crate::stop::Stop;

/// Bytes gathered before they are written.
const BUFFER: usize = 64 << 10;
/// How many fresh addresses in a row may be refused.
const REFUSALS: u32 = 6;

/// Takes segments until every target is finished.
pub(super) async fn worker(shared: Arc<TransferState>) -> Result<(), Stop> {
    loop {
        let woken = shared.wake_workers.notified();
        let Some(segment) = shared.next() else {
            // A target that turns out wrong is queued again, so an empty queue is not the end.
            tokio::select! {
                () = shared.stop.cancelled() => return Ok(()),
                () = woken => continue,
                () = tokio::time::sleep(Duration::from_millis(200)) => continue,
            }
        };
        let outcome = tokio::select! {
            () = shared.stop.cancelled() => return Ok(()),
            outcome = fetch(&shared, segment) => outcome,
        };
        match outcome {
            Ok(()) => {}
            Err(Stop::Cancelled) => return Ok(()),
            Err(stop) => return Err(stop),
        }
    }
}

async fn fetch(shared: &TransferState, segment: Segment) -> Result<(), Stop> {
    let piece = &shared.transfer.pieces[segment.piece];
    let target = &shared.transfer.targets[piece.target];
    let mut attempt = 0;
    let mut before = u64::MAX;
    // Whether the chunks of this segment are worth it.
    let mut worth = true;
    loop {
        shared.transfer.manner.throttle.open().await;
        let Some((from, _)) = target.missing(segment.from, segment.to).first().copied() else {
            return Ok(());
        };
        if from != before {
            attempt = 0;
            before = from;
        }
        let xet = shared.transfer.manner.xet.as_deref();
        if let Some(xet) = xet.filter(|x| worth && x.serves(piece)) {
            match xet::once(xet, shared, piece, from, segment.to).await {
                Ok(Came::Whole) | Err(Trouble::Closed) => {}
                Ok(Came::Dear) => worth = false,
                Err(Trouble::Stop(stop)) => return Err(stop),
                Err(Trouble::Fault(_, fault)) => {
                    if let Some(pause) = xet.after(&fault, attempt) {
                        tokio::time::sleep(pause).await;
                        attempt += 1;
                    }
                }
            }
            continue;
        }
        let (generation, fault) = match once(shared, piece, from, segment.to).await {
            Ok(()) | Err(Trouble::Closed) => continue,
            Err(Trouble::Stop(stop)) => return Err(stop),
            Err(Trouble::Fault(generation, fault)) => (generation, fault),
        };
        let (why, after) = match fault {
            Fault::Fatal(error) => return Err(Stop::from(*error)),
            // A storage that refuses every fresh address will refuse the next one too.
            Fault::Expired { why } if attempt >= REFUSALS => {
                return Err(gave_up(piece.source.asked(), &why, None).into());
            }
            Fault::Expired { why } => match refreshed(shared, piece, generation).await? {
                // The first fresh address is tried at once.
                None => (why, (attempt == 0).then_some(Duration::ZERO)),
                Some(why) => (why, None),
            },
            Fault::Again { why, after } => (why, after),
        };
        let meter = &shared.transfer.meter;
        // A Hub that answers and asks to wait is there; one that is silent may not be.
        let patience = match after {
            Some(wait) if !wait.is_zero() => shared.transfer.manner.busy_patience,
            _ => shared.transfer.patience,
        };
        let quiet = meter.quiet();
        let pause = after.unwrap_or_else(|| backoff(attempt));
        if quiet > patience || pause > patience {
            return Err(gave_up(piece.source.asked(), &why, after).into());
        }
        meter.trouble(&why, Instant::now() + (patience - quiet));
        tokio::time::sleep(pause).await;
        attempt += 1;
    }
}

/// Asks for a fresh address. Gives back why there is none while that may pass: a line that is down takes
/// the Hub away together with the storage.
async fn refreshed(
    shared: &TransferState,
    piece: &Piece,
    generation: u64,
) -> Result<Option<String>, Stop> {
    match piece.source.refresh(&shared.transfer.hub, generation).await {
        Ok(()) => Ok(None),
        Err(Stop::Hub(error)) if error.may_pass() => {
            Ok(Some("the Hub gives no fresh address".into()))
        }
        Err(stop) => Err(stop),
    }
}

/// Asks once for `from..to` of the target's bytes and writes what comes.
async fn once(shared: &TransferState, piece: &Piece, from: u64, to: u64) -> Result<(), Trouble> {
    let source = &piece.source;
    let (generation, url) = source.place().await;
    let fault = |f: Fault| Trouble::Fault(generation, f);
    let (begin, end) = (piece.at + (from - piece.to), piece.at + (to - piece.to));
    let hub = &shared.transfer.hub;
    let answer = hub.get(&url, Some((begin, end))).await.map_err(fault)?;
    let body = hub
        .expect(&answer, source, &url, begin, end)
        .map_err(fault)?;
    if body == Body::Range {
        return copy(shared, piece, answer, from, to)
            .await
            .map_err(|t| t.of(generation));
    }
    if piece.at != 0 || piece.len != source.size {
        return Err(fault(no_ranges(source).into()));
    }
    // All of the file comes at once. One connection takes it, the others find nothing left to do; an answer
    // of their own that they held meanwhile would be sent to nobody.
    let Ok(mut whole) = source.whole.try_lock() else {
        drop(answer);
        drop(source.whole.lock().await);
        return Ok(());
    };
    if *whole {
        return Ok(());
    }
    copy(shared, piece, answer, piece.to, piece.to + piece.len)
        .await
        .map_err(|t| t.of(generation))?;
    *whole = true;
    Ok(())
}

/// Writes a body that holds `from..to` of the target's bytes; what is here already is passed over.
async fn copy(
    shared: &TransferState,
    piece: &Piece,
    mut answer: Response,
    from: u64,
    to: u64,
) -> Result<(), Trouble> {
    let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER.min((to - from) as usize));
    let mut at = from;
    let throttle = &shared.transfer.manner.throttle;
    let closed = throttle.closed();
    tokio::pin!(closed);
    let result = loop {
        let chunk = tokio::select! {
            biased;
            () = &mut closed => {
                flush(shared, piece, &mut at, &mut buffer).await?;
                return Err(Trouble::Closed);
            }
            chunk = answer.chunk() => chunk,
        };
        match chunk {
            Ok(Some(chunk)) => {
                shared.transfer.meter.alive();
                shared.transfer.fetched.add(chunk.len() as u64);
                let room = to - at - buffer.len() as u64;
                if chunk.len() as u64 > room {
                    break Err(Fault::Again {
                        why: "more bytes arrived than were announced".into(),
                        after: None,
                    });
                }
                let mut rest = &chunk[..];
                while !rest.is_empty() {
                    let n = rest.len().min(BUFFER - buffer.len());
                    buffer.extend_from_slice(&rest[..n]);
                    rest = &rest[n..];
                    if buffer.len() == BUFFER {
                        flush(shared, piece, &mut at, &mut buffer).await?;
                    }
                }
                throttle.pass(chunk.len() as u64).await;
            }
            Ok(None) => break Ok(()),
            Err(e) => break Err(Fault::of_transport(&e)),
        }
    };
    flush(shared, piece, &mut at, &mut buffer).await?;
    match result {
        Ok(()) if at < to => Err(Trouble::Fault(
            0,
            Fault::Again {
                why: "fewer bytes arrived than were announced".into(),
                after: None,
            },
        )),
        Ok(()) => Ok(()),
        Err(fault) => Err(Trouble::Fault(0, fault)),
    }
}

/// Writes what the buffer holds.
async fn flush(
    shared: &TransferState,
    piece: &Piece,
    at: &mut u64,
    buffer: &mut Vec<u8>,
) -> Result<(), Trouble> {
    if !buffer.is_empty() {
        shared
            .put(piece, *at, buffer)
            .await
            .map_err(Trouble::Stop)?;
    }
    *at += buffer.len() as u64;
    buffer.clear();
    Ok(())
}
