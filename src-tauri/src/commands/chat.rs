//! Chat: conversations, images, answers as they come.

use tandem_adapters::image_resize;
use tandem_domain::chat::budget::Budget;
use tandem_domain::chat::controls::Preset;
use tandem_domain::chat::exchange::ExportFormat;
use tandem_domain::chat::search::FoundMessage;
use tandem_domain::chat::{
    ChatAsk, ChatEvent, Controls, ConversationChange, ConversationPage, ConversationSummary,
};
use tandem_domain::ids::ConversationId;
use tandem_domain::problem::{Code, Problem};
use tauri::State;
use tauri::ipc::Channel;
use tauri_plugin_dialog::DialogExt as _;

use super::Answer;
use crate::app::App;
use crate::wire::{ChatDraft, ConversationNews, ImageView, ImportedChats};

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

/// How the model is asked to answer in a conversation; in new ones where `id` is `None`.
#[tauri::command]
#[specta::specta]
pub async fn chat_controls(app: State<'_, App>, id: Option<ConversationId>) -> Answer<Controls> {
    app.chat_controls(id.as_ref()).await
}

/// Keeps how the model is asked to answer.
#[tauri::command]
#[specta::specta]
pub async fn save_chat_controls(
    app: State<'_, App>,
    id: Option<ConversationId>,
    controls: Controls,
) -> Answer<()> {
    app.save_chat_controls(id.as_ref(), &controls).await
}

/// Controls that were kept under names.
#[tauri::command]
#[specta::specta]
pub async fn chat_presets(app: State<'_, App>) -> Answer<Vec<Preset>> {
    app.chat_presets().await
}

/// Keeps controls under a name, in the place of what is there. Gives back all presets.
#[tauri::command]
#[specta::specta]
pub async fn save_chat_preset(app: State<'_, App>, preset: Preset) -> Answer<Vec<Preset>> {
    app.save_chat_preset(preset).await
}

/// Forgets a preset. Gives back those that are left.
#[tauri::command]
#[specta::specta]
pub async fn delete_chat_preset(app: State<'_, App>, name: String) -> Answer<Vec<Preset>> {
    app.delete_chat_preset(&name).await
}

/// What the question that is being written would take of the model's window.
#[tauri::command]
#[specta::specta]
pub async fn chat_budget(
    app: State<'_, App>,
    id: Option<ConversationId>,
    draft: ChatDraft,
    controls: Controls,
) -> Answer<Budget> {
    app.chat_budget(id.as_ref(), &draft, &controls).await
}

/// Writes a conversation into a file that the person chooses. Gives back where; `None` where they chose none.
#[tauri::command]
#[specta::specta]
pub async fn export_conversation(
    handle: tauri::AppHandle,
    app: State<'_, App>,
    id: ConversationId,
    format: ExportFormat,
) -> Answer<Option<String>> {
    let (name, text) = app.export_conversation(&id, format).await?;
    let (choose, chosen) = tokio::sync::oneshot::channel();
    handle
        .dialog()
        .file()
        .set_file_name(name)
        .save_file(|path| {
            // Nobody waits any more where the window was closed.
            let _ = choose.send(path);
        });
    let unwritten = |cause: String| {
        Problem::new(Code::BadInput, "The conversation was not written.")
            .cause(cause)
            .fix("Choose another place.")
    };
    let Some(path) = chosen.await.ok().flatten() else {
        return Ok(None);
    };
    let path = path.into_path().map_err(|e| unwritten(format!("{e}.")))?;
    let shown = path.display().to_string();
    let written = tokio::fs::write(&path, text).await;
    written.map_err(|e| unwritten(format!("`{shown}` could not be written: {e}.")))?;
    Ok(Some(shown))
}

/// Takes the conversations of a file in: Tandem's own, of ChatGPT, Open WebUI and LM Studio, or of the OpenAI API.
#[tauri::command]
#[specta::specta]
pub async fn import_conversations(app: State<'_, App>, text: String) -> Answer<ImportedChats> {
    app.import_conversations(text).await
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

/// Takes an image file in, its bytes in Base64: checked, made no larger than the model looks at, kept.
#[tauri::command]
#[specta::specta]
pub async fn add_image(app: State<'_, App>, base64: String) -> Answer<ImageView> {
    let bytes = image_resize::from_base64(&base64).map_err(|e| e.problem())?;
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
    controls: Controls,
    events: Channel<ChatEvent>,
) -> Answer<ConversationId> {
    let hear = move |event| {
        // A closed window hears nothing, and the answer is kept all the same.
        let _ = events.send(event);
    };
    app.send_message(conversation, ask, controls, hear).await
}

/// Stops an answer. What came is kept.
#[tauri::command]
#[specta::specta]
pub async fn stop_answer(app: State<'_, App>, answer: String) -> Answer<()> {
    app.stop_answer(&answer).await
}
