//! Chat: conversations, images, answers as they come.

use tandem_domain::chat::search::FoundMessage;
use tandem_domain::chat::{
    ChatAsk, ChatEvent, ConversationChange, ConversationPage, ConversationSummary, Wishes,
};
use tandem_domain::ids::ConversationId;
use tauri::State;
use tauri::ipc::Channel;

use super::Answer;
use crate::app::App;
use crate::wire::{ChatDraft, ConversationNews, ImageView};

/// All conversations, those in the archive too; the pinned first, then the latest.
#[tauri::command]
#[specta::specta]
pub async fn list_conversations(app: State<'_, App>) -> Answer<Vec<ConversationSummary>> {
    app.list_conversations().await
}

/// The last messages that a conversation shows, or those right before `before`.
#[tauri::command]
#[specta::specta]
pub async fn conversation(
    app: State<'_, App>,
    id: ConversationId,
    before: Option<String>,
) -> Answer<ConversationPage> {
    app.conversation(&id, before.as_deref()).await
}

/// Shows another version of a message, with what follows it, and gives back the last messages.
#[tauri::command]
#[specta::specta]
pub async fn show_version(
    app: State<'_, App>,
    id: ConversationId,
    message: String,
) -> Answer<ConversationPage> {
    app.show_version(&id, &message).await
}

/// The latest messages that hold what is typed.
#[tauri::command]
#[specta::specta]
pub async fn search_messages(app: State<'_, App>, typed: String) -> Answer<Vec<FoundMessage>> {
    app.search_messages(&typed).await
}

/// Renames, pins or archives a conversation.
#[tauri::command]
#[specta::specta]
pub async fn change_conversation(
    app: State<'_, App>,
    id: ConversationId,
    change: ConversationChange,
) -> Answer<()> {
    app.change_conversation(&id, change).await
}

/// Deletes a conversation with its messages and images. For five minutes it can be brought back.
#[tauri::command]
#[specta::specta]
pub async fn delete_conversation(app: State<'_, App>, id: ConversationId) -> Answer<()> {
    app.delete_conversation(&id).await
}

/// Brings a deleted conversation back.
#[tauri::command]
#[specta::specta]
pub async fn restore_conversation(app: State<'_, App>, id: ConversationId) -> Answer<()> {
    app.restore_conversation(&id).await
}

/// Deletes a message with all that follows it, and gives back the last messages. For five minutes it can be brought back.
#[tauri::command]
#[specta::specta]
pub async fn delete_message(
    app: State<'_, App>,
    id: ConversationId,
    message: String,
) -> Answer<ConversationPage> {
    app.delete_message(&id, &message).await
}

/// Brings a deleted message back with what followed it, and gives back the last messages.
#[tauri::command]
#[specta::specta]
pub async fn restore_message(
    app: State<'_, App>,
    id: ConversationId,
    message: String,
) -> Answer<ConversationPage> {
    app.restore_message(&id, &message).await
}

/// What was being written in a conversation; in a new one where `id` is `None`.
#[tauri::command]
#[specta::specta]
pub async fn chat_draft(app: State<'_, App>, id: Option<ConversationId>) -> Answer<ChatDraft> {
    app.chat_draft(id.as_ref()).await
}

/// Keeps what is being written.
#[tauri::command]
#[specta::specta]
pub async fn save_chat_draft(
    app: State<'_, App>,
    id: Option<ConversationId>,
    draft: ChatDraft,
) -> Answer<()> {
    app.save_chat_draft(id.as_ref(), &draft).await
}

/// Tells of every conversation that changes, whichever window changes it.
#[tauri::command]
#[specta::specta]
pub async fn watch_conversations(
    app: State<'_, App>,
    news: Channel<ConversationNews>,
) -> Answer<()> {
    app.watch_conversations(move |changed| news.send(changed).is_ok());
    Ok(())
}

/// Takes an image file in: checked, made no larger than the model looks at, kept.
#[tauri::command]
#[specta::specta]
pub async fn add_image(app: State<'_, App>, bytes: Vec<u8>) -> Answer<ImageView> {
    app.add_image(bytes).await
}

/// A kept image.
#[tauri::command]
#[specta::specta]
pub async fn image(app: State<'_, App>, id: String) -> Answer<ImageView> {
    app.image(&id).await
}

/// Asks the model and streams the answer. `conversation` of `None` begins a new one; gives back its id.
#[tauri::command]
#[specta::specta]
pub async fn send_message(
    app: State<'_, App>,
    conversation: Option<ConversationId>,
    ask: ChatAsk,
    wishes: Wishes,
    events: Channel<ChatEvent>,
) -> Answer<ConversationId> {
    let hear = move |event| {
        // A closed window hears nothing, and the answer is kept all the same.
        let _ = events.send(event);
    };
    app.send_message(conversation, ask, wishes, hear).await
}

/// Stops an answer. What came is kept.
#[tauri::command]
#[specta::specta]
pub async fn stop_answer(app: State<'_, App>, answer: String) -> Answer<()> {
    app.stop_answer(&answer).await
}
