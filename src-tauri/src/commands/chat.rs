//! Chat: conversations, images, answers as they come.

use tandem_domain::chat::{ChatEvent, ConversationSummary, Message};
use tandem_domain::ids::ConversationId;
use tauri::State;
use tauri::ipc::Channel;

use super::Answer;
use crate::app::App;
use crate::wire::ImageView;

/// All conversations, the newest first.
#[tauri::command]
#[specta::specta]
pub async fn list_conversations(app: State<'_, App>) -> Answer<Vec<ConversationSummary>> {
    app.list_conversations().await
}

/// The messages of one conversation, in order.
#[tauri::command]
#[specta::specta]
pub async fn conversation(app: State<'_, App>, id: ConversationId) -> Answer<Vec<Message>> {
    app.conversation(&id).await
}

/// Removes a conversation with its messages and images.
#[tauri::command]
#[specta::specta]
pub async fn delete_conversation(app: State<'_, App>, id: ConversationId) -> Answer<()> {
    app.delete_conversation(&id).await
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

/// Sends a message and streams the answer. `conversation` of `None` begins a new one; gives back its id.
#[tauri::command]
#[specta::specta]
pub async fn send_message(
    app: State<'_, App>,
    conversation: Option<ConversationId>,
    text: String,
    images: Vec<String>,
    thinking: bool,
    events: Channel<ChatEvent>,
) -> Answer<ConversationId> {
    let hear = move |event| {
        // A closed window hears nothing, and the answer is kept all the same.
        let _ = events.send(event);
    };
    app.send_message(conversation, text, images, thinking, hear)
        .await
}

/// Stops an answer. What came is kept.
#[tauri::command]
#[specta::specta]
pub async fn stop_answer(app: State<'_, App>, answer: String) -> Answer<()> {
    app.stop_answer(&answer).await
}
