//! vLLM's HTTP API: what is asked, and what is wrong with it.

use std::sync::Arc;

use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::{self, now, refuse};
use super::engine::{Engine, Job};
use super::image;
use super::speech::{reply, tokens};
use crate::wire::{Answer, empty, json as answer_json};

/// Tokens of one image, as the model's configuration tells.
const IMAGE_TOKENS: u64 = 169;

/// What `/version` says.
pub(crate) const VERSION: &str = "0.33.0+simulated";

fn bad(message: impl Into<String>) -> Answer {
    refuse(
        StatusCode::BAD_REQUEST,
        "BadRequestError",
        Value::Null,
        message,
    )
}

/// Answers one request, with what a browser has to know of it.
pub(crate) async fn handle(engine: Arc<Engine>, request: Request<Incoming>) -> Answer {
    let origin = request.headers().get(header::ORIGIN);
    let origin = origin.and_then(|v| v.to_str().ok()).map(str::to_owned);
    let Some(origin) = origin else {
        return handled(engine, request).await;
    };
    let allowed = |o: &String| o == "*" || *o == origin;
    let allowed = engine.origins.iter().find(|o| allowed(o)).cloned();
    // A browser asks first whether a page may send what it wants to send.
    let mut answer = match (request.method(), &allowed) {
        (&Method::OPTIONS, Some(_)) => crate::wire::answer(StatusCode::OK, "text/plain", "OK"),
        (&Method::OPTIONS, None) => crate::wire::answer(
            StatusCode::BAD_REQUEST,
            "text/plain",
            "Disallowed CORS origin",
        ),
        _ => handled(engine, request).await,
    };
    if let Some(allowed) = allowed {
        crate::wire::set(&mut answer, "access-control-allow-origin", allowed);
    }
    answer
}

async fn handled(engine: Arc<Engine>, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    if let Some(key) = &engine.key
        && path.starts_with("/v1")
    {
        let told = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|v| v.to_str().ok());
        if told.and_then(|t| t.strip_prefix("Bearer ")) != Some(key) {
            return answer_json(StatusCode::UNAUTHORIZED, &json!({"error": "Unauthorized"}));
        }
    }
    let chat = path == "/v1/chat/completions";
    match (request.method(), path.as_str()) {
        (&Method::GET, "/health" | "/ping") => empty(if engine.is_dead() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        }),
        (&Method::GET, "/version") => answer_json(
            StatusCode::OK,
            &json!({"version": VERSION, "simulated": true}),
        ),
        (&Method::GET, "/v1/models") => answer_json(StatusCode::OK, &models(&engine)),
        (&Method::GET, "/metrics") => {
            let text = engine.metrics.text(&engine.served[0], engine.drafting);
            crate::wire::answer(
                StatusCode::OK,
                "text/plain; version=1.0.0; charset=utf-8",
                text,
            )
        }
        (&Method::POST, "/v1/chat/completions" | "/v1/completions" | "/tokenize") => {
            let Ok(body) = request.into_body().collect().await else {
                return bad("the body did not arrive");
            };
            let body: Value = match serde_json::from_slice(&body.to_bytes()) {
                Ok(body) => body,
                Err(error) => {
                    return bad(format!(
                        "[{{'type': 'json_invalid', 'msg': 'JSON decode error', 'ctx': {{'error': '{error}'}}}}]"
                    ));
                }
            };
            if path == "/tokenize" {
                return tokenized(&engine, &body).unwrap_or_else(|refused| refused);
            }
            match job(&engine, &body, chat) {
                Ok(job) => answer::give(engine, job, &body, chat).await,
                Err(refused) => refused,
            }
        }
        (
            _,
            "/health"
            | "/version"
            | "/v1/models"
            | "/metrics"
            | "/v1/chat/completions"
            | "/v1/completions"
            | "/tokenize",
        ) => answer_json(
            StatusCode::METHOD_NOT_ALLOWED,
            &json!({"detail": "Method Not Allowed"}),
        ),
        _ => answer_json(StatusCode::NOT_FOUND, &json!({"detail": "Not Found"})),
    }
}

fn models(engine: &Engine) -> Value {
    let data: Vec<Value> = engine
        .served
        .iter()
        .map(|id| {
            json!({
                "id": id, "object": "model", "created": now(), "owned_by": "vllm",
                "root": engine.root, "parent": null, "max_model_len": engine.max_len,
                "permission": [{
                    "id": "modelperm-9b2e30e9169962a8", "object": "model_permission", "created": now(),
                    "allow_create_engine": false, "allow_sampling": true, "allow_logprobs": true,
                    "allow_search_indices": false, "allow_view": true, "allow_fine_tuning": false,
                    "organization": "*", "group": null, "is_blocking": false,
                }],
            })
        })
        .collect();
    json!({"object": "list", "data": data})
}

/// What a message says: its text, and its images described.
fn message(value: &Value) -> Result<(String, Vec<String>), Answer> {
    let role = value["role"]
        .as_str()
        .ok_or_else(|| bad("messages: 'role' is a required property"))?;
    match &value["content"] {
        Value::String(text) => Ok((text.clone(), Vec::new())),
        Value::Null if role == "assistant" => Ok((String::new(), Vec::new())),
        Value::Array(parts) => {
            let (mut text, mut seen) = (String::new(), Vec::new());
            for part in parts {
                match part["type"].as_str() {
                    Some("text") => text.push_str(part["text"].as_str().unwrap_or_default()),
                    Some("image_url") => {
                        let url = part["image_url"]["url"].as_str().unwrap_or_default();
                        seen.push(image::from_url(url).map_err(bad)?.to_string());
                    }
                    other => {
                        return Err(bad(format!(
                            "Unknown part type: {}",
                            other.unwrap_or("none")
                        )));
                    }
                }
            }
            Ok((text, seen))
        }
        _ => Err(bad("messages: 'content' is a required property")),
    }
}

/// The tokens of a chat with its template. Each of the user's messages is handed over.
fn chat_tokens(body: &Value, mut user: impl FnMut(String, Vec<String>)) -> Result<u64, Answer> {
    let messages = body["messages"].as_array().filter(|m| !m.is_empty());
    let messages = messages.ok_or_else(|| {
        bad("[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required'}]")
    })?;
    let mut all = 3;
    for value in messages {
        let (text, seen) = message(value)?;
        all += 4 + tokens(&text).len() as u64 + seen.len() as u64 * IMAGE_TOKENS;
        if value["role"] == "user" {
            user(text, seen);
        }
    }
    Ok(all)
}

/// What `/tokenize` says of a chat.
fn tokenized(engine: &Engine, body: &Value) -> Result<Answer, Answer> {
    let count = chat_tokens(body, |_, _| ())?;
    Ok(answer_json(
        StatusCode::OK,
        &json!({
            "count": count, "max_model_len": engine.max_len,
            "tokens": (0..count).collect::<Vec<_>>(), "token_strs": null,
        }),
    ))
}

/// Checks a request and makes it ready for the engine.
fn job(engine: &Engine, body: &Value, chat: bool) -> Result<Job, Answer> {
    if let Some(name) = body["model"].as_str()
        && !engine.served.iter().any(|served| served == name)
    {
        return Err(refuse(
            StatusCode::NOT_FOUND,
            "NotFoundError",
            json!("model"),
            format!("The model `{name}` does not exist."),
        ));
    }
    let prompt_tokens: u64;
    let mut question = String::new();
    let mut all_seen = Vec::new();
    if chat {
        prompt_tokens = chat_tokens(body, |text, seen| {
            question = text;
            all_seen = seen;
        })?;
    } else {
        let prompt = match &body["prompt"] {
            Value::String(text) => text.clone(),
            Value::Array(list) => list
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(" "),
            _ => {
                return Err(bad(
                    "[{'type': 'missing', 'loc': ('body', 'prompt'), 'msg': 'Field required'}]",
                ));
            }
        };
        prompt_tokens = tokens(&prompt).len() as u64;
        question = prompt;
    }
    let max_len = engine.max_len;
    let asked = body["max_completion_tokens"]
        .as_u64()
        .or(body["max_tokens"].as_u64());
    if let Some(asked) = asked.filter(|asked| *asked > max_len) {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "BadRequestError",
            json!("max_tokens"),
            format!(
                "max_tokens={asked} cannot be greater than max_model_len={max_len}. Please request fewer output tokens. (parameter=max_tokens, value={asked})"
            ),
        ));
    }
    if prompt_tokens + asked.unwrap_or(1) > max_len {
        return Err(bad(format!(
            "This model's maximum context length is {max_len} tokens. However, you requested {} output tokens and your prompt contains at least {prompt_tokens} input tokens, for a total of at least {} tokens. Please reduce the length of the input prompt or the number of requested output tokens.",
            asked.unwrap_or(1),
            prompt_tokens + asked.unwrap_or(1)
        )));
    }
    if asked == Some(0) {
        return Err(bad("max_tokens must be at least 1, got 0."));
    }
    let template = &body["chat_template_kwargs"];
    let thinking = chat && template["enable_thinking"].as_bool().unwrap_or(true);
    let mut reply = reply(&question, &all_seen, thinking);
    if body["continue_final_message"] == true {
        if body["add_generation_prompt"] != false {
            return Err(bad(
                "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
            ));
        }
        let last = body["messages"].as_array().and_then(|m| m.last());
        let (said, _) = last.map_or(Ok(Default::default()), message)?;
        reply.answer = match reply.answer.strip_prefix(said.as_str()) {
            Some(rest) => rest.to_owned(),
            None => reply.answer,
        };
    }
    Ok(Job {
        prompt_tokens,
        reply,
        max_tokens: asked.unwrap_or(if chat { max_len - prompt_tokens } else { 16 }),
        ignore_eos: body["ignore_eos"].as_bool().unwrap_or(false),
    })
}
