//! The client of a model's server: the port `ModelApi`.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tandem_domain::chat::{ChatDelta, ChatFinish, ChatRequest, PromptMessage, Role};
use tandem_domain::ports::{ApiError, ModelApi, ServedModel};
use tandem_domain::secret::Secret;

use super::Connect;
use super::chunks::{AnswerReader, error_text};
use super::key::ServerKey;

/// How long a question without a stream may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long counts may take to come after the end of an answer.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The longest answer that is read whole, in bytes. The counters of a busy server have some hundred thousand.
const LONGEST: usize = 4 << 20;

/// The API behind one way to a server.
pub struct HttpModelApi {
    road: Arc<dyn Connect>,
    key: Option<Arc<dyn ServerKey>>,
}

impl HttpModelApi {
    /// The API at the end of this way.
    pub fn new(road: Arc<dyn Connect>) -> Self {
        Self { road, key: None }
    }

    /// The same with the key that the server asks for.
    #[must_use]
    pub fn with_key(mut self, key: Arc<dyn ServerKey>) -> Self {
        self.key = Some(key);
        self
    }

    /// Sends a request, and once more where the server was started again since its key was read.
    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Answer, ApiError> {
        let Some(keys) = &self.key else {
            return self.send_with(None, method, path, body).await;
        };
        let known = keys.known().await;
        let answer = self
            .send_with(known.as_ref(), method.clone(), path, body.clone())
            .await?;
        if answer.response.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match keys.now().await {
            now if now == known => Ok(answer),
            now => self.send_with(now.as_ref(), method, path, body).await,
        }
    }

    /// Sends a request on a connection of its own, which ends when the answer is dropped.
    async fn send_with(
        &self,
        key: Option<&Secret>,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, ApiError> {
        let lost = |e: hyper::Error| ApiError::Lost { detail: words(&e) };
        let stream = self.road.connect().await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let connection = Task(tokio::spawn(async move {
            // What went wrong is told to the request that waits for it.
            let _ = connection.await;
        }));
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.reveal()));
        }
        let request = request
            .body(Full::new(body))
            .map_err(|_| ApiError::Garbled {
                detail: "the API key cannot be sent in a header".into(),
            })?;
        let response = sender.send_request(request).await.map_err(lost)?;
        Ok(Answer {
            response,
            _connection: connection,
        })
    }

    async fn get(&self, path: &str) -> Result<Bytes, ApiError> {
        within(PATIENCE, async {
            let answer = self.send(Method::GET, path, Bytes::new()).await?;
            answer.ok().await?.whole().await
        })
        .await
    }
}

impl HttpModelApi {
    /// The JSON that a question with a body is answered with.
    async fn post(&self, path: &str, body: Bytes) -> Result<Value, ApiError> {
        let body = within(PATIENCE, async {
            let answer = self.send(Method::POST, path, body).await?;
            answer.ok().await?.whole().await
        })
        .await?;
        serde_json::from_slice(&body).map_err(|e| ApiError::Garbled {
            detail: format!("it is no JSON: {e}"),
        })
    }
}

/// An answer, and the task that moves its bytes.
struct Answer {
    response: Response<Incoming>,
    _connection: Task,
}

impl Answer {
    /// Turns every status but 2xx into an error with the server's words.
    async fn ok(self) -> Result<Self, ApiError> {
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

    async fn whole(self) -> Result<Bytes, ApiError> {
        let body = Limited::new(self.response.into_body(), LONGEST);
        let body = body.collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|e| {
            match e.downcast::<hyper::Error>() {
                Ok(e) => ApiError::Lost { detail: words(&e) },
                Err(e) if e.is::<LengthLimitError>() => ApiError::Garbled {
                    detail: "it is longer than Tandem reads".into(),
                },
                Err(e) => ApiError::Lost {
                    detail: e.to_string(),
                },
            }
        })
    }
}

/// A task that ends with its owner, so that the server sees at once that nobody listens any more.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn within<T>(
    limit: Duration,
    future: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(limit, future).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ApiError::TimedOut {
            seconds: limit.as_secs(),
        }),
    }
}

/// hyper's error with the one below it, which tells what happened.
fn words(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[async_trait]
impl ModelApi for HttpModelApi {
    async fn health(&self) -> Result<(), ApiError> {
        self.get("/health").await.map(|_| ())
    }

    async fn models(&self) -> Result<Vec<ServedModel>, ApiError> {
        #[derive(Deserialize)]
        struct List {
            data: Vec<ServedModel>,
        }
        let body = self.get("/v1/models").await?;
        let list: List = serde_json::from_slice(&body).map_err(|e| ApiError::Garbled {
            detail: format!("the list of models is not one: {e}"),
        })?;
        Ok(list.data)
    }

    async fn metrics(&self) -> Result<String, ApiError> {
        let body = self.get("/metrics").await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn prompt_tokens(&self, request: &ChatRequest) -> Result<Option<u32>, ApiError> {
        let asked = Bytes::from(prompt_of(request).to_string());
        let told = match self.post("/tokenize", asked.clone()).await {
            Ok(told) => told,
            Err(ApiError::Status { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        if let Some(count) = told["count"].as_u64() {
            return Ok(u32::try_from(count).ok());
        }
        // llama.cpp's server splits bare text, which it makes of messages elsewhere.
        let prompt = match self.post("/apply-template", asked).await {
            Ok(made) => made["prompt"].as_str().map(str::to_owned),
            Err(ApiError::Status { .. }) => None,
            Err(e) => return Err(e),
        };
        let Some(prompt) = prompt else {
            return Ok(None);
        };
        let whole = json!({ "content": prompt, "add_special": true, "parse_special": true });
        let told = self
            .post("/tokenize", Bytes::from(whole.to_string()))
            .await?;
        let tokens = told["tokens"].as_array().map(Vec::len);
        Ok(tokens.and_then(|n| u32::try_from(n).ok()))
    }

    async fn chat(
        &self,
        request: &ChatRequest,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<ChatFinish, ApiError> {
        let patience = Duration::from_secs(request.patience_s);
        let start = Instant::now();
        let body = Bytes::from(body(request).to_string());
        let answer = within(patience, async {
            self.send(Method::POST, "/v1/chat/completions", body)
                .await?
                .ok()
                .await
        })
        .await?;
        let Answer {
            response,
            _connection,
        } = answer;
        let mut reader = AnswerReader::default();
        if is_json(&response) {
            let answer = Answer {
                response,
                _connection,
            };
            let body = within(patience, answer.whole()).await?;
            reader.take_whole(&body, start.elapsed(), on_delta)?;
            return reader.finish(start.elapsed(), on_delta);
        }
        let mut stream = response.into_body();
        while !reader.is_done() {
            let ending = reader.is_ending();
            let limit = if ending { LAST_WORDS } else { patience };
            let frame = match within(limit, async { Ok(stream.frame().await) }).await {
                // The answer is whole; only its counts did not come.
                Err(_) if ending => break,
                other => other?,
            };
            match frame {
                None => break,
                Some(Err(_)) if ending => break,
                Some(Err(e)) => return Err(ApiError::Lost { detail: words(&e) }),
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        reader.feed(bytes, start.elapsed(), on_delta)?;
                    }
                }
            }
        }
        reader.finish(start.elapsed(), on_delta)
    }
}

/// Whether the body is one JSON value: a server, or a proxy before it, that does not stream.
fn is_json(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.trim_start().starts_with("application/json"))
}

/// The request as the API wants it.
fn body(request: &ChatRequest) -> Value {
    let mut body = prompt_of(request);
    body["max_tokens"] = json!(request.max_tokens);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true, "continuous_usage_stats": true });
    if let Some(temperature) = request.temperature {
        body["temperature"] = json!(temperature);
    }
    if request.ignore_eos {
        body["ignore_eos"] = json!(true);
    }
    body
}

/// What of a request makes its prompt.
fn prompt_of(request: &ChatRequest) -> Value {
    let mut body = json!({
        "model": request.model,
        "messages": request.messages.iter().map(message).collect::<Vec<_>>(),
    });
    if let Some(thinking) = request.thinking {
        body["chat_template_kwargs"] = json!({ "enable_thinking": thinking });
    }
    if request.continues {
        // vLLM's names; llama.cpp goes on with a last answer by itself.
        body["continue_final_message"] = json!(true);
        body["add_generation_prompt"] = json!(false);
    }
    body
}

fn message(message: &PromptMessage) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    if message.images.is_empty() {
        return json!({ "role": role, "content": message.text });
    }
    let images = message
        .images
        .iter()
        .map(|url| json!({ "type": "image_url", "image_url": { "url": url } }));
    let text = json!({ "type": "text", "text": message.text });
    json!({ "role": role, "content": images.chain([text]).collect::<Vec<_>>() })
}

#[cfg(test)]
#[path = "api_tests.rs"]
mod tests;
