//! Connections to a server, and the answers that come over them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tandem_domain::ports::ApiError;

use super::Connect;
use super::chunks::error_text;

/// The longest answer that is read whole, in bytes. The counters of a busy server have some hundred thousand.
const LONGEST: usize = 4 << 20;

/// How long the end of a body may take to come after its last words. A connection without it is not kept.
const END: Duration = Duration::from_millis(500);

/// Connections that wait for the next request.
#[derive(Clone, Default)]
pub(super) struct Idle(Arc<Mutex<Vec<HttpConnection>>>);

impl Idle {
    /// The one that was used last: a server closes those that wait for long.
    pub(super) fn take(&self) -> Option<HttpConnection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&self, line: HttpConnection) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line);
    }
}

/// One connection, and the task that moves its bytes.
pub(super) struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    _task: Task,
}

impl HttpConnection {
    pub(super) async fn open(road: &dyn Connect) -> Result<Self, ApiError> {
        let stream = road.connect().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| lost(&e))?;
        let task = Task(tokio::spawn(async move {
            // What went wrong is told to the request that waits for it.
            let _ = connection.await;
        }));
        Ok(Self {
            sender,
            _task: task,
        })
    }

    /// Sends a request once the answer before is through.
    pub(super) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }
}

/// A task that ends with its owner, so that the server sees at once that nobody listens any more.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer with the connection that it comes over, which ends when this is dropped before its end.
pub(super) struct Answer {
    response: Response<Incoming>,
    line: HttpConnection,
    idle: Option<Idle>,
}

impl Answer {
    pub(super) fn new(
        response: Response<Incoming>,
        line: HttpConnection,
        idle: Option<Idle>,
    ) -> Self {
        Self {
            response,
            line,
            idle,
        }
    }

    /// Its head.
    pub(super) fn response(&self) -> &Response<Incoming> {
        &self.response
    }

    /// Turns every status but 2xx into an error with the server's words.
    pub(super) async fn ok(self) -> Result<Self, ApiError> {
        let status = self.response.status();
        if status.is_success() {
            return Ok(self);
        }
        let body = self.whole().await?;
        Err(ApiError::Status {
            status: status.as_u16(),
            message: error_text(&body),
        })
    }

    /// The next bytes of its body; `None` at its end.
    pub(super) async fn frame(&mut self) -> Option<hyper::Result<Bytes>> {
        let frame = self.response.body_mut().frame().await?;
        Some(frame.map(|f| f.into_data().unwrap_or_default()))
    }

    /// The whole body.
    pub(super) async fn whole(self) -> Result<Bytes, ApiError> {
        let body = Limited::new(self.response.into_body(), LONGEST);
        let body = body.collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        let body = body.map_err(|e| match e.downcast::<hyper::Error>() {
            Ok(e) => lost(&e),
            Err(e) if e.is::<LengthLimitError>() => ApiError::Garbled {
                detail: "it is longer than Tandem reads".into(),
            },
            Err(e) => ApiError::Lost {
                detail: e.to_string(),
            },
        })?;
        if let Some(idle) = self.idle {
            idle.put(self.line);
        }
        Ok(body)
    }

    /// Keeps the connection for the next request, if the body ends now that its words are through.
    pub(super) async fn let_end(mut self) {
        let Some(idle) = self.idle.take() else {
            return;
        };
        let end = async {
            loop {
                match self.frame().await {
                    None => return true,
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return false,
                }
            }
        };
        if tokio::time::timeout(END, end).await == Ok(true) {
            idle.put(self.line);
        }
    }
}

/// A connection that ended, in hyper's words with the error below, which tells what happened.
pub(super) fn lost(error: &hyper::Error) -> ApiError {
    let detail = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    ApiError::Lost { detail }
}
