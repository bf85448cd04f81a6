//! Conversations with what is served.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tandem_adapters::image_resize::{self, data_url};
use tandem_adapters::store::{StoreError, StoredImage};
use tandem_domain::chat::{
    Answer, ChatDelta, ChatEvent, ConversationSummary, Message, Role, prompt,
};
use tandem_domain::ids::ConversationId;
use tandem_domain::ports::ApiError;
use tandem_domain::problem::{Code, Problem, Retry};
use tokio_util::sync::CancellationToken;

use super::workspace::Workspace;
use super::{App, lock, stored};
use crate::wire::ImageView;

/// How much of an answer a crash may cost.
const KEEP_EVERY: Duration = Duration::from_secs(1);

impl App {
    /// All conversations.
    pub async fn list_conversations(&self) -> Result<Vec<ConversationSummary>, Problem> {
        stored(self.workspace().await.store.conversations(None).await)
    }

    /// One conversation.
    pub async fn conversation(&self, id: &ConversationId) -> Result<Vec<Message>, Problem> {
        stored(self.workspace().await.store.messages(id).await)
    }

    /// Removes a conversation.
    pub async fn delete_conversation(&self, id: &ConversationId) -> Result<(), Problem> {
        stored(self.workspace().await.store.delete_conversation(id).await).map(|_| ())
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
        Ok(shown(image))
    }

    /// A kept image.
    pub async fn image(&self, id: &str) -> Result<ImageView, Problem> {
        let image = stored(self.workspace().await.store.image(id).await)?;
        image
            .map(shown)
            .ok_or_else(|| Problem::new(Code::BadImage, "The picture is not here any more."))
    }

    /// Sends a message; the answer comes through `hear`, and goes on after this returns.
    pub async fn send_message(
        &self,
        conversation: Option<ConversationId>,
        text: String,
        images: Vec<String>,
        thinking: bool,
        mut hear: impl FnMut(ChatEvent) + Send + 'static,
    ) -> Result<ConversationId, Problem> {
        if text.trim().is_empty() && images.is_empty() {
            return Err(Problem::new(Code::BadInput, "There is nothing to send.")
                .fix("Write a message or attach an image."));
        }
        let (workspace, serving, _, api) = self.served().await?;
        let question = Message {
            id: super::new_id(),
            role: Role::User,
            text,
            reasoning: String::new(),
            images,
            at: self.now(),
            stats: None,
            stopped: false,
        };
        let id = match conversation {
            Some(id) => id,
            None => {
                let id = ConversationId(super::new_id());
                let title = prompt::title(std::slice::from_ref(&question));
                stored(
                    workspace
                        .store
                        .create_conversation(&id, &title, question.at)
                        .await,
                )?;
                id
            }
        };
        stored(workspace.store.append_message(&id, &question).await)?;
        let messages = stored(workspace.store.messages(&id).await)?;
        let urls = self.image_urls(&workspace, &messages).await?;
        // Without a wish the template decides; with thinking off it is asked not to.
        let thinking = if thinking { None } else { Some(false) };
        let request = prompt::request(&serving.model, &messages, thinking, |image| {
            urls.get(image).cloned()
        });

        let answer_id = super::new_id();
        let cancel = CancellationToken::new();
        lock(&self.inner.answers).insert(answer_id.clone(), cancel.clone());
        hear(ChatEvent::Began {
            question,
            answer: answer_id.clone(),
        });
        let (app, conversation) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let answer = Mutex::new(Answer::new(answer_id.clone()));
            let result = {
                let mut on_delta = |delta: ChatDelta| {
                    if let Some(event) = lock(&answer).push(delta) {
                        hear(event);
                    }
                };
                tokio::select! {
                    result = api.chat(&request, &mut on_delta) => Some(result),
                    () = cancel.cancelled() => None,
                    () = app.keep_along(&workspace, &conversation, &answer) => None,
                }
            };
            let answer = answer.into_inner().unwrap_or_else(PoisonError::into_inner);
            lock(&app.inner.answers).remove(&answer_id);
            let at = app.now();
            let event = match result {
                Some(Ok(finish)) => {
                    let message = answer.finished(at, &finish);
                    app.kept(&workspace, &conversation, message).await
                }
                None => {
                    app.kept(&workspace, &conversation, answer.stopped(at, true))
                        .await
                }
                Some(Err(error)) => {
                    let problem = unanswered(&error);
                    let message = (!answer.is_empty()).then(|| answer.stopped(at, false));
                    if let Some(message) = &message {
                        let _ = keep(&workspace, &conversation, message).await;
                    }
                    ChatEvent::Failed { problem, message }
                }
            };
            hear(event);
        });
        Ok(id)
    }

    /// Stops an answer.
    pub async fn stop_answer(&self, answer: &str) -> Result<(), Problem> {
        if let Some(cancel) = lock(&self.inner.answers).get(answer) {
            cancel.cancel();
        }
        Ok(())
    }

    /// Keeps an answer while it comes, so that a crash costs a second of it. Never ends by itself; a store that does
    /// not take it now is asked again with the next words, and the end of the answer tells what is wrong.
    async fn keep_along(
        &self,
        workspace: &Workspace,
        conversation: &ConversationId,
        answer: &Mutex<Answer>,
    ) {
        let mut kept = None;
        loop {
            tokio::time::sleep(KEEP_EVERY).await;
            let message = lock(answer).so_far(self.now());
            let length = message.as_ref().map(|m| (m.text.len(), m.reasoning.len()));
            if let Some(message) = message.filter(|_| length != kept)
                && keep(workspace, conversation, &message).await.is_ok()
            {
                kept = length;
            }
        }
    }

    async fn kept(
        &self,
        workspace: &Workspace,
        conversation: &ConversationId,
        message: Message,
    ) -> ChatEvent {
        match keep(workspace, conversation, &message).await {
            Ok(()) => ChatEvent::Ended { message },
            Err(e) => ChatEvent::Failed {
                problem: e.problem(),
                message: Some(message),
            },
        }
    }

    async fn image_urls(
        &self,
        workspace: &Workspace,
        messages: &[Message],
    ) -> Result<HashMap<String, String>, Problem> {
        let mut urls = HashMap::new();
        for id in prompt::wanted_images(messages) {
            if let Some(image) = stored(workspace.store.image(&id).await)? {
                urls.insert(id, data_url(&image.mime, &image.bytes));
            }
        }
        Ok(urls)
    }
}

/// Puts a message in the place of what is there of it, or at the end of the conversation.
async fn keep(
    workspace: &Workspace,
    conversation: &ConversationId,
    message: &Message,
) -> Result<(), StoreError> {
    if workspace.store.update_message(message).await? {
        return Ok(());
    }
    workspace.store.append_message(conversation, message).await
}

fn shown(image: StoredImage) -> ImageView {
    let url = data_url(&image.mime, &image.bytes);
    ImageView {
        id: image.id,
        mime: image.mime,
        width: image.width,
        height: image.height,
        url,
    }
}

fn unanswered(error: &ApiError) -> Problem {
    let problem =
        Problem::new(Code::ServerAnswer, "The model did not answer.").cause(format!("{error}."));
    match error {
        ApiError::Status { status: 400, .. } => {
            problem.fix("Begin a new conversation, or leave the image out.")
        }
        ApiError::Status { .. } | ApiError::Garbled { .. } => problem.retry(Retry::Now),
        ApiError::NotListening { .. } => problem.fix("Run the set-up again; it starts the server."),
        ApiError::TimedOut { .. } | ApiError::Lost { .. } => problem
            .fix("Try again; if it stays silent, stop the server and run the set-up again.")
            .retry(Retry::Now),
    }
}
