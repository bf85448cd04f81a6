//! Gives out a file's bytes: whole or a range, counted, and broken where a fault says so.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::State;
use super::catalog::Entry;
use super::faults::{FaultKind, Side};
use crate::wire::{Answer, empty, pieces, set, whole};

const PIECE: usize = 64 * 1024;

/// `Range: bytes=…` over a file of this size: the first byte and the one after the last.
/// `Err` where it lies outside; `None` where there is no range to be understood.
pub(crate) fn range(value: Option<&str>, size: u64) -> Result<Option<(u64, u64)>, ()> {
    let Some(spec) = value.and_then(|v| v.strip_prefix("bytes=")) else {
        return Ok(None);
    };
    let Some((from, to)) = spec.split_once('-') else {
        return Ok(None);
    };
    if from.is_empty() {
        let Ok(last) = to.parse::<u64>() else {
            return Ok(None);
        };
        return if last == 0 || size == 0 {
            Err(())
        } else {
            Ok(Some((size.saturating_sub(last), size)))
        };
    }
    let Ok(start) = from.parse::<u64>() else {
        return Ok(None);
    };
    let end = match to.parse::<u64>() {
        Ok(last) => last.saturating_add(1).min(size),
        Err(_) if to.is_empty() => size,
        Err(_) => return Ok(None),
    };
    if start >= size || end <= start {
        return Err(());
    }
    Ok(Some((start, end)))
}

/// How the body is broken.
#[derive(Default)]
struct Breaks {
    drop_after: Option<u64>,
    stall_after: Option<u64>,
    wrong: Option<u64>,
    rate: Option<u64>,
}

/// Answers GET and HEAD for a file. `key` is its name in the counters and for faults.
pub(crate) fn give<B>(
    state: &Arc<State>,
    request: &Request<B>,
    side: Side,
    key: &str,
    entry: &Entry,
) -> Answer {
    let header_text = |name| request.headers().get(name).and_then(|v| v.to_str().ok());
    let head = request.method() == Method::HEAD;
    let strike = |pick: fn(&FaultKind) -> Option<u64>| {
        (!head)
            .then(|| state.faults.strike(side, key, pick))
            .flatten()
    };
    let ranged = header_text(header::RANGE).is_some()
        && strike(|k| matches!(k, FaultKind::IgnoreRange).then_some(0)).is_none();
    let wanted = if ranged {
        header_text(header::RANGE)
    } else {
        None
    };
    let Ok(part) = range(wanted, entry.size) else {
        let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
        set(
            &mut response,
            "content-range",
            format!("bytes */{}", entry.size),
        );
        return response;
    };
    let (start, end) = part.unwrap_or((0, entry.size));
    let missing = strike(|k| match k {
        FaultKind::ShortBody { missing } => Some(*missing),
        _ => None,
    });
    let length = (end - start).saturating_sub(missing.unwrap_or(0));
    let mut response = if part.is_some() {
        empty(StatusCode::PARTIAL_CONTENT)
    } else {
        empty(StatusCode::OK)
    };
    if part.is_some() {
        let text = format!("bytes {start}-{}/{}", end - 1, entry.size);
        set(&mut response, "content-range", text);
    }
    set(&mut response, "content-length", length.to_string());
    set(&mut response, "accept-ranges", "bytes");
    set(&mut response, "etag", format!("\"{}\"", entry.etag()));
    set(&mut response, "content-type", kind_of(&entry.name));
    if head {
        return response;
    }
    let breaks = Breaks {
        drop_after: strike(|k| match k {
            FaultKind::DropAfter { bytes } => Some(*bytes),
            _ => None,
        }),
        stall_after: strike(|k| match k {
            FaultKind::Stall { bytes } => Some(*bytes),
            _ => None,
        }),
        wrong: strike(|k| match k {
            FaultKind::WrongBytes => Some(0),
            FaultKind::WrongByte { at } => Some(*at),
            _ => None,
        }),
        rate: strike(|k| match k {
            FaultKind::Slow { bytes_per_second } => Some((*bytes_per_second).max(1)),
            _ => None,
        }),
    };
    state.counters.opened(key);
    *response.body_mut() = if length == 0 {
        whole(Bytes::new())
    } else {
        stream(
            state.clone(),
            side,
            key.to_owned(),
            entry.path.clone(),
            start,
            length,
            breaks,
        )
    };
    response
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("json") => "application/json",
        Some("safetensors") => "application/octet-stream",
        _ => "text/plain; charset=utf-8",
    }
}

fn stream(
    state: Arc<State>,
    side: Side,
    key: String,
    path: PathBuf,
    start: u64,
    length: u64,
    breaks: Breaks,
) -> crate::wire::Body {
    struct Progress {
        file: Option<tokio::fs::File>,
        sent: u64,
    }
    let progress = Progress {
        file: None,
        sent: 0,
    };
    pieces(futures::stream::unfold(Some(progress), move |progress| {
        let (state, key, path) = (state.clone(), key.clone(), path.clone());
        let (drop_after, wrong, rate) = (breaks.drop_after, breaks.wrong, breaks.rate);
        let stall_after = breaks.stall_after;
        async move {
            let mut progress = progress?;
            if progress.sent >= length {
                return None;
            }
            if drop_after.is_some_and(|limit| progress.sent >= limit) {
                // Pending once: only then is what was given before really sent.
                tokio::task::yield_now().await;
                return Some((
                    Err(io::Error::other("the connection is dropped on request")),
                    None,
                ));
            }
            if stall_after.is_some_and(|limit| progress.sent >= limit) {
                std::future::pending::<()>().await;
            }
            let step = async {
                let file = match &mut progress.file {
                    Some(file) => file,
                    none => {
                        let mut file = tokio::fs::File::open(&path).await?;
                        file.seek(io::SeekFrom::Start(start)).await?;
                        none.insert(file)
                    }
                };
                let mut most = (length - progress.sent).min(PIECE as u64);
                if let Some(limit) = drop_after.or(stall_after) {
                    most = most.min(limit - progress.sent);
                }
                if let Some(rate) = rate {
                    // Twenty pieces a second, so that a slow line is slow and not choppy.
                    most = most.min((rate / 20).max(1));
                    tokio::time::sleep(Duration::from_secs_f64(most as f64 / rate as f64)).await;
                }
                let mut piece = vec![0; most as usize];
                file.read_exact(&mut piece).await?;
                Ok::<_, io::Error>(piece)
            };
            match step.await {
                Ok(mut piece) => {
                    let turned = wrong.and_then(|at| at.checked_sub(progress.sent));
                    if let Some(byte) = turned.and_then(|i| piece.get_mut(i as usize)) {
                        *byte ^= 1;
                    }
                    state
                        .counters
                        .sent(&key, piece.len() as u64, side == Side::Cdn);
                    progress.sent += piece.len() as u64;
                    Some((Ok(Bytes::from(piece)), Some(progress)))
                }
                Err(error) => Some((Err(error), None)),
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_are_understood_as_the_standard_says() {
        assert_eq!(range(None, 10), Ok(None));
        assert_eq!(range(Some("bytes=0-0"), 10), Ok(Some((0, 1))));
        assert_eq!(range(Some("bytes=4-"), 10), Ok(Some((4, 10))));
        assert_eq!(range(Some("bytes=4-99"), 10), Ok(Some((4, 10))));
        assert_eq!(range(Some("bytes=-3"), 10), Ok(Some((7, 10))));
        assert_eq!(
            range(Some("bytes=10-"), 10),
            Err(()),
            "starts after the end"
        );
        assert_eq!(
            range(Some("bytes=x-y"), 10),
            Ok(None),
            "not understood, so ignored"
        );
    }
}
