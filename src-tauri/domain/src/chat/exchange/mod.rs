//! Conversations as files: written as Markdown, as Tandem's own JSON and as the OpenAI API has them; read from these and
//! from the exports of other programs.

mod export;
mod import;

use serde::{Deserialize, Serialize};

use crate::chat::{Message, Role};

pub use export::{ExportFormat, export};
pub use import::{ImportError, read};

/// The name of Tandem's own format.
const OWN: &str = "tandem-conversation";

/// Its version. A reader takes this one and earlier ones.
const VERSION: u32 = 1;

/// A conversation in Tandem's own format: every message with its versions. Images are not in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct OwnFile {
    format: String,
    version: u32,
    title: String,
    messages: Vec<Message>,
    /// The last message of what was shown.
    shown: Option<String>,
}

/// A conversation that was read, with ids of the file's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// Its title; empty where the file has none.
    pub title: String,
    /// Its last change, ms since 1970; `None` where the file does not say.
    pub at: Option<i64>,
    /// Its messages, each after the one that it follows.
    pub messages: Vec<ImportedMessage>,
    /// The place in `messages` of the last one that was shown.
    pub shown: Option<usize>,
    /// Images and files that were left behind.
    pub left_out: u32,
}

/// A message of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedMessage {
    /// The place in the list of the message that it follows.
    pub parent: Option<usize>,
    /// Who says it.
    pub role: Role,
    /// The text.
    pub text: String,
    /// The reasoning before it.
    pub reasoning: String,
    /// When, ms since 1970; `None` where the file does not say.
    pub at: Option<i64>,
}
