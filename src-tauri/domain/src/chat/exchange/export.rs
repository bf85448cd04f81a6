//! From a conversation to a file.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{OWN, OwnFile, VERSION};
use crate::chat::{Message, Role};

/// How a conversation is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// For reading: what is shown.
    Markdown,
    /// Tandem's own: every version, to be read again. Images are not in it.
    Tandem,
    /// `{"messages": […]}`, as requests to the OpenAI API have it: what is shown.
    OpenAi,
}

impl ExportFormat {
    /// The ending of the file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Markdown => "md",
            Self::Tandem | Self::OpenAi => "json",
        }
    }
}

/// Writes a conversation. `shown` are the messages of what is shown, `all` those of every version.
pub fn export(format: ExportFormat, title: &str, shown: &[Message], all: &[Message]) -> String {
    match format {
        ExportFormat::Markdown => markdown(title, shown),
        ExportFormat::OpenAi => pretty(&json!({
            "messages": shown
                .iter()
                .map(|m| json!({ "role": m.role, "content": m.text }))
                .collect::<Vec<_>>(),
        })),
        ExportFormat::Tandem => pretty(&OwnFile {
            format: OWN.to_owned(),
            version: VERSION,
            title: title.to_owned(),
            messages: all.to_vec(),
            shown: shown.last().map(|m| m.id.clone()),
        }),
    }
}

/// Numbers of these types are finite and names are text, so it can always be written.
fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn markdown(title: &str, shown: &[Message]) -> String {
    let mut text = format!("# {}\n", title.replace('\n', " "));
    for message in shown {
        let who = match message.role {
            Role::System => "Rules",
            Role::User => "You",
            Role::Assistant => "Model",
        };
        text.push_str(&format!("\n## {who}\n"));
        if !message.images.is_empty() {
            text.push_str(&format!("\n*({} images)*\n", message.images.len()));
        }
        if !message.reasoning.is_empty() {
            text.push_str("\n<details><summary>Reasoning</summary>\n\n");
            text.push_str(&message.reasoning);
            text.push_str("\n\n</details>\n");
        }
        if !message.text.is_empty() {
            text.push_str(&format!("\n{}\n", message.text.trim_end()));
        }
        for call in &message.calls {
            let (name, arguments) = (&call.name, &call.arguments);
            text.push_str(&format!("\nCalls `{name}`:\n\n```json\n{arguments}\n```\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ToolCall;

    fn conversation() -> Vec<Message> {
        vec![
            Message {
                images: vec!["i".into()],
                ..Message::new("q", Role::User, "What is this?", 1)
            },
            Message {
                reasoning: "It is long.".into(),
                calls: vec![ToolCall {
                    name: "find".into(),
                    arguments: "{}".into(),
                }],
                parent: Some("q".into()),
                ..Message::new("a", Role::Assistant, "A cable.", 2)
            },
        ]
    }

    #[test]
    fn markdown_reads_as_the_conversation_did() {
        let text = export(ExportFormat::Markdown, "A\ncable", &conversation(), &[]);
        let expected = "# A cable\n\n## You\n\n*(1 images)*\n\nWhat is this?\n\n## Model\n\n<details><summary>Reasoning</summary>\n\nIt is long.\n\n</details>\n\nA cable.\n\nCalls `find`:\n\n```json\n{}\n```\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_openai_form_is_that_of_a_request() {
        let text = export(ExportFormat::OpenAi, "t", &conversation(), &[]);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let expected = json!({"messages": [
            {"role": "user", "content": "What is this?"},
            {"role": "assistant", "content": "A cable."},
        ]});
        assert_eq!(value, expected);
    }

    #[test]
    fn what_is_exported_whole_is_read_again_with_every_version() {
        let mut all = conversation();
        all.push(Message {
            parent: Some("q".into()),
            ..Message::new("b", Role::Assistant, "A rope.", 3)
        });
        let text = export(ExportFormat::Tandem, "Cables", &all[..2], &all);
        let read = super::super::read(&text).expect("it is read");
        let [conversation] = read.as_slice() else {
            panic!("one conversation: {read:?}");
        };
        assert_eq!(conversation.title, "Cables");
        assert_eq!(conversation.shown, Some(1));
        assert_eq!(conversation.left_out, 1, "its image");
        let messages = &conversation.messages;
        let parents: Vec<_> = messages.iter().map(|m| m.parent).collect();
        assert_eq!(parents, [None, Some(0), Some(0)]);
        assert_eq!(messages[1].reasoning, "It is long.");
        assert_eq!(messages[2].text, "A rope.");
    }
}
