//! The stream of the file transfer from its first packet on.
//!
//! Where the SSH server starts a program for SFTP, it does so by the user's login shell, and what the shell's
//! start files print comes first. The words are passed over up to the packet that every server begins with.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::opening::MOST_BEFORE;

/// What a server says first, after the length of the packet: that it is a VERSION, and which version of SFTP.
const VERSION: [u8; 5] = [2, 0, 0, 0, 3];
/// The bytes of a packet's length.
const LENGTH: usize = 4;

/// What came before the first packet. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Before(Arc<Mutex<Vec<u8>>>);

impl Before {
    /// It as text.
    pub(super) fn said(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A stream that begins with the first packet.
pub(super) struct AfterShell<S> {
    inner: S,
    before: Before,
    /// What was read and not looked at yet.
    unread: Vec<u8>,
    /// What was read of the packet and not handed over yet; none before it was found.
    begun: Option<Vec<u8>>,
    ended: CancellationToken,
    /// Ends the token when nobody reads or writes the stream any more.
    _end: DropGuard,
}

impl<S> AfterShell<S> {
    /// The stream after `early`, which came before it was one.
    pub(super) fn new(inner: S, early: Vec<u8>, before: Before) -> Self {
        let ended = CancellationToken::new();
        Self {
            inner,
            before,
            unread: early,
            begun: None,
            _end: ended.clone().drop_guard(),
            ended,
        }
    }

    /// Cancelled once nobody reads or writes the stream any more.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

/// Where the first packet begins. Its length is below 64 KiB, so that it begins with two zeros, which no text has.
fn first_packet(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(LENGTH + VERSION.len())
        .position(|w| w[..2] == [0, 0] && w[LENGTH..] == VERSION)
}

impl<S: AsyncRead + Unpin> AsyncRead for AfterShell<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        while this.begun.is_none() {
            if this.unread.is_empty() {
                let mut piece = [0; 4096];
                let mut piece = ReadBuf::new(&mut piece);
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
                if piece.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
                this.unread.extend_from_slice(piece.filled());
            }
            let mut before = this.before.0.lock().unwrap_or_else(PoisonError::into_inner);
            before.append(&mut this.unread);
            if let Some(at) = first_packet(&before) {
                this.begun = Some(before.split_off(at));
            } else if before.len() > MOST_BEFORE {
                return Poll::Ready(Err(Error::from(ErrorKind::InvalidData)));
            }
        }
        if let Some(begun) = this.begun.as_mut().filter(|b| !b.is_empty()) {
            let n = begun.len().min(out.remaining());
            out.put_slice(&begun[..n]);
            begun.drain(..n);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AfterShell<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
