//! The client of a model's server: the port `ModelApi`.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tandem_domain::chat::controls::AnswerFormat;
use tandem_domain::chat::{ChatDelta, ChatFinish, ChatRequest, PromptMessage, Role, Sampling};
use tandem_domain::ports::{ApiError, ModelApi, ServedModel};
use tandem_domain::secret::Secret;

use super::Connect;
use super::chunks::AnswerReader;
use super::connection::{Answer, HttpConnection, Idle, lost};
use super::key::ServerKey;

/// How long a question without a stream may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long counts may take to come after the end of an answer.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The API behind one way to a server.
#[derive(Clone)]
pub struct HttpModelApi {
    road: Arc<dyn Connect>,
    key: Option<Arc<dyn ServerKey>>,
    /// Where connections wait for the next request; `None` where each request has its own.
    idle: Option<Idle>,
}

impl HttpModelApi {
    /// The API at the end of this way.
    pub fn new(road: Arc<dyn Connect>) -> Self {
        Self {
            road,
            key: None,
            idle: None,
        }
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
        if answer.response().status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match keys.now().await {
            now if now == known => Ok(answer),
            now => self.send_with(now.as_ref(), method, path, body).await,
        }
    }

    /// Sends a request, on a kept connection where there is one that the server still has open.
    async fn send_with(
        &self,
        key: Option<&Secret>,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, ApiError> {
        let request = || {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(path)
                .header(header::HOST, "localhost")
                .header(header::CONTENT_TYPE, "application/json");
            if let Some(key) = key {
                request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.reveal()));
            }
            let request = request.body(Full::new(body.clone()));
            request.map_err(|_| ApiError::Garbled {
                detail: "the API key cannot be sent in a header".into(),
            })
        };
        while let Some(mut line) = self.idle.as_ref().and_then(Idle::take) {
            match line.ask(request()?).await {
                Ok(response) => return Ok(Answer::new(response, line, self.idle.clone())),
                // The server let go of it meanwhile.
                Err(e) if e.is_closed() || e.is_canceled() || e.is_incomplete_message() => {}
                Err(e) => return Err(lost(&e)),
            }
        }
        let mut line = HttpConnection::open(&*self.road).await?;
        let response = line.ask(request()?).await.map_err(|e| lost(&e))?;
        Ok(Answer::new(response, line, self.idle.clone()))
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

    fn kept(&self) -> Option<Arc<dyn ModelApi>> {
        Some(Arc::new(Self {
            idle: Some(Idle::default()),
            ..self.clone()
        }))
    }

    async fn version(&self) -> Result<Option<String>, ApiError> {
        // vLLM's, and llama.cpp's.
        for (path, member) in [("/version", "version"), ("/props", "build_info")] {
            let body = match self.get(path).await {
                Ok(body) => body,
                Err(ApiError::Status { .. }) => continue,
                Err(e) => return Err(e),
            };
            let told: Option<Value> = serde_json::from_slice(&body).ok();
            if let Some(version) = told.as_ref().and_then(|t| t[member].as_str()) {
                return Ok(Some(version.chars().take(80).collect()));
            }
        }
        Ok(None)
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
        let mut reader = AnswerReader::default();
        if is_json(answer.response()) {
            let body = within(patience, answer.whole()).await?;
            reader.take_whole(&body, start.elapsed(), on_delta)?;
            return reader.finish(start.elapsed(), on_delta);
        }
        let mut answer = answer;
        while !reader.is_done() {
            let ending = reader.is_ending();
            let limit = if ending { LAST_WORDS } else { patience };
            let frame = match within(limit, async { Ok(answer.frame().await) }).await {
                // The answer is whole; only its counts did not come.
                Err(_) if ending => break,
                other => other?,
            };
            match frame {
                None => break,
                Some(Err(_)) if ending => break,
                Some(Err(e)) => return Err(lost(&e)),
                Some(Ok(bytes)) => reader.feed(&bytes, start.elapsed(), on_delta)?,
            }
        }
        let finish = reader.finish(start.elapsed(), on_delta);
        answer.let_end().await;
        finish
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
    add_sampling(&mut body, &request.sampling);
    if let Some(format) = format(&request.format) {
        body["response_format"] = format;
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
    add_template(&mut body, request);
    if request.continues {
        // vLLM's names; llama.cpp goes on with a last answer by itself.
        body["continue_final_message"] = json!(true);
        body["add_generation_prompt"] = json!(false);
    }
    body
}

/// What the person set and no more: the rest is the model's own.
fn add_sampling(body: &mut Value, sampling: &Sampling) {
    let numbers = [
        ("temperature", sampling.temperature),
        ("top_p", sampling.top_p),
        ("min_p", sampling.min_p),
        ("presence_penalty", sampling.presence_penalty),
        ("frequency_penalty", sampling.frequency_penalty),
        ("repetition_penalty", sampling.repetition_penalty),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    // Integers by the API's definition.
    if let Some(top_k) = sampling.top_k {
        body["top_k"] = json!(top_k);
    }
    if let Some(seed) = sampling.seed {
        body["seed"] = json!(seed);
    }
    if !sampling.stop.is_empty() {
        body["stop"] = json!(sampling.stop);
    }
}

/// What the chat template is told.
fn add_template(body: &mut Value, request: &ChatRequest) {
    if let Some(thinking) = request.thinking {
        let switch = request.switch.as_deref().unwrap_or("enable_thinking");
        body["chat_template_kwargs"] = json!({ switch: thinking });
    }
    if let Some(level) = &request.level {
        body["reasoning_effort"] = json!(level);
        body["chat_template_kwargs"]["reasoning_effort"] = json!(level);
    }
}

fn format(format: &AnswerFormat) -> Option<Value> {
    match format {
        AnswerFormat::Text => None,
        AnswerFormat::Json => Some(json!({ "type": "json_object" })),
        AnswerFormat::Schema { schema } => {
            // It was checked to be one where it was set.
            let schema: Value = serde_json::from_str(schema).unwrap_or_default();
            let named = json!({ "name": "answer", "schema": schema });
            Some(json!({ "type": "json_schema", "json_schema": named }))
        }
    }
}

/// A message without its images, which are not for counting.
fn text_only(message: &PromptMessage) -> Value {
    json!({ "role": role(message.role), "content": message.text })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn message(message: &PromptMessage) -> Value {
    let role = role(message.role);
    if message.images.is_empty() {
        return text_only(message);
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
