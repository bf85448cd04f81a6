//! What is kept of conversations: the list, pages of messages, drafts, pictures.

use std::sync::Arc;
use std::time::Duration;

use tandem_adapters::image_resize::{self, data_url};
use tandem_adapters::store::StoredImage;
use tandem_domain::chat::budget::image_tokens;
use tandem_domain::chat::search::{self, FoundMessage};
use tandem_domain::chat::{ConversationChange, ConversationPage, ConversationSummary};
use tandem_domain::ids::ConversationId;
use tandem_domain::problem::{Code, Problem};
use tokio::sync::broadcast::error::RecvError;

use super::workspace::Workspace;
use super::{App, stored};
use crate::wire::{ChatDraft, ConversationNews, ImageView};

/// How long what was deleted can be brought back.
const UNDO_FOR: Duration = Duration::from_secs(300);

/// How many messages a conversation opens with: more than a window shows, so that all open equally fast.
const LAST: u32 = 12;

/// How many messages come at once of what stands before.
const EARLIER: u32 = 40;

impl App {
    /// All conversations, those in the archive too.
    pub async fn list_conversations(&self) -> Result<Vec<ConversationSummary>, Problem> {
        stored(self.workspace().await.store.conversations().await)
    }

    /// The last messages of a conversation, or those right before this one.
    pub async fn conversation(
        &self,
        id: &ConversationId,
        before: Option<&str>,
    ) -> Result<ConversationPage, Problem> {
        let workspace = self.workspace().await;
        let most = if before.is_some() { EARLIER } else { LAST };
        // One more than is shown tells whether there are others.
        let mut messages = stored(workspace.store.messages(id, before, most + 1).await)?;
        let earlier = messages.len() > most as usize;
        if earlier {
            messages.remove(0);
        }
        Ok(ConversationPage {
            messages,
            earlier,
            answering: self.answering(id),
        })
    }

    /// Shows another version, and what follows it. Gives back the last messages.
    pub async fn show_version(
        &self,
        id: &ConversationId,
        message: &str,
    ) -> Result<ConversationPage, Problem> {
        if !stored(self.workspace().await.store.show_message(message).await)? {
            return Err(message_gone());
        }
        self.tell(id);
        self.conversation(id, None).await
    }

    /// Messages that hold what is typed, the latest first.
    pub async fn search_messages(&self, typed: &str) -> Result<Vec<FoundMessage>, Problem> {
        let Some(query) = search::query(typed) else {
            return Ok(Vec::new());
        };
        stored(self.workspace().await.store.search_messages(&query).await)
    }

    /// Renames, pins or archives a conversation.
    pub async fn change_conversation(
        &self,
        id: &ConversationId,
        mut change: ConversationChange,
    ) -> Result<(), Problem> {
        if let Some(title) = &mut change.title {
            *title = title.trim().to_owned();
            if title.is_empty() {
                return Err(
                    Problem::new(Code::BadInput, "The conversation was not renamed.")
                        .cause("The name is empty.")
                        .fix("Give it a name."),
                );
            }
        }
        stored(
            self.workspace()
                .await
                .store
                .change_conversation(id, &change)
                .await,
        )?;
        self.tell(id);
        Ok(())
    }

    /// Deletes a conversation. For five minutes it can be brought back.
    pub async fn delete_conversation(&self, id: &ConversationId) -> Result<(), Problem> {
        let workspace = self.workspace().await;
        stored(workspace.store.delete_conversation(id, self.now()).await)?;
        self.purge_later(workspace);
        self.tell(id);
        Ok(())
    }

    /// Brings a deleted conversation back.
    pub async fn restore_conversation(&self, id: &ConversationId) -> Result<(), Problem> {
        let found = stored(self.workspace().await.store.restore_conversation(id).await)?;
        self.tell(id);
        if found { Ok(()) } else { Err(not_restored()) }
    }

    /// Deletes a message with what follows it. For five minutes it can be brought back. Gives back the last messages.
    pub async fn delete_message(
        &self,
        id: &ConversationId,
        message: &str,
    ) -> Result<ConversationPage, Problem> {
        let workspace = self.workspace().await;
        stored(workspace.store.delete_message(message, self.now()).await)?;
        self.purge_later(workspace);
        self.tell(id);
        self.conversation(id, None).await
    }

    /// Brings a deleted message back, and shows it. Gives back the last messages.
    pub async fn restore_message(
        &self,
        id: &ConversationId,
        message: &str,
    ) -> Result<ConversationPage, Problem> {
        let found = stored(self.workspace().await.store.restore_message(message).await)?;
        self.tell(id);
        if found {
            self.conversation(id, None).await
        } else {
            Err(not_restored())
        }
    }

    /// What was being written in a conversation, or in a new one.
    pub async fn chat_draft(&self, id: Option<&ConversationId>) -> Result<ChatDraft, Problem> {
        let workspace = self.workspace().await;
        let draft: Option<ChatDraft> = stored(workspace.store.draft(&draft_name(id)).await)?;
        Ok(draft.unwrap_or_default())
    }

    /// Keeps what is being written. An empty draft is forgotten.
    pub async fn save_chat_draft(
        &self,
        id: Option<&ConversationId>,
        draft: &ChatDraft,
    ) -> Result<(), Problem> {
        let store = &self.workspace().await.store;
        let name = draft_name(id);
        if draft.text.is_empty() && draft.images.is_empty() {
            return stored(store.delete_draft(&name).await).map(|_| ());
        }
        stored(store.put_draft(&name, draft, self.now()).await)
    }

    /// Tells of every conversation that changes, until `hear` gives back `false`.
    pub fn watch_conversations(&self, hear: impl Fn(ConversationNews) -> bool + Send + 'static) {
        let mut news = self.inner.conversations.subscribe();
        tokio::spawn(async move {
            loop {
                let heard = match news.recv().await {
                    Ok(conversation) => hear(ConversationNews {
                        conversation: Some(conversation),
                    }),
                    // Some was missed: any of them may have changed.
                    Err(RecvError::Lagged(_)) => hear(ConversationNews { conversation: None }),
                    Err(RecvError::Closed) => false,
                };
                if !heard {
                    break;
                }
            }
        });
    }

    /// Tells all windows that a conversation changed.
    pub(super) fn tell(&self, id: &ConversationId) {
        // Without a window nobody hears it.
        let _ = self.inner.conversations.send(id.clone());
    }

    fn purge_later(&self, workspace: Arc<Workspace>) {
        let app = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(UNDO_FOR).await;
            let until = app.now() - UNDO_FOR.as_millis() as i64;
            if let Err(error) = workspace.store.purge_deleted(until).await {
                tracing::warn!(%error, "what was deleted is removed at the next start");
            }
        });
    }

    /// Takes an image in.
    pub async fn add_image(&self, bytes: Vec<u8>) -> Result<ImageView, Problem> {
        let prepared = tokio::task::spawn_blocking(move || image_resize::prepare(&bytes)).await;
        let prepared = prepared
            .map_err(|e| {
                Problem::new(Code::Broken, "The picture was not added.").detail(e.to_string())
            })?
            .map_err(|e| e.problem())?;
        let image = StoredImage {
            id: super::new_id(),
            mime: prepared.mime.to_owned(),
            width: prepared.width,
            height: prepared.height,
            bytes: prepared.bytes,
        };
        stored(self.workspace().await.store.put_image(&image).await)?;
        Ok(ImageView {
            notices: prepared.notices,
            ..shown(image)
        })
    }

    /// A kept image.
    pub async fn image(&self, id: &str) -> Result<ImageView, Problem> {
        let image = stored(self.workspace().await.store.image(id).await)?;
        image
            .map(shown)
            .ok_or_else(|| Problem::new(Code::BadImage, "The picture is not here any more."))
    }
}

pub(super) fn message_gone() -> Problem {
    Problem::new(Code::BadInput, "The message is not here any more.")
        .cause("It was deleted, perhaps in another window.")
        .fix("Open the conversation again.")
}

fn not_restored() -> Problem {
    Problem::new(Code::BadInput, "It was not brought back.")
        .cause("What was deleted is kept for five minutes, and not over a restart of Tandem.")
}

fn draft_name(id: Option<&ConversationId>) -> String {
    format!("chat/{}", id.map_or("", |id| id.0.as_str()))
}

fn shown(image: StoredImage) -> ImageView {
    let url = data_url(&image.mime, &image.bytes);
    ImageView {
        id: image.id,
        mime: image.mime,
        width: image.width,
        height: image.height,
        tokens: image_tokens(image.width, image.height),
        notices: Vec::new(),
        url,
    }
}
