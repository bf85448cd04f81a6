//! One event of a streamed answer as servers write it. Names, parts and missing members differ from server to server,
//! so what is not understood of a chunk says nothing, and the rest of it counts.

use serde::Deserialize;
use serde_json::Value;
use tandem_domain::chat::CallPiece;

#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) choices: Vec<Choice>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) usage: Option<Usage>,
    error: Option<ErrorBody>,
    /// Old servers put the error's text at the top.
    object: Option<String>,
    message: Option<String>,
    code: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Choice {
    #[serde(default, deserialize_with = "or_default")]
    delta: Words,
    /// The whole answer, of a server that does not stream.
    #[serde(default, deserialize_with = "or_default")]
    message: Words,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Words {
    #[serde(default)]
    content: Value,
    #[serde(default)]
    reasoning: Value,
    #[serde(default)]
    reasoning_content: Value,
    #[serde(default)]
    thinking: Value,
    #[serde(default)]
    tool_calls: Value,
    /// The one call of older servers.
    #[serde(default)]
    function_call: Value,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Usage {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) prompt_tokens: Option<u32>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) completion_tokens: Option<u32>,
    #[serde(default, deserialize_with = "or_default")]
    prompt_tokens_details: PromptDetails,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
struct PromptDetails {
    #[serde(default, deserialize_with = "or_default")]
    cached_tokens: Option<u32>,
}

impl Usage {
    /// Tokens of the prompt that came from the prefix cache, where the server says so.
    pub(super) fn cached(self) -> Option<u32> {
        self.prompt_tokens_details.cached_tokens
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum ErrorBody {
    Full {
        message: String,
        code: Option<Value>,
    },
    Text(String),
}

/// What is null or of another kind counts as not there.
fn or_default<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::de::DeserializeOwned,
{
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

impl Chunk {
    /// Reads an event's data.
    pub(super) fn read(data: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(data).or_else(|error| match with_whole_characters(data) {
            Some(mended) => serde_json::from_str(&mended),
            None => Err(error),
        })
    }

    /// The failure that it tells, as status and words.
    pub(super) fn failure(&self) -> Option<(u16, String)> {
        let (code, message) = match &self.error {
            Some(ErrorBody::Full { message, code }) => (code, message),
            Some(ErrorBody::Text(message)) => (&self.code, message),
            None if self.object.as_deref() == Some("error") => (&self.code, self.message.as_ref()?),
            None => return None,
        };
        let code = code.as_ref().and_then(Value::as_u64);
        // Some servers put a word where others put the HTTP status.
        let code = code.and_then(|c| u16::try_from(c).ok()).unwrap_or(500);
        Some((code, message.clone()))
    }
}

impl Choice {
    /// Reasoning and content. Of several names of the reasoning the first that is not empty counts.
    pub(super) fn words(&self) -> (String, String) {
        let (mut reasoning, mut content) = (String::new(), String::new());
        for words in [&self.delta, &self.message] {
            let names = [&words.reasoning, &words.reasoning_content, &words.thinking];
            let named = names
                .iter()
                .find_map(|v| v.as_str().filter(|t| !t.is_empty()));
            reasoning.push_str(named.unwrap_or_default());
            parts(&words.content, &mut reasoning, &mut content, false);
        }
        (reasoning, content)
    }
}

impl Choice {
    /// Pieces of tool calls.
    pub(super) fn calls(&self) -> Vec<CallPiece> {
        let mut found = Vec::new();
        for words in [&self.delta, &self.message] {
            let list = words.tool_calls.as_array();
            for (place, call) in list.into_iter().flatten().enumerate() {
                let index = call["index"].as_u64().unwrap_or(place as u64);
                found.extend(call_piece(index, &call["function"]));
            }
            found.extend(call_piece(0, &words.function_call));
        }
        found
    }
}

/// A call's function; some servers give its arguments as the object itself. `None` where there is none.
fn call_piece(index: u64, function: &Value) -> Option<CallPiece> {
    let arguments = match &function["arguments"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        object => object.to_string(),
    };
    let name = function["name"].as_str().unwrap_or_default().to_owned();
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    (function.is_object() && !(name.is_empty() && arguments.is_empty())).then_some(CallPiece {
        index,
        name,
        arguments,
    })
}

/// Content is a text, or a list of parts of which some are thinking.
fn parts(value: &Value, reasoning: &mut String, content: &mut String, thinking: bool) {
    match value {
        Value::String(text) if thinking => reasoning.push_str(text),
        Value::String(text) => content.push_str(text),
        Value::Array(list) => {
            for part in list {
                let thinking = thinking || part["type"] == "thinking";
                for name in ["text", "thinking"] {
                    parts(&part[name], reasoning, content, thinking);
                }
            }
        }
        _ => {}
    }
}

/// The data with every half of a character that JSON escapes alone replaced by U+FFFD; `None` where there is none.
/// A token may end in the middle of an emoji, and some servers escape each half.
fn with_whole_characters(data: &str) -> Option<String> {
    let unit = |at: usize| -> Option<u16> {
        let escape = data.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let mut mended = String::with_capacity(data.len());
    let (mut from, mut at) = (0, 0);
    let bytes = data.as_bytes();
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str(&data[from..at]);
                mended.push_str("\\ufffd");
                at += 6;
                from = at;
            }
            // Another escape, of which the second byte may be a backslash.
            _ => at += 2,
        }
    }
    (from > 0).then(|| mended + &data[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_are_replaced_and_all_else_stays() {
        for (data, mended) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""a\ude00b\ud83d""#, Some(r#""a\ufffdb\ufffd""#)),
            (r#""\ud83d\ude00\ud83d""#, Some(r#""\ud83d\ude00\ufffd""#)),
            (r#""\\ud83d é \u00e9""#, None),
            (r#""\ud83d\ude00""#, None),
            ("\"\\", None),
        ] {
            assert_eq!(with_whole_characters(data).as_deref(), mended, "{data}");
        }
    }

    #[test]
    fn tool_calls_are_read_in_each_form() {
        let calls = |data: &str| {
            let chunk = Chunk::read(data).expect("it is read");
            chunk
                .choices
                .iter()
                .flat_map(Choice::calls)
                .collect::<Vec<_>>()
        };
        let piece = |index, name: &str, arguments: &str| CallPiece {
            index,
            name: name.into(),
            arguments: arguments.into(),
        };
        for (data, expected) in [
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"x","function":{"name":"find","arguments":""}}]}}]}"#,
                vec![piece(1, "find", "")],
            ),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a"}}]}}]}"#,
                vec![piece(0, "", "{\"a")],
            ),
            (
                r#"{"choices":[{"message":{"tool_calls":[{"function":{"name":"a","arguments":{"b":1}}},{"function":{"name":"c"}}]}}]}"#,
                vec![piece(0, "a", "{\"b\":1}"), piece(1, "c", "")],
            ),
            (
                r#"{"choices":[{"delta":{"function_call":{"name":"old","arguments":"{}"}}}]}"#,
                vec![piece(0, "old", "{}")],
            ),
            (
                r#"{"choices":[{"delta":{"tool_calls":[7,{"index":0}]}}]}"#,
                vec![],
            ),
            (r#"{"choices":[{"delta":{"tool_calls":null}}]}"#, vec![]),
        ] {
            assert_eq!(calls(data), expected, "{data}");
        }
    }

    #[test]
    fn what_is_not_understood_says_nothing_and_the_rest_counts() {
        let read = |data: &str| {
            let chunk = Chunk::read(data).expect("it is read");
            let words = chunk.choices.first().map(Choice::words).unwrap_or_default();
            (words, chunk.usage)
        };
        let words = |reasoning: &str, content: &str| (reasoning.to_owned(), content.to_owned());
        for (data, expected) in [
            (r#"{"choices":[{"delta":null}]}"#, words("", "")),
            (r#"{"choices":null,"usage":7}"#, words("", "")),
            (
                r#"{"choices":[{"delta":{"content":7,"reasoning":[]}}]}"#,
                words("", ""),
            ),
            (
                r#"{"choices":[{"delta":{"reasoning":"","reasoning_content":"hm","content":"a"}}]}"#,
                words("hm", "a"),
            ),
            (
                r#"{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"a"}]}}]}"#,
                words("hm", "a"),
            ),
            (
                r#"{"choices":[{"message":{"reasoning":"hm","content":"a"}}]}"#,
                words("hm", "a"),
            ),
        ] {
            assert_eq!(read(data).0, expected, "{data}");
        }
        let usage =
            read(r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":null}}"#).1;
        let half = Usage {
            prompt_tokens: Some(9),
            ..Usage::default()
        };
        assert_eq!(usage, Some(half));
        let cached =
            read(r#"{"choices":[],"usage":{"prompt_tokens_details":{"cached_tokens":16}}}"#).1;
        assert_eq!(cached.and_then(Usage::cached), Some(16));
    }
}
