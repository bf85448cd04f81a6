//! Talking with a model: what is sent, what comes back, and what is kept.

use serde::{Deserialize, Serialize};

use crate::ids::ConversationId;

pub mod budget;
pub mod controls;
pub mod exchange;
mod fold;
pub mod prompt;
pub mod search;
pub mod token_rate;

pub use controls::{Controls, Sampling};
pub use fold::Answer;

/// Who says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Rules for the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message to the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptMessage {
    /// Who says it.
    pub role: Role,
    /// The text.
    pub text: String,
    /// Images as `data:` URLs.
    pub images: Vec<String>,
}

/// A request for an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatRequest {
    /// The served model's name.
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<PromptMessage>,
    /// The most tokens to answer with.
    pub max_tokens: u32,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What form the answer has.
    pub format: controls::AnswerFormat,
    /// `Some(false)` asks the model not to think first; `None` leaves it to the template.
    pub thinking: Option<bool>,
    /// The template's argument that switches thinking, where it is not `enable_thinking`.
    pub switch: Option<String>,
    /// How much the model reasons, `reasoning_effort` of the API; `None` leaves it to the template.
    pub level: Option<String>,
    /// Go on with the last message, which is a part of an answer, instead of answering anew.
    pub continues: bool,
    /// Go on to `max_tokens` even past an end of sequence, as a benchmark needs.
    pub ignore_eos: bool,
    /// Seconds without a single byte after which the answer is given up.
    pub patience_s: u64,
}

impl ChatRequest {
    /// A plain question with 1024 tokens to answer in and 120 s of patience.
    pub fn ask(model: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            messages: vec![PromptMessage {
                role: Role::User,
                text: text.into(),
                images: Vec::new(),
            }],
            max_tokens: 1024,
            sampling: Sampling::default(),
            format: controls::AnswerFormat::Text,
            thinking: None,
            switch: None,
            level: None,
            continues: false,
            ignore_eos: false,
            patience_s: 120,
        }
    }
}

/// One chunk of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatDelta {
    /// Since the request was sent.
    pub at: std::time::Duration,
    /// Words of the answer, perhaps none.
    pub content: String,
    /// Words of the reasoning, perhaps none.
    pub reasoning: String,
    /// Pieces of tool calls, perhaps none.
    pub calls: Vec<CallPiece>,
    /// Tokens of the answer up to here, where the server counts along (`continuous_usage_stats`).
    pub tokens: Option<u32>,
}

/// A tool call of a model, as it wrote it. Tandem runs none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// Its arguments: JSON, where the model wrote it to its end.
    pub arguments: String,
}

/// A piece of a tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct CallPiece {
    /// Which call of the answer it belongs to, from 0 on; fewer than [`MOST_CALLS`].
    pub index: u32,
    /// Added to its name.
    pub name: String,
    /// Added to its arguments.
    pub arguments: String,
}

/// The most tool calls of one answer; others are not shown.
pub const MOST_CALLS: u32 = 64;

/// The reason of an answer whose server ended it without one.
pub const FINISH_UNKNOWN: &str = "unknown";

/// The reason of an answer that the person stopped.
pub const FINISH_STOPPED: &str = "stopped";

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatFinish {
    /// Since the request was sent.
    pub at: std::time::Duration,
    /// `stop`, `length`, …; [`FINISH_UNKNOWN`] where the server did not say.
    pub reason: String,
    /// Tokens of the prompt, by the server's count; `None` where it did not count.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the answer, by the server's count; `None` where it did not count.
    pub completion_tokens: Option<u32>,
    /// Tokens of the prompt that the server had in its prefix cache; `None` where it did not say.
    pub cached_tokens: Option<u32>,
}

/// A conversation in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ConversationSummary {
    /// Its identity.
    pub id: ConversationId,
    /// Its first words.
    pub title: String,
    /// The last change, ms since 1970.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub updated_at: i64,
    /// Whether it stands before all others.
    pub pinned: bool,
    /// Whether it was put away: it is found, and stands in the archive only.
    pub archived: bool,
}

/// What can be changed about a conversation. Members that are `None` stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ConversationChange {
    /// Its title; empty text is refused.
    pub title: Option<String>,
    /// Whether it stands before all others.
    pub pinned: Option<bool>,
    /// Whether it is put away.
    pub archived: Option<bool>,
}

/// A part of what a conversation shows: one way from its first message to its last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct ConversationPage {
    /// Messages one after the other, the oldest first.
    pub messages: Vec<Message>,
    /// Whether others stand before them.
    pub earlier: bool,
    /// The answer that is coming in this conversation right now.
    pub answering: Option<String>,
}

/// What is asked of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ChatAsk {
    /// A question after all that is shown.
    Question {
        /// Its words.
        text: String,
        /// Ids of its images.
        images: Vec<String>,
    },
    /// A question in other words: another version of it, which begins a branch.
    Edited {
        /// The question that it stands beside.
        message: String,
        /// Its words.
        text: String,
        /// Ids of its images.
        images: Vec<String>,
    },
    /// Another version of an answer, or the first of a question that has none.
    Again {
        /// The answer, or the question.
        message: String,
    },
    /// More of an answer that was stopped or cut.
    Continued {
        /// The answer.
        message: String,
    },
}

/// A message as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Message {
    /// Its identity; for an answer, also what Stop names.
    pub id: String,
    /// Who says it.
    pub role: Role,
    /// The text.
    pub text: String,
    /// The reasoning before it.
    pub reasoning: String,
    /// Ids of kept images.
    pub images: Vec<String>,
    /// Tools that the model calls.
    pub calls: Vec<ToolCall>,
    /// When, ms since 1970.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub at: i64,
    /// What it took; `None` for a question, and for an answer that was cut off.
    pub stats: Option<AnswerStats>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// The message that it follows; `None` for the first of a conversation.
    pub parent: Option<String>,
    /// All messages in its place, the oldest first, its own id among them: answers that were asked for again, questions
    /// that were edited.
    pub versions: Vec<String>,
}

impl Message {
    /// A message of these words, the only one in its place.
    pub fn new(id: impl Into<String>, role: Role, text: impl Into<String>, at: i64) -> Self {
        let id = id.into();
        Self {
            versions: vec![id.clone()],
            id,
            role,
            text: text.into(),
            reasoning: String::new(),
            images: Vec::new(),
            calls: Vec::new(),
            at,
            stats: None,
            stopped: false,
            parent: None,
        }
    }
}

/// What an answer took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct AnswerStats {
    /// Seconds to the first token (TTFT).
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub ttft_s: f64,
    /// Tokens per second after the first.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub tokens_per_s: f64,
    /// Tokens of the answer; `None` where the server did not count.
    pub completion_tokens: Option<u32>,
    /// Tokens of the prompt; `None` where the server did not count.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the prompt that the server had in its prefix cache; `None` where it did not say.
    pub cached_tokens: Option<u32>,
    /// Seconds from the first word of the reasoning to the first of the answer; `None` where it did not think.
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub thought_s: Option<f64>,
    /// The server's reason to end; [`FINISH_UNKNOWN`] where it gave none, [`FINISH_STOPPED`] where the person stopped it.
    pub finish: String,
}

/// What the window hears while an answer comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ChatEvent {
    /// An answer is awaited.
    Began {
        /// The person's message as kept. What stands after it is shown no more.
        question: Message,
        /// The answer: empty, or with the words that it goes on from.
        answer: Message,
    },
    /// More words.
    Words {
        /// Added to the answer.
        content: String,
        /// Added to the reasoning.
        reasoning: String,
        /// Added to the tool calls.
        calls: Vec<CallPiece>,
    },
    /// The end; the message as kept.
    Ended {
        /// The answer.
        message: Message,
    },
    /// It did not happen, or not to the end; what came is kept.
    Failed {
        /// Why.
        problem: crate::problem::Problem,
        /// What came until then, if anything.
        message: Option<Message>,
    },
}
