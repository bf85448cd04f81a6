//! Conversations to files and back.

use tandem_domain::chat::exchange::{self, ExportFormat, Imported};
use tandem_domain::chat::{Message, prompt};
use tandem_domain::ids::ConversationId;
use tandem_domain::problem::{Code, Problem};

use super::chat::message_gone;
use super::{App, stored};
use crate::wire::ImportedChats;

/// The longest name of a file, in characters, without its ending.
const NAME: usize = 60;

impl App {
    /// A conversation as a file: its name and its text.
    pub async fn export_conversation(
        &self,
        id: &ConversationId,
        format: ExportFormat,
    ) -> Result<(String, String), Problem> {
        let store = &self.workspace().await.store;
        let all = stored(store.conversations().await)?;
        let title = all.into_iter().find(|summary| summary.id == *id);
        let title = title.ok_or_else(message_gone)?.title;
        let shown = stored(store.messages(id, None, u32::MAX).await)?;
        let versions = stored(store.all_messages(id).await)?;
        let text = exchange::export(format, &title, &shown, &versions);
        Ok((file_name(&title, format), text))
    }

    /// Takes the conversations of a file in, each as a new one.
    pub async fn import_conversations(&self, text: String) -> Result<ImportedChats, Problem> {
        let read = tokio::task::spawn_blocking(move || exchange::read(&text)).await;
        let read = read
            .map_err(|e| Problem::new(Code::Broken, "Nothing was imported.").detail(e.to_string()))?
            .map_err(|e| e.problem())?;
        let store = &self.workspace().await.store;
        let mut taken = ImportedChats::default();
        for conversation in read {
            let id = ConversationId(super::new_id());
            let (title, at, messages, shown) = self.as_kept(&conversation);
            stored(
                store
                    .import_conversation(&id, &title, at, &messages, shown.as_deref())
                    .await,
            )?;
            taken.conversations += 1;
            taken.messages += u32::try_from(messages.len()).unwrap_or(u32::MAX);
            taken.left_out += conversation.left_out;
            taken.last = Some(id);
        }
        if let Some(id) = &taken.last {
            self.tell(id);
        }
        Ok(taken)
    }

    /// Title, last change, messages under new ids, and the one that is shown last.
    fn as_kept(&self, from: &Imported) -> (String, i64, Vec<Message>, Option<String>) {
        let now = self.now();
        let ids: Vec<String> = from.messages.iter().map(|_| super::new_id()).collect();
        let messages: Vec<Message> = from
            .messages
            .iter()
            .zip(&ids)
            .map(|(said, id)| Message {
                reasoning: said.reasoning.clone(),
                parent: said.parent.map(|place| ids[place].clone()),
                // What somebody else's answer took is not known, and it is not cut off either.
                stopped: false,
                ..Message::new(
                    id,
                    said.role,
                    &said.text,
                    said.at.or(from.at).unwrap_or(now),
                )
            })
            .collect();
        let title = match from.title.trim() {
            "" => prompt::title(&messages),
            title => title.to_owned(),
        };
        let shown = from.shown.map(|place| ids[place].clone());
        (title, from.at.unwrap_or(now), messages, shown)
    }
}

/// A name that every system takes.
fn file_name(title: &str, format: ExportFormat) -> String {
    let plain = |c: char| match c {
        c if c.is_alphanumeric() || "-_ ".contains(c) => c,
        _ => ' ',
    };
    let words: String = title.chars().map(plain).take(NAME).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let name = if words.is_empty() {
        "conversation"
    } else {
        &words
    };
    format!("{name}.{}", format.ending())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_name_that_every_system_takes() {
        let name = |title: &str| file_name(title, ExportFormat::Markdown);
        assert_eq!(name("Ports: who/what?"), "Ports who what.md");
        assert_eq!(name("../../etc"), "etc.md");
        assert_eq!(name("…"), "conversation.md");
        assert_eq!(name(&"long ".repeat(40)).len(), 59 + ".md".len());
    }
}
