//! An answer as vLLM gives it: whole, or as a stream of server-sent events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use serde_json::{Value, json};

use super::engine::{Engine, Job, Piece};
use crate::wire::{Answer, empty, json as answer_json, pieces, set};

const FINGERPRINT: &str = "vllm-simulated";

/// What stays the same over an answer.
struct Frame {
    id: String,
    model: String,
    created: u64,
    prompt_tokens: u64,
    chat: bool,
}

impl Frame {
    fn usage(&self, tokens: u64, reasoning: u64) -> Value {
        let mut usage = json!({
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + tokens,
            "completion_tokens": tokens,
        });
        if self.chat {
            usage["completion_tokens_details"] = json!({"reasoning_tokens": reasoning});
        }
        usage
    }

    fn chunk(&self, choices: Value, usage: Option<Value>) -> Value {
        let object = if self.chat {
            "chat.completion.chunk"
        } else {
            "text_completion"
        };
        let mut chunk = json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage;
        }
        chunk
    }

    fn first(&self, usage: Option<Value>) -> Value {
        let delta = json!({"role": "assistant", "content": ""});
        let mut chunk = self.chunk(
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]),
            usage,
        );
        chunk["prompt_token_ids"] = Value::Null;
        chunk
    }

    fn piece(&self, piece: &Piece, usage: Option<Value>) -> Value {
        let mut choice = if self.chat {
            let mut delta = serde_json::Map::new();
            if !piece.reasoning.is_empty() {
                delta.insert("reasoning".into(), json!(piece.reasoning));
            }
            if !piece.content.is_empty() {
                delta.insert("content".into(), json!(piece.content));
            }
            json!({"index": 0, "delta": delta})
        } else {
            json!({"index": 0, "text": piece.content})
        };
        choice["logprobs"] = Value::Null;
        choice["finish_reason"] = json!(piece.finish);
        if piece.finish.is_some() {
            choice["stop_reason"] = Value::Null;
        }
        choice["token_ids"] = Value::Null;
        self.chunk(json!([choice]), usage)
    }
}

/// Runs a request and gives its answer.
pub(crate) async fn give(engine: Arc<Engine>, job: Job, body: &Value, chat: bool) -> Answer {
    if engine.is_dead() {
        return dead();
    }
    let frame = Frame {
        id: fresh_id(&engine, chat),
        model: body["model"]
            .as_str()
            .unwrap_or(&engine.served[0])
            .to_owned(),
        created: now(),
        prompt_tokens: job.prompt_tokens,
        chat,
    };
    if body["stream"].as_bool().unwrap_or(false) {
        let options = &body["stream_options"];
        let last = options["include_usage"].as_bool().unwrap_or(false);
        let each = options["continuous_usage_stats"].as_bool().unwrap_or(false);
        stream(&engine, job, frame, last, each)
    } else {
        whole(&engine, job, frame).await
    }
}

fn event(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

fn stream(
    engine: &Arc<Engine>,
    job: Job,
    frame: Frame,
    last_usage: bool,
    each_usage: bool,
) -> Answer {
    enum At {
        Start,
        Middle,
        End(u64, u64),
        Done,
    }
    let incoming = engine.start(job);
    let frame = Arc::new(frame);
    let start = if frame.chat { At::Start } else { At::Middle };
    let body = pieces(futures::stream::unfold(
        (incoming, start),
        move |(mut incoming, at)| {
            let frame = frame.clone();
            async move {
                let usage = |tokens, reasoning| each_usage.then(|| frame.usage(tokens, reasoning));
                match at {
                    At::Start | At::Middle => match incoming.recv().await {
                        Some(Ok(piece)) => {
                            let mut bytes = BytesMut::new();
                            // The role comes with the first token, once the prompt has been read.
                            if matches!(at, At::Start) {
                                bytes.extend(event(&frame.first(usage(0, 0))));
                            }
                            let count = usage(piece.tokens, piece.reasoning_tokens);
                            bytes.extend(event(&frame.piece(&piece, count)));
                            let bytes = bytes.freeze();
                            let next = match piece.finish {
                                Some(_) => At::End(piece.tokens, piece.reasoning_tokens),
                                None => At::Middle,
                            };
                            Some((Ok(bytes), (incoming, next)))
                        }
                        // In the middle of a stream the real one sends the error as an event, then ends.
                        Some(Err(_)) | None => {
                            let error = json!({"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause.", "type": "InternalServerError", "param": null, "code": 500}});
                            let text = format!("data: {error}\n\ndata: [DONE]\n\n");
                            Some((Ok(Bytes::from(text)), (incoming, At::Done)))
                        }
                    },
                    At::End(tokens, reasoning) => {
                        let mut text = String::new();
                        if last_usage {
                            let mut chunk =
                                frame.chunk(json!([]), Some(frame.usage(tokens, reasoning)));
                            chunk["system_fingerprint"] = json!(FINGERPRINT);
                            text = format!("data: {chunk}\n\n");
                        }
                        text.push_str("data: [DONE]\n\n");
                        Some((Ok(Bytes::from(text)), (incoming, At::Done)))
                    }
                    At::Done => None,
                }
            }
        },
    ));
    let mut response = empty(StatusCode::OK);
    set(
        &mut response,
        "content-type",
        "text/event-stream; charset=utf-8",
    );
    *response.body_mut() = body;
    response
}

async fn whole(engine: &Arc<Engine>, job: Job, frame: Frame) -> Answer {
    let mut incoming = engine.start(job);
    let (mut reasoning, mut content) = (String::new(), String::new());
    let last: Piece = loop {
        let Some(Ok(piece)) = incoming.recv().await else {
            return dead();
        };
        reasoning.push_str(&piece.reasoning);
        content.push_str(&piece.content);
        if piece.finish.is_some() {
            break piece;
        }
    };
    let usage = frame.usage(last.tokens, last.reasoning_tokens);
    let mut choice = if frame.chat {
        json!({"index": 0, "message": {
            "role": "assistant",
            "content": if content.is_empty() { Value::Null } else { json!(content) },
            "refusal": null, "annotations": null, "audio": null, "function_call": null,
            "reasoning": if reasoning.is_empty() { Value::Null } else { json!(reasoning) },
        }})
    } else {
        json!({"index": 0, "text": content})
    };
    choice["logprobs"] = Value::Null;
    choice["finish_reason"] = json!(last.finish);
    choice["stop_reason"] = Value::Null;
    choice["token_ids"] = Value::Null;
    let object = if frame.chat {
        "chat.completion"
    } else {
        "text_completion"
    };
    answer_json(
        StatusCode::OK,
        &json!({
            "id": frame.id, "object": object, "created": frame.created, "model": frame.model,
            "choices": [choice], "service_tier": null, "system_fingerprint": FINGERPRINT, "usage": usage,
            "prompt_logprobs": null, "prompt_token_ids": null, "kv_transfer_params": null,
        }),
    )
}

/// What every refusal looks like.
pub(crate) fn refuse(
    status: StatusCode,
    kind: &str,
    param: Value,
    message: impl Into<String>,
) -> Answer {
    let error =
        json!({"message": message.into(), "type": kind, "param": param, "code": status.as_u16()});
    answer_json(status, &json!({"error": error}))
}

/// The answer of an engine that gave up.
pub(crate) fn dead() -> Answer {
    refuse(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalServerError",
        Value::Null,
        "EngineCore encountered an issue. See stack trace (above) for the root cause.",
    )
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// An id of its own for each answer.
pub(crate) fn fresh_id(engine: &Engine, chat: bool) -> String {
    let n = engine.requests.load(Ordering::Relaxed).wrapping_add(1);
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ now() << 20;
    format!("{}-{mixed:016x}", if chat { "chatcmpl" } else { "cmpl" })
}
