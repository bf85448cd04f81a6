//! What the events of a streamed answer say.

use std::time::Duration;

use serde::Deserialize;
use tandem_domain::chat::{ChatDelta, ChatFinish};
use tandem_domain::ports::ApiError;

use super::sse::EventReader;

/// The longest answer, in bytes of its words. A model's whole context is less.
const LONGEST_ANSWER: usize = 4 << 20;

#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<ErrorBody>,
    /// Old servers put the error's text at the top.
    object: Option<String>,
    message: Option<String>,
    code: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    content: Option<String>,
    reasoning: Option<String>,
    reasoning_content: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ErrorBody {
    Full {
        message: String,
        code: Option<serde_json::Value>,
    },
    Text(String),
}

/// Follows one streamed answer.
#[derive(Debug, Default)]
pub(super) struct AnswerReader {
    events: EventReader,
    usage: Option<Usage>,
    reason: Option<String>,
    done: bool,
    /// Bytes of words so far.
    length: usize,
}

impl AnswerReader {
    /// Takes the next bytes, which arrived at this time, and hands over every chunk with a choice.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        at: Duration,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<(), ApiError> {
        let mut events = Vec::new();
        let read = self.events.feed(bytes, |data| events.push(data.to_owned()));
        read.map_err(|_| too_long("a part of the answer"))?;
        for event in events {
            if self.done {
                break;
            }
            if event.trim() == "[DONE]" {
                self.done = true;
            } else {
                self.take(&event, at, on_delta)?;
            }
        }
        Ok(())
    }

    fn take(
        &mut self,
        event: &str,
        at: Duration,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<(), ApiError> {
        let chunk: Chunk = serde_json::from_str(event).map_err(|e| ApiError::Garbled {
            detail: format!("a part of the answer is not as the API promises: {e}"),
        })?;
        if let Some((code, message)) = chunk.failure() {
            return Err(ApiError::Status {
                status: code,
                message,
            });
        }
        if chunk.usage.is_some() {
            self.usage = chunk.usage;
        }
        let tokens = chunk.usage.map(|u| u.completion_tokens);
        for choice in chunk.choices {
            if choice.finish_reason.is_some() {
                self.reason = choice.finish_reason;
            }
            let Delta {
                content,
                reasoning,
                reasoning_content,
            } = choice.delta;
            let content = content.unwrap_or_default();
            let reasoning = reasoning.or(reasoning_content).unwrap_or_default();
            self.length += content.len() + reasoning.len();
            if self.length > LONGEST_ANSWER {
                return Err(too_long("the answer"));
            }
            on_delta(ChatDelta {
                at,
                content,
                reasoning,
                tokens,
            });
        }
        Ok(())
    }

    /// Whether the server has said that this is all.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The end of the answer, once the stream has ended.
    pub(super) fn finish(self, at: Duration) -> Result<ChatFinish, ApiError> {
        let Some(reason) = self.reason else {
            return Err(ApiError::Lost {
                detail: "the answer stopped before its end".into(),
            });
        };
        Ok(ChatFinish {
            at,
            reason,
            prompt_tokens: self.usage.map_or(0, |u| u.prompt_tokens),
            completion_tokens: self.usage.map_or(0, |u| u.completion_tokens),
        })
    }
}

impl Chunk {
    fn failure(&self) -> Option<(u16, String)> {
        let (code, message) = match &self.error {
            Some(ErrorBody::Full { message, code }) => (code, message),
            Some(ErrorBody::Text(message)) => (&self.code, message),
            None if self.object.as_deref() == Some("error") => (&self.code, self.message.as_ref()?),
            None => return None,
        };
        let code = code.as_ref().and_then(serde_json::Value::as_u64);
        // Some servers put a word where others put the HTTP status.
        let code = code.and_then(|c| u16::try_from(c).ok()).unwrap_or(500);
        Some((code, message.clone()))
    }
}

fn too_long(what: &str) -> ApiError {
    ApiError::Garbled {
        detail: format!("{what} is longer than Tandem reads"),
    }
}

/// The words of an answer that is not 200: the error's message where the body has one.
pub(super) fn error_text(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let failure = serde_json::from_slice::<Chunk>(body)
        .ok()
        .and_then(|c| c.failure());
    let text = match failure {
        Some((_, message)) => message,
        None => text.trim().to_owned(),
    };
    if text.is_empty() {
        "no reason given".to_owned()
    } else {
        text.chars().take(600).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tandem_domain::chat::{ChatDelta, ChatFinish};
    use tandem_domain::ports::ApiError;

    use super::{AnswerReader, error_text};

    fn follow(bytes: &[u8], piece: usize) -> Result<(Vec<ChatDelta>, ChatFinish), ApiError> {
        let mut reader = AnswerReader::default();
        let mut deltas = Vec::new();
        for part in bytes.chunks(piece) {
            reader.feed(part, Duration::ZERO, &mut |d| deltas.push(d))?;
        }
        reader.finish(Duration::ZERO).map(|f| (deltas, f))
    }

    fn text(deltas: &[ChatDelta]) -> (String, String) {
        let all = |part: fn(&ChatDelta) -> &str| deltas.iter().map(part).collect::<String>();
        (all(|d| &d.reasoning), all(|d| &d.content))
    }

    #[test]
    fn a_recorded_stream_gives_the_same_answer_byte_by_byte_and_at_once() {
        let sample = include_bytes!("../../tests/fixtures/mtp_chat_stream.sse");
        let (single, end) = follow(sample, 1).expect("a whole answer");
        let (whole, same) = follow(sample, usize::MAX).expect("a whole answer");
        assert_eq!((&single, &end), (&whole, &same));
        assert_eq!(
            (
                end.reason.as_str(),
                end.prompt_tokens,
                end.completion_tokens
            ),
            ("length", 17, 120)
        );
        assert!(
            single.len() < 120,
            "with MTP a chunk carries several tokens"
        );
        let (reasoning, content) = text(&single);
        assert!(reasoning.starts_with(" The user greets me"), "{reasoning}");
        assert!(content.contains(" parser"), "{content}");
    }

    #[test]
    fn tokens_are_counted_by_the_server_chunk_by_chunk() {
        let sample = include_bytes!("../../tests/fixtures/mtp_chat_stream_continuous_usage.sse");
        let (deltas, end) = follow(sample, 1).expect("a whole answer");
        let counts: Vec<u32> = deltas.iter().filter_map(|d| d.tokens).collect();
        assert_eq!(&counts[..4], [0, 1, 3, 6]);
        assert_eq!((counts.len(), counts.last()), (deltas.len(), Some(&40)));
        assert_eq!(end.completion_tokens, 40);
    }

    #[test]
    fn a_tool_call_is_no_text_and_ends_the_answer() {
        let sample = include_bytes!("../../tests/fixtures/mtp_tool_stream.sse");
        let (deltas, end) = follow(sample, 1).expect("a whole answer");
        assert_eq!(text(&deltas).1, "");
        assert_eq!(end.reason, "tool_calls");
    }

    #[test]
    fn old_servers_name_the_reasoning_otherwise() {
        let sample =
            br#"data: {"choices":[{"delta":{"reasoning_content":"hm"},"finish_reason":"stop"}]}

data: [DONE]

"#;
        let (deltas, end) = follow(sample, 1).expect("a whole answer");
        assert_eq!(text(&deltas).0, "hm");
        assert_eq!(
            (end.completion_tokens, deltas[0].tokens),
            (0, None),
            "nothing was counted"
        );
    }

    #[test]
    fn an_error_in_the_middle_is_the_servers() {
        for (event, status) in [
            (
                r#"{"error":{"message":"EngineCore died","type":"Internal","code":503}}"#,
                503,
            ),
            (
                r#"{"error":{"message":"EngineCore died","code":"engine_dead"}}"#,
                500,
            ),
            (r#"{"error":"EngineCore died"}"#, 500),
            (
                r#"{"object":"error","message":"EngineCore died","code":400}"#,
                400,
            ),
        ] {
            let stream = format!(
                "data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}]}}\n\ndata: {event}\n\n"
            );
            let wanted = ApiError::Status {
                status,
                message: "EngineCore died".into(),
            };
            assert_eq!(follow(stream.as_bytes(), 1), Err(wanted), "{event}");
        }
    }

    #[test]
    fn an_answer_without_its_end_was_cut() {
        let stream = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
        assert!(matches!(follow(stream, 1), Err(ApiError::Lost { .. })));
        assert!(matches!(
            follow(b"data: not json\n\n", 1),
            Err(ApiError::Garbled { .. })
        ));
    }

    #[test]
    fn the_reason_of_a_refusal_is_found() {
        assert_eq!(
            error_text(br#"{"error":{"message":"no such model","code":404}}"#),
            "no such model"
        );
        assert_eq!(
            error_text(b"Internal Server Error\n"),
            "Internal Server Error"
        );
        assert_eq!(error_text(b""), "no reason given");
    }
}
