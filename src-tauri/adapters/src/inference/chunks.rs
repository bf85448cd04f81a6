//! What the events of a streamed answer say.

use std::time::Duration;

use serde_json::Value;
use tandem_domain::chat::{ChatDelta, ChatFinish, FINISH_UNKNOWN};
use tandem_domain::ports::ApiError;

use super::chunk::{Chunk, Usage};
use super::sse::EventReader;
use super::thinking::ThinkTags;

/// The longest answer, in bytes of its words. A model's whole context is less.
const LONGEST_ANSWER: usize = 4 << 20;

/// Follows one streamed answer.
#[derive(Debug, Default)]
pub(super) struct AnswerReader {
    events: EventReader,
    tags: ThinkTags,
    usage: Option<Usage>,
    reason: Option<String>,
    /// Whether counts came with the reason or after it. Those of earlier chunks are of a part of the answer.
    counted: bool,
    done: bool,
    /// Whether a chunk with a choice came.
    answered: bool,
    /// Why a chunk could not be read, and how many there were.
    unread: Option<(String, u32)>,
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
            match event.trim() {
                _ if self.done => break,
                "[DONE]" => self.done = true,
                // A keep-alive.
                "" => {}
                data => self.take(data, at, on_delta)?,
            }
        }
        Ok(())
    }

    /// Takes the body of a server that was asked for a stream and answered at once.
    pub(super) fn take_whole(
        &mut self,
        body: &[u8],
        at: Duration,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<(), ApiError> {
        self.done = true;
        self.take(&String::from_utf8_lossy(body), at, on_delta)
    }

    fn take(
        &mut self,
        event: &str,
        at: Duration,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<(), ApiError> {
        let chunk = match Chunk::read(event) {
            Ok(chunk) => chunk,
            // One that cannot be read costs its words and not the answer.
            Err(why) => {
                let (_, count) = self.unread.get_or_insert((why.to_string(), 0));
                *count += 1;
                return Ok(());
            }
        };
        if let Some((code, message)) = chunk.failure() {
            return Err(ApiError::Status {
                status: code,
                message,
            });
        }
        if chunk.usage.is_some() {
            self.usage = chunk.usage;
        }
        let tokens = chunk.usage.and_then(|u| u.completion_tokens);
        for choice in chunk.choices {
            self.answered = true;
            let (mut reasoning, words) = choice.words();
            let calls = choice.calls();
            if !reasoning.is_empty() {
                self.tags.not_here();
            }
            let mut content = String::new();
            self.tags.push(&words, &mut reasoning, &mut content);
            if choice.finish_reason.is_some() {
                self.reason = choice.finish_reason;
                self.tags.end(&mut reasoning, &mut content);
            }
            self.length += content.len() + reasoning.len();
            self.length += calls
                .iter()
                .map(|c| c.name.len() + c.arguments.len())
                .sum::<usize>();
            if self.length > LONGEST_ANSWER {
                return Err(too_long("the answer"));
            }
            on_delta(ChatDelta {
                at,
                content,
                reasoning,
                calls,
                tokens,
            });
        }
        self.counted |= chunk.usage.is_some() && self.reason.is_some();
        Ok(())
    }

    /// Whether nothing more can follow: the server said so, or gave both its reason and its counts.
    pub(super) fn is_done(&self) -> bool {
        self.done || self.counted
    }

    /// Whether the answer itself has ended, so that only counts can follow.
    pub(super) fn is_ending(&self) -> bool {
        self.reason.is_some()
    }

    /// The end of the answer, once the stream has ended.
    pub(super) fn finish(
        mut self,
        at: Duration,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<ChatFinish, ApiError> {
        if let (false, Some((why, count))) = (self.answered, &self.unread) {
            return Err(ApiError::Garbled {
                detail: format!(
                    "none of the {count} parts of the answer is as the API promises: {why}"
                ),
            });
        }
        let reason = match self.reason {
            Some(reason) => reason,
            None if self.done && self.answered => FINISH_UNKNOWN.to_owned(),
            None => {
                return Err(ApiError::Lost {
                    detail: "the answer stopped before its end".into(),
                });
            }
        };
        let (mut reasoning, mut content) = (String::new(), String::new());
        self.tags.end(&mut reasoning, &mut content);
        if !reasoning.is_empty() || !content.is_empty() {
            on_delta(ChatDelta {
                at,
                content,
                reasoning,
                calls: Vec::new(),
                tokens: None,
            });
        }
        Ok(ChatFinish {
            at,
            reason,
            prompt_tokens: self.usage.and_then(|u| u.prompt_tokens),
            completion_tokens: self.usage.and_then(|u| u.completion_tokens),
            cached_tokens: self.usage.and_then(|u| u.cached()),
        })
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
    let failure = Chunk::read(&text).ok().and_then(|c| c.failure());
    let text = match failure {
        Some((_, message)) => message,
        None => detail(&text).unwrap_or_else(|| text.trim().to_owned()),
    };
    if text.is_empty() {
        "no reason given".to_owned()
    } else {
        text.chars().take(600).collect()
    }
}

/// FastAPI's own refusals: `{"detail": "Not Found"}`, or a list of what is wrong and where.
fn detail(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    match &body["detail"] {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let one = |fault: &Value| {
                let message = fault["msg"].as_str()?;
                let place = fault["loc"]
                    .as_array()
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                let names = place.iter().filter_map(|part| match part {
                    Value::String(name) if name == "body" => None,
                    Value::String(name) => Some(name.clone()),
                    Value::Number(at) => Some(at.to_string()),
                    _ => None,
                });
                let place = names.collect::<Vec<_>>().join(".");
                Some(match place.is_empty() {
                    true => message.to_owned(),
                    false => format!("{place}: {message}"),
                })
            };
            let all: Vec<String> = list.iter().filter_map(one).collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        _ => None,
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
        let mut rest = Vec::new();
        let finish = reader.finish(Duration::ZERO, &mut |d| rest.push(d))?;
        deltas.extend(rest);
        Ok((deltas, finish))
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
            ("length", Some(17), Some(120))
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
        assert_eq!(end.completion_tokens, Some(40));
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
            (None, None),
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

    /// Each stream as a server that somebody runs writes it, with what a person wants to read.
    #[test]
    fn what_servers_do_otherwise_loses_no_answer() {
        const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
        const HELLO: &str = r#"{"choices":[{"delta":{"content":"Hello"},"finish_reason":null}]}"#;
        const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
        const COUNTS: &str = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
        const DONE: &str = "[DONE]";
        let hm = r#"{"choices":[{"delta":{"reasoning":"","reasoning_content":"hm"}}]}"#;
        let half = [
            r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#,
            r#"{"choices":[{"delta":{"content":"\ude00"}}]}"#,
        ];
        let tags = [
            r#"{"choices":[{"delta":{"content":"<thi"}}]}"#,
            r#"{"choices":[{"delta":{"content":"nk>hm</th"}}]}"#,
            r#"{"choices":[{"delta":{"content":"ink>\n\nHello"}}]}"#,
        ];
        let parts = r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"Hello"}]}}]}"#;
        let null = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":null}}"#;
        let whole = ("", "Hello", "stop", Some(2));
        for (events, expected) in [
            (vec![ROLE, "", HELLO, STOP, COUNTS, DONE], whole),
            (vec!["not json", HELLO, "{", STOP, COUNTS, DONE], whole),
            (vec![ROLE, HELLO, STOP, COUNTS], whole),
            (
                vec![
                    HELLO,
                    r#"{"choices":[{"delta":null,"finish_reason":"stop"}]}"#,
                    COUNTS,
                    DONE,
                ],
                whole,
            ),
            (
                vec![ROLE, HELLO, COUNTS, DONE],
                ("", "Hello", "unknown", Some(2)),
            ),
            (
                vec![ROLE, HELLO, STOP, null, DONE],
                ("", "Hello", "stop", None),
            ),
            (
                vec![ROLE, parts, STOP, COUNTS, DONE],
                ("hm", "Hello", "stop", Some(2)),
            ),
            (
                vec![half[0], half[1], STOP, COUNTS, DONE],
                ("", "\u{fffd}\u{fffd}", "stop", Some(2)),
            ),
            (
                vec![ROLE, hm, HELLO, STOP, COUNTS, DONE],
                ("hm", "Hello", "stop", Some(2)),
            ),
            (
                vec![tags[0], tags[1], tags[2], STOP, COUNTS, DONE],
                ("hm", "Hello", "stop", Some(2)),
            ),
        ] {
            let stream: String = events.iter().map(|e| format!("data: {e}\n\n")).collect();
            for stream in [stream.clone(), format!("\u{feff}{stream}")] {
                for piece in [1, 101, usize::MAX] {
                    let (deltas, end) = follow(stream.as_bytes(), piece).expect(&stream);
                    let (reasoning, content) = text(&deltas);
                    let found = (&*reasoning, &*content, &*end.reason, end.completion_tokens);
                    assert_eq!(found, expected, "{stream}");
                    assert_eq!(end.prompt_tokens, Some(9));
                }
            }
        }
    }

    #[test]
    fn tool_calls_come_piece_by_piece_before_they_are_whole() {
        let piece = |index: u32, name: &str, arguments: &str| {
            let call = serde_json::json!({"index": index, "function": {"name": name, "arguments": arguments}});
            format!(
                "data: {}\n\n",
                serde_json::json!({"choices": [{"delta": {"tool_calls": [call]}}]})
            )
        };
        let stream = [
            piece(0, "find", ""),
            piece(0, "", "{\"pl"),
            piece(1, "clock", "{}"),
            piece(0, "", "ace\":1}"),
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n".into(),
            "data: [DONE]\n\n".into(),
        ]
        .concat();
        for size in [1, 101, usize::MAX] {
            let (deltas, end) = follow(stream.as_bytes(), size).expect("a whole answer");
            assert_eq!(end.reason, "tool_calls");
            let calls: Vec<_> = deltas.iter().flat_map(|d| &d.calls).collect();
            let indices: Vec<u32> = calls.iter().map(|c| c.index).collect();
            assert_eq!(indices, [0, 0, 1, 0], "each as it came");
            let first = calls.iter().filter(|c| c.index == 0);
            let arguments: String = first.map(|c| c.arguments.as_str()).collect();
            assert_eq!(arguments, "{\"place\":1}");
        }
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
        assert_eq!(error_text(br#"{"detail":"Not Found"}"#), "Not Found");
        assert_eq!(
            error_text(
                br#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"},{"loc":["body","n",0],"msg":"too large"}]}"#
            ),
            "messages: Field required; n.0: too large"
        );
    }
}
