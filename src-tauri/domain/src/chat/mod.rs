//! Talking with a model: what is sent, what comes back, and what is kept.

use serde::{Deserialize, Serialize};

use crate::ids::ConversationId;

mod fold;
pub mod prompt;
pub mod token_rate;

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
    /// `None` leaves it to the model's own settings.
    pub temperature: Option<f64>,
    /// `Some(false)` asks the model not to think first; `None` leaves it to the template.
    pub thinking: Option<bool>,
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
            temperature: None,
            thinking: None,
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
    /// Tokens of the answer up to here, where the server counts along (`continuous_usage_stats`).
    pub tokens: Option<u32>,
}

/// The reason of an answer whose server ended it without one.
pub const FINISH_UNKNOWN: &str = "unknown";

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
    /// When, ms since 1970.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub at: i64,
    /// What it took, for a finished answer.
    pub stats: Option<AnswerStats>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
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
    /// The server's reason to end; [`FINISH_UNKNOWN`] where it gave none.
    pub finish: String,
}

/// What the window hears while an answer comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ChatEvent {
    /// The answer's message exists, still empty.
    Began {
        /// The person's message as kept.
        question: Message,
        /// The answer's id.
        answer: String,
    },
    /// More words.
    Words {
        /// Added to the answer.
        content: String,
        /// Added to the reasoning.
        reasoning: String,
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
