//! From a file to conversations. The kind is found by what stands in it, since names of files tell nothing.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Imported, ImportedMessage, OWN, OwnFile, VERSION};
use crate::chat::Role;
use crate::problem::{Code, Problem, bytes};

/// The largest file that is read. Years of conversations without images have some ten megabytes.
const MOST_BYTES: usize = 128 << 20;

/// The most conversations of a file.
const MOST_CONVERSATIONS: usize = 20_000;

/// The most messages of a conversation.
const MOST_MESSAGES: usize = 50_000;

/// The longest title, in characters.
const TITLE: usize = 200;

/// Why nothing was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is larger than Tandem reads.
    #[error("the file has {0} bytes")]
    TooLarge(usize),
    /// It holds more than Tandem reads.
    #[error("the file has more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are read.
        most: usize,
    },
    /// It is no JSON.
    #[error("the file is no JSON: {0}")]
    NoJson(String),
    /// It is JSON of another kind.
    #[error("nothing in the file is a conversation")]
    Unknown,
    /// A newer Tandem wrote it.
    #[error("a newer Tandem wrote it, in version {0} of the format")]
    Newer(u32),
}

impl ImportError {
    /// The error in words.
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(Code::BadInput, "Nothing was imported.");
        match self {
            Self::TooLarge(size) => problem
                .cause(format!(
                    "The file has {}; {} is the most.",
                    bytes(*size as u64),
                    bytes(MOST_BYTES as u64)
                ))
                .fix("Export fewer conversations at a time."),
            Self::TooMany { what, most } => problem
                .cause(format!("The file has more than {most} {what}."))
                .fix("Export fewer conversations at a time."),
            Self::NoJson(detail) => problem
                .cause(format!("The file is no JSON: {detail}."))
                .fix("Unpack an archive first, then choose the JSON file in it."),
            Self::Unknown => problem
                .cause("Nothing in the file is a conversation of a kind that Tandem reads.")
                .fix("Choose an export of Tandem, ChatGPT, Open WebUI or LM Studio, or messages of the OpenAI API."),
            Self::Newer(version) => problem
                .cause(format!(
                    "A newer Tandem wrote the file: its format has version {version}, and {VERSION} is known here."
                ))
                .fix("Update Tandem, then import it again."),
        }
    }
}

/// Reads every conversation of a file: Tandem's own, exports of ChatGPT, Open WebUI and LM Studio, and messages of the
/// OpenAI API, also one conversation a line.
pub fn read(text: &str) -> Result<Vec<Imported>, ImportError> {
    if text.len() > MOST_BYTES {
        return Err(ImportError::TooLarge(text.len()));
    }
    let text = text.trim_start_matches('\u{feff}');
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => lines(text).ok_or(ImportError::NoJson(error.to_string()))?,
    };
    let candidates = match value {
        // A list of messages is one conversation, and any other list one for each member.
        Value::Array(list) if list.iter().all(is_message) && !list.is_empty() => {
            let mut whole = Map::new();
            whole.insert("messages".into(), Value::Array(list));
            vec![Value::Object(whole)]
        }
        Value::Array(list) => list,
        other => vec![other],
    };
    if candidates.len() > MOST_CONVERSATIONS {
        return Err(ImportError::TooMany {
            what: "conversations",
            most: MOST_CONVERSATIONS,
        });
    }
    let mut found = Vec::new();
    for candidate in candidates {
        if let Some(read) = conversation(candidate)? {
            found.push(read);
        }
    }
    found.retain(|conversation| !conversation.messages.is_empty());
    if found.is_empty() {
        return Err(ImportError::Unknown);
    }
    Ok(found)
}

/// One JSON value a line, as training data has it; `None` where a line is none.
fn lines(text: &str) -> Option<Value> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let values: Option<Vec<Value>> = lines.map(|line| serde_json::from_str(line).ok()).collect();
    values.filter(|v| v.len() > 1).map(Value::Array)
}

fn is_message(value: &Value) -> bool {
    value["role"].is_string() && value.get("content").is_some()
}

fn conversation(value: Value) -> Result<Option<Imported>, ImportError> {
    if value["format"] == OWN {
        let version = value["version"].as_u64().unwrap_or(0);
        if version > u64::from(VERSION) {
            return Err(ImportError::Newer(
                u32::try_from(version).unwrap_or(u32::MAX),
            ));
        }
        let read: Result<OwnFile, _> = serde_json::from_value(value);
        return read.ok().map(own).transpose();
    }
    if value["mapping"].is_object() {
        return chatgpt(&value).map(Some);
    }
    if value["chat"].is_object() {
        return open_webui(&value).map(Some);
    }
    match value["messages"].as_array() {
        Some(list) if list.iter().any(|m| m["versions"].is_array()) => {
            lm_studio(&value, list).map(Some)
        }
        Some(list) => openai(&value, list).map(Some),
        None => Ok(None),
    }
}

/// Messages by the names that a file gives them, put so that each stands after the one that it follows.
struct Tree {
    found: Vec<(String, Option<String>, ImportedMessage)>,
    left_out: u32,
}

impl Tree {
    fn new() -> Self {
        Self {
            found: Vec::new(),
            left_out: 0,
        }
    }

    fn add(
        &mut self,
        id: &str,
        parent: Option<&str>,
        message: ImportedMessage,
    ) -> Result<(), ImportError> {
        if self.found.len() == MOST_MESSAGES {
            return Err(ImportError::TooMany {
                what: "messages in a conversation",
                most: MOST_MESSAGES,
            });
        }
        let parent = parent.map(str::to_owned);
        self.found.push((id.to_owned(), parent, message));
        Ok(())
    }

    /// Parents that do not exist, or that lead in a circle, count as none.
    fn put(self, title: &str, at: Option<i64>, shown: Option<&str>) -> Imported {
        let mut children: HashMap<Option<&str>, Vec<usize>> = HashMap::new();
        let known: HashMap<&str, usize> = self
            .found
            .iter()
            .enumerate()
            .map(|(place, (id, ..))| (id.as_str(), place))
            .collect();
        for (place, (_, parent, _)) in self.found.iter().enumerate() {
            let parent = parent.as_deref().filter(|p| known.contains_key(p));
            children.entry(parent).or_default().push(place);
        }
        let mut order = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut waiting: Vec<usize> = children.get(&None).cloned().unwrap_or_default();
        waiting.reverse();
        while let Some(place) = waiting.pop() {
            if places.contains_key(&place) {
                continue;
            }
            places.insert(place, order.len());
            order.push(place);
            let below = children.get(&Some(self.found[place].0.as_str()));
            waiting.extend(below.into_iter().flatten().rev());
        }
        let messages = order
            .iter()
            .map(|place| {
                let (_, parent, message) = &self.found[*place];
                let parent = parent.as_deref().and_then(|p| known.get(p));
                ImportedMessage {
                    parent: parent.and_then(|p| places.get(p)).copied(),
                    ..message.clone()
                }
            })
            .collect();
        let shown = shown.and_then(|id| known.get(id));
        Imported {
            title: title.chars().take(TITLE).collect(),
            at,
            messages,
            shown: shown.and_then(|place| places.get(place)).copied(),
            left_out: self.left_out,
        }
    }
}

fn own(file: OwnFile) -> Result<Imported, ImportError> {
    let mut tree = Tree::new();
    for message in &file.messages {
        tree.left_out += u32::try_from(message.images.len()).unwrap_or(u32::MAX);
        let mut text = message.text.clone();
        for call in &message.calls {
            text.push_str(&format!("\n\nCalls `{}`: {}", call.name, call.arguments));
        }
        let read = ImportedMessage {
            parent: None,
            role: message.role,
            text,
            reasoning: message.reasoning.clone(),
            at: Some(message.at),
        };
        tree.add(&message.id, message.parent.as_deref(), read)?;
    }
    let at = file.messages.iter().map(|m| m.at).max();
    Ok(tree.put(&file.title, at, file.shown.as_deref()))
}

fn chatgpt(value: &Value) -> Result<Imported, ImportError> {
    let mut tree = Tree::new();
    let empty = Map::new();
    let mapping = value["mapping"].as_object().unwrap_or(&empty);
    for (id, node) in mapping {
        let Some((role, text)) = visible(node) else {
            continue;
        };
        let (_, others) = words(&node["message"]["content"]["parts"]);
        tree.left_out += others;
        let read = ImportedMessage {
            parent: None,
            role,
            text,
            reasoning: String::new(),
            at: seconds(&node["message"]["create_time"]),
        };
        tree.add(id, above(mapping, node).as_deref(), read)?;
    }
    let current = value["current_node"].as_str();
    let shown = current.and_then(|id| match mapping.get(id) {
        Some(node) if visible(node).is_none() => above(mapping, node),
        _ => Some(id.to_owned()),
    });
    let at = seconds(&value["update_time"]).or(seconds(&value["create_time"]));
    Ok(tree.put(title(value), at, shown.as_deref()))
}

/// What a node of ChatGPT says. Some have no message, or one that is not shown there.
fn visible(node: &Value) -> Option<(Role, String)> {
    let message = &node["message"];
    let role = role(message["author"]["role"].as_str()?)?;
    let (text, _) = words(&message["content"]["parts"]);
    let hidden = message["metadata"]["is_visually_hidden_from_conversation"] == true;
    (!hidden && !text.trim().is_empty() && role != Role::System).then_some((role, text))
}

/// The next node above that says something.
fn above<'a>(mapping: &'a Map<String, Value>, mut node: &'a Value) -> Option<String> {
    // As often as there are nodes: they may lead in a circle.
    for _ in 0..=mapping.len() {
        let parent = node["parent"].as_str()?;
        node = mapping.get(parent)?;
        if visible(node).is_some() {
            return Some(parent.to_owned());
        }
    }
    None
}

fn open_webui(value: &Value) -> Result<Imported, ImportError> {
    let chat = &value["chat"];
    let mut tree = Tree::new();
    let history = chat["history"]["messages"].as_object();
    let all: Vec<&Value> = match history {
        Some(map) => map.values().collect(),
        None => chat["messages"].as_array().into_iter().flatten().collect(),
    };
    let mut before: Option<String> = None;
    for (place, message) in all.into_iter().enumerate() {
        let Some(role) = message["role"].as_str().and_then(role) else {
            continue;
        };
        let (text, others) = words(&message["content"]);
        let files = message["files"].as_array().map_or(0, Vec::len);
        tree.left_out += others + u32::try_from(files).unwrap_or(u32::MAX);
        let (text, reasoning) = without_details(&text);
        let read = ImportedMessage {
            parent: None,
            role,
            text,
            reasoning,
            at: seconds(&message["timestamp"]),
        };
        let id = message["id"].as_str().map_or(place.to_string(), Into::into);
        let parent = match history {
            Some(_) => message["parentId"].as_str().map(str::to_owned),
            None => before.replace(id.clone()),
        };
        tree.add(&id, parent.as_deref(), read)?;
    }
    let shown = chat["history"]["currentId"].as_str().map(str::to_owned);
    let name = match title(value) {
        "" => title(chat),
        name => name,
    };
    let at = seconds(&value["updated_at"]).or(seconds(&chat["timestamp"]));
    Ok(tree.put(name, at, shown.or(before).as_deref()))
}

/// Open WebUI keeps the reasoning as `<details type="reasoning" …>` before the answer, each line quoted.
fn without_details(text: &str) -> (String, String) {
    let begin = text.trim_start();
    let Some((inside, rest)) = begin
        .strip_prefix("<details type=\"reasoning\"")
        .and_then(|rest| rest.split_once("</details>"))
    else {
        return (text.to_owned(), String::new());
    };
    let words = inside
        .split_once("</summary>")
        .map_or(inside, |(_, words)| words);
    let lines = words.trim().lines().map(|line| {
        let line = line.strip_prefix("&gt;").or(line.strip_prefix('>'));
        line.map(str::trim_start)
    });
    let plain: Vec<&str> = words.trim().lines().collect();
    let reasoning: Vec<&str> = lines.zip(plain).map(|(q, p)| q.unwrap_or(p)).collect();
    (rest.trim_start().to_owned(), reasoning.join("\n"))
}

fn lm_studio(value: &Value, list: &[Value]) -> Result<Imported, ImportError> {
    let mut tree = Tree::new();
    let mut before: Option<String> = None;
    let mut last = None;
    for (place, message) in list.iter().enumerate() {
        let versions: Vec<&Value> = message["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .collect();
        let selected = message["currentlySelected"].as_u64().unwrap_or(0);
        let parent = before.clone();
        for (version, said) in versions.iter().enumerate() {
            let Some(role) = said["role"].as_str().and_then(role) else {
                continue;
            };
            let (mut text, mut others) = words(&said["content"]);
            let mut reasoning = String::new();
            for step in said["steps"].as_array().into_iter().flatten() {
                let (part, left) = words(&step["content"]);
                others += left;
                if step["style"]["type"] == "thinking" {
                    reasoning.push_str(&part);
                } else if step["type"] == "contentBlock" {
                    text.push_str(&part);
                }
            }
            tree.left_out += others;
            let id = format!("{place}.{version}");
            if version as u64 == selected || before == parent {
                before = Some(id.clone());
                last = Some(id.clone());
            }
            let read = ImportedMessage {
                parent: None,
                role,
                text,
                reasoning,
                at: None,
            };
            tree.add(&id, parent.as_deref(), read)?;
        }
    }
    let name = value["name"].as_str().unwrap_or_default();
    Ok(tree.put(name, seconds(&value["createdAt"]), last.as_deref()))
}

fn openai(value: &Value, list: &[Value]) -> Result<Imported, ImportError> {
    let mut tree = Tree::new();
    let mut before: Option<String> = None;
    for (place, message) in list.iter().enumerate() {
        let Some(role) = message["role"].as_str().and_then(role) else {
            continue;
        };
        let (text, others) = words(&message["content"]);
        tree.left_out += others;
        if text.trim().is_empty() {
            continue;
        }
        let reasoning = ["reasoning", "reasoning_content"].map(|n| message[n].as_str());
        let read = ImportedMessage {
            parent: None,
            role,
            text,
            reasoning: reasoning.into_iter().flatten().next().unwrap_or("").into(),
            at: None,
        };
        let id = place.to_string();
        tree.add(&id, before.as_deref(), read)?;
        before = Some(id);
    }
    Ok(tree.put(title(value), None, before.as_deref()))
}

fn role(name: &str) -> Option<Role> {
    match name {
        "user" | "human" => Some(Role::User),
        "assistant" | "model" | "gpt" => Some(Role::Assistant),
        "system" | "developer" => Some(Role::System),
        _ => None,
    }
}

fn title(value: &Value) -> &str {
    value["title"].as_str().unwrap_or_default()
}

/// The words of a content, which is a text or a list of parts, and how many parts were something else.
fn words(content: &Value) -> (String, u32) {
    match content {
        Value::String(text) => (text.clone(), 0),
        Value::Array(parts) => {
            let (mut text, mut others) = (String::new(), 0);
            for part in parts {
                let said = part.as_str().or(part["text"].as_str());
                match said {
                    Some(words) => {
                        if !text.is_empty() && !words.is_empty() {
                            text.push('\n');
                        }
                        text.push_str(words);
                    }
                    None => others += 1,
                }
            }
            (text, others)
        }
        _ => (String::new(), 0),
    }
}

/// A moment in ms since 1970, of seconds, milliseconds or nanoseconds: each program counts another way.
fn seconds(value: &Value) -> Option<i64> {
    let moment = value.as_f64()?;
    let ms = match moment {
        m if m <= 0.0 => return None,
        m if m < 1e11 => m * 1e3,
        m if m < 1e14 => m,
        m if m < 1e17 => m / 1e3,
        m => m / 1e6,
    };
    // Within a few thousand years, so the number fits.
    Some(ms as i64)
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
