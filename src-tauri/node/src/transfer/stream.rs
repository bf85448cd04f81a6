//! One connection: takes segments and reads them until nothing is left.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;

use super::{Piece, Segment, Shared};
use crate::hub::{Body, Fault, backoff, gave_up, no_ranges};
use crate::work::Stop;

/// Bytes gathered before they are written.
const BUFFER: usize = 256 << 10;
/// How many fresh addresses in a row may be refused.
const REFUSALS: u32 = 6;

/// Takes segments until every target is finished.
pub(super) async fn worker(shared: Arc<Shared>) -> Result<(), Stop> {
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

async fn fetch(shared: &Shared, segment: Segment) -> Result<(), Stop> {
    let piece = &shared.transfer.pieces[segment.piece];
    let target = &shared.transfer.targets[piece.target];
    let mut attempt = 0;
    let mut before = u64::MAX;
    loop {
        let Some((from, _)) = target.missing(segment.from, segment.to).first().copied() else {
            return Ok(());
        };
        if from != before {
            attempt = 0;
            before = from;
        }
        let (generation, fault) = match once(shared, piece, from, segment.to).await {
            Ok(()) => continue,
            Err(Trouble::Stop(stop)) => return Err(stop),
            Err(Trouble::Fault(generation, fault)) => (generation, fault),
        };
        let (why, after) = match fault {
            Fault::Fatal(problem) => return Err(Stop::Problem(problem)),
            // A storage that refuses every fresh address will refuse the next one too.
            Fault::Expired { why } if attempt >= REFUSALS => {
                return Err(gave_up(piece.source.asked(), &why, None).into());
            }
            Fault::Expired { why } => {
                piece
                    .source
                    .refresh(&shared.transfer.hub, generation)
                    .await?;
                // The first fresh address is tried at once.
                (why, (attempt == 0).then_some(Duration::ZERO))
            }
            Fault::Again { why, after } => (why, after),
        };
        if shared.transfer.meter.quiet() > shared.transfer.patience {
            return Err(gave_up(piece.source.asked(), &why, after).into());
        }
        let pause = after.unwrap_or_else(|| backoff(attempt));
        if pause > shared.transfer.patience {
            return Err(gave_up(piece.source.asked(), &why, after).into());
        }
        tokio::time::sleep(pause).await;
        attempt += 1;
    }
}

enum Trouble {
    Stop(Stop),
    Fault(u64, Fault),
}

/// Asks once for `from..to` of the target's bytes and writes what comes.
async fn once(shared: &Shared, piece: &Piece, from: u64, to: u64) -> Result<(), Trouble> {
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
            .map_err(|t| with(t, generation));
    }
    if piece.at != 0 || piece.len != source.size {
        return Err(fault(no_ranges(source).into()));
    }
    // All of the file comes at once. One connection takes it, the others find nothing left to do.
    let mut whole = source.whole.lock().await;
    if *whole {
        return Ok(());
    }
    copy(shared, piece, answer, piece.to, piece.to + piece.len)
        .await
        .map_err(|t| with(t, generation))?;
    *whole = true;
    Ok(())
}

fn with(trouble: Trouble, generation: u64) -> Trouble {
    match trouble {
        Trouble::Fault(_, fault) => Trouble::Fault(generation, fault),
        stop => stop,
    }
}

/// Writes a body that holds `from..to` of the target's bytes; what is here already is passed over.
async fn copy(
    shared: &Shared,
    piece: &Piece,
    mut answer: Response,
    from: u64,
    to: u64,
) -> Result<(), Trouble> {
    let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER.min((to - from) as usize));
    let mut at = from;
    let result = loop {
        match answer.chunk().await {
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

/// Writes the buffer's missing parts.
async fn flush(
    shared: &Shared,
    piece: &Piece,
    at: &mut u64,
    buffer: &mut Vec<u8>,
) -> Result<(), Trouble> {
    let target = &shared.transfer.targets[piece.target];
    let end = *at + buffer.len() as u64;
    for (from, to) in target.missing(*at, end) {
        let bytes = &buffer[(from - *at) as usize..(to - *at) as usize];
        shared
            .put(piece, from, bytes)
            .await
            .map_err(Trouble::Stop)?;
    }
    *at = end;
    buffer.clear();
    Ok(())
}
