//! Questions to what is served, and answers as they come.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tandem_adapters::image_resize::data_url;
use tandem_adapters::store::{Store, StoreError};
use tandem_domain::chat::{
    Answer, ChatAsk, ChatDelta, ChatEvent, ChatFinish, ChatRequest, Controls, Message, Role,
    budget, prompt,
};
use tandem_domain::engine;
use tandem_domain::ids::ConversationId;
use tandem_domain::ports::{ApiError, ModelApi};
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_domain::recipe::EngineKind;
use tokio_util::sync::CancellationToken;

use super::chat::message_gone;
use super::chat_budget::{fitted, too_long};
use super::workspace::Workspace;
use super::{App, lock, stored};

/// How much of an answer a crash may cost.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// How often a store that took no answer is asked again.
const TRY_EVERY: Duration = Duration::from_secs(5);

/// Tokens of a prompt that the slowest server reads in a second.
const SLOWEST_READING: u64 = 200;

/// How often at most: an hour long.
const TRIES: u32 = 720;

/// An answer on its way.
pub(super) struct Awaited {
    conversation: ConversationId,
    cancel: CancellationToken,
}

/// What is asked, as it is kept.
struct Asked {
    conversation: ConversationId,
    question: Message,
    /// The answer: empty, or with the words that it goes on from.
    answer: Message,
    /// All that the model is told.
    path: Vec<Message>,
}

impl App {
    /// Asks the model; the answer comes through `hear`, and goes on after this returns.
    pub async fn send_message(
        &self,
        conversation: Option<ConversationId>,
        ask: ChatAsk,
        controls: Controls,
        mut hear: impl FnMut(ChatEvent) + Send + 'static,
    ) -> Result<ConversationId, Problem> {
        if let ChatAsk::Question { text, images } | ChatAsk::Edited { text, images, .. } = &ask
            && text.trim().is_empty()
            && images.is_empty()
        {
            return Err(Problem::new(Code::BadInput, "There is nothing to send.")
                .fix("Write a message or attach an image."));
        }
        controls.check()?;
        let (workspace, serving, _, api) = self.served().await?;
        let is_new = conversation.is_none();
        let Asked {
            conversation: id,
            question,
            answer,
            path,
        } = self.kept_ask(&workspace.store, conversation, ask).await?;
        if is_new {
            stored(workspace.store.put_controls(&id, &controls).await)?;
        }
        let urls = self.image_urls(&workspace, &path).await?;

        let answer_id = answer.id.clone();
        let cancel = CancellationToken::new();
        let awaited = Awaited {
            conversation: id.clone(),
            cancel: cancel.clone(),
        };
        lock(&self.inner.answers).insert(answer_id.clone(), awaited);
        hear(ChatEvent::Began {
            question,
            answer: answer.clone(),
        });
        self.tell(&id);
        let (app, conversation) = (self.clone(), id.clone());
        tokio::spawn(async move {
            let answer = Mutex::new(Answer::new(answer));
            let result = {
                let mut on_delta = |delta: ChatDelta| {
                    if let Some(event) = lock(&answer).push(delta) {
                        hear(event);
                    }
                };
                let model = async {
                    let store = &workspace.store;
                    let (from, budget) = fitted(store, &serving, &*api, &path, &controls).await?;
                    if budget.answer == 0 {
                        return Err(too_long(&budget));
                    }
                    let reasoning = serving.reasoning.as_ref();
                    let path = &path[from..];
                    let mut request =
                        prompt::request(&serving.model, path, &controls, reasoning, |image| {
                            urls.get(image).cloned()
                        });
                    request.max_tokens = budget.answer;
                    // Thousands of tokens are read for seconds before the first word.
                    request.patience_s += u64::from(budget.prompt) / SLOWEST_READING;
                    let finish = within_window(&*api, serving.engine, &mut request, &mut on_delta);
                    let finish = finish.await;
                    finish.map_err(|error| unanswered(&error, Some(request.max_tokens)))
                };
                tokio::select! {
                    result = model => Some(result),
                    () = cancel.cancelled() => None,
                    () = app.keep_along(&workspace, &conversation, &answer) => None,
                }
            };
            let answer = answer.into_inner().unwrap_or_else(PoisonError::into_inner);
            let at = app.now();
            let (message, problem) = match result {
                Some(Ok(finish)) => (Some(answer.finished(at, &finish)), None),
                None => (Some(answer.stopped(at)), None),
                Some(Err(problem)) => {
                    let message = (!answer.is_empty()).then(|| answer.cut(at));
                    (message, Some(problem))
                }
            };
            let (message, unkept) = match message {
                None => (None, None),
                Some(message) => match kept(&workspace.store, &conversation, &message).await {
                    Ok(message) => (Some(message), None),
                    Err(error) => (Some(message), Some(error.problem())),
                },
            };
            lock(&app.inner.answers).remove(&answer_id);
            let waits = unkept.is_some().then(|| message.clone()).flatten();
            hear(match (unkept.or(problem), message) {
                (None, Some(message)) => ChatEvent::Ended { message },
                (problem, message) => ChatEvent::Failed {
                    problem: problem.unwrap_or_else(|| unanswered(&nothing_came(), None)),
                    message,
                },
            });
            app.tell(&conversation);
            if let Some(message) = waits {
                app.keep_later(&workspace.store, &conversation, &message)
                    .await;
            }
        });
        Ok(id)
    }

    /// Stops an answer.
    pub async fn stop_answer(&self, answer: &str) -> Result<(), Problem> {
        if let Some(awaited) = lock(&self.inner.answers).get(answer) {
            awaited.cancel.cancel();
        }
        Ok(())
    }

    /// The answer that is coming in a conversation.
    pub(super) fn answering(&self, conversation: &ConversationId) -> Option<String> {
        let answers = lock(&self.inner.answers);
        let mut found = answers
            .iter()
            .filter(|(_, awaited)| awaited.conversation == *conversation);
        found.next().map(|(answer, _)| answer.clone())
    }

    /// Keeps the question, and finds what it goes with.
    async fn kept_ask(
        &self,
        store: &Store,
        conversation: Option<ConversationId>,
        ask: ChatAsk,
    ) -> Result<Asked, Problem> {
        let found = async |id: &str| stored(store.message(id).await)?.ok_or_else(message_gone);
        let said = |text: String, images: Vec<String>| Message {
            images,
            ..Message::new(super::new_id(), Role::User, text, self.now())
        };
        let (id, question) = match (ask, conversation) {
            (ChatAsk::Question { text, images }, conversation) => {
                let question = said(text, images);
                let id = match conversation {
                    Some(id) => id,
                    None => {
                        let id = ConversationId(super::new_id());
                        let title = prompt::title(std::slice::from_ref(&question));
                        stored(store.create_conversation(&id, &title, question.at).await)?;
                        id
                    }
                };
                stored(store.append_message(&id, &question).await)?;
                (id, found(&question.id).await?)
            }
            (_, None) => return Err(message_gone()),
            (
                ChatAsk::Edited {
                    message,
                    text,
                    images,
                },
                Some(id),
            ) => {
                let question = Message {
                    parent: found(&message).await?.parent,
                    ..said(text, images)
                };
                stored(store.branch_message(&id, &question).await)?;
                (id, found(&question.id).await?)
            }
            (ChatAsk::Again { message }, Some(id)) => {
                let message = found(&message).await?;
                let question = match (message.role, &message.parent) {
                    (Role::Assistant, Some(question)) => found(question).await?,
                    _ => message,
                };
                (id, question)
            }
            (ChatAsk::Continued { message }, Some(id)) => {
                let answer = found(&message).await?;
                let question = answer.parent.as_deref().ok_or_else(message_gone)?;
                return Ok(Asked {
                    conversation: id,
                    question: found(question).await?,
                    path: stored(store.path_to(&answer.id).await)?,
                    answer,
                });
            }
        };
        Ok(Asked {
            conversation: id,
            answer: Message {
                parent: Some(question.id.clone()),
                ..Message::new(super::new_id(), Role::Assistant, "", self.now())
            },
            path: stored(store.path_to(&question.id).await)?,
            question,
        })
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
            let (message, size) = {
                let answer = lock(answer);
                (answer.so_far(self.now()), answer.size())
            };
            if let Some(message) = message.filter(|_| kept != Some(size))
                && keep(&workspace.store, conversation, &message).await.is_ok()
            {
                kept = Some(size);
                self.tell(conversation);
            }
        }
    }

    /// Keeps an answer that the store did not take, as soon as it takes it.
    async fn keep_later(&self, store: &Store, conversation: &ConversationId, message: &Message) {
        for _ in 0..TRIES {
            tokio::time::sleep(TRY_EVERY).await;
            if keep(store, conversation, message).await.is_ok() {
                self.tell(conversation);
                break;
            }
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

/// Puts an answer in the place of what is there of it, or after its question.
async fn keep(
    store: &Store,
    conversation: &ConversationId,
    message: &Message,
) -> Result<(), StoreError> {
    if !store.update_message(message).await? {
        store.branch_message(conversation, message).await?;
    }
    Ok(())
}

/// The same; gives it back as it is kept, with the versions beside it.
async fn kept(
    store: &Store,
    conversation: &ConversationId,
    message: &Message,
) -> Result<Message, StoreError> {
    keep(store, conversation, message).await?;
    let kept = store.message(&message.id).await?;
    Ok(kept.unwrap_or_else(|| message.clone()))
}

fn nothing_came() -> ApiError {
    ApiError::Garbled {
        detail: "the answer has no words".into(),
    }
}

/// Asks the model; where it refuses because it counts otherwise, once more for as many tokens as it has.
async fn within_window(
    api: &dyn ModelApi,
    engine: EngineKind,
    request: &mut ChatRequest,
    on_delta: &mut (dyn FnMut(ChatDelta) + Send),
) -> Result<ChatFinish, ApiError> {
    let refused = match api.chat(request, on_delta).await {
        Err(ApiError::Status {
            status: 400,
            message,
        }) => message,
        other => return other,
    };
    let told = engine::of(engine).refused_window(&refused);
    let room = told.and_then(|(window, prompt)| {
        budget::answer_tokens(window, prompt, Some(request.max_tokens))
    });
    match room {
        Some(room) if room < request.max_tokens => {
            request.max_tokens = room;
            api.chat(request, on_delta).await
        }
        _ => Err(ApiError::Status {
            status: 400,
            message: refused,
        }),
    }
}

/// `asked` are the tokens that the answer was asked for with.
fn unanswered(error: &ApiError, asked: Option<u32>) -> Problem {
    let problem =
        Problem::new(Code::ServerAnswer, "The model did not answer.").cause(format!("{error}."));
    match (error, asked) {
        (ApiError::Status { status: 400, .. }, Some(asked)) => problem
            .cause(format!(
                "{error}. An answer of up to {asked} tokens was asked for."
            ))
            .fix(
                "Change the settings of the answer, leave images out, or begin a new conversation.",
            ),
        (error, _) => unanswered_otherwise(problem, error),
    }
}

fn unanswered_otherwise(problem: Problem, error: &ApiError) -> Problem {
    match error {
        ApiError::Status { .. } | ApiError::Garbled { .. } => problem.retry(Retry::Now),
        ApiError::NotListening { .. } => problem.fix("Run the set-up again; it starts the server."),
        ApiError::TimedOut { .. } | ApiError::Lost { .. } => problem
            .fix("Try again; if it stays silent, stop the server and run the set-up again.")
            .retry(Retry::Now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of an answer whose app ends in the middle of it, and how it goes on after that.
    #[tokio::test]
    async fn an_answer_that_a_kill_cut_is_there_and_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tandem.db");
        let id = ConversationId::from("c");
        let answer = {
            let store = Store::open(&path).await.expect("a store");
            store
                .create_conversation(&id, "t", 1)
                .await
                .expect("a conversation");
            let question = Message::new("q", Role::User, "Count.", 1);
            store.append_message(&id, &question).await.expect("kept");
            let mut answer = Answer::new(Message {
                parent: Some("q".into()),
                ..Message::new("a", Role::Assistant, "", 1)
            });
            for words in ["One, ", "two, "] {
                answer.push(ChatDelta {
                    at: Duration::ZERO,
                    content: words.into(),
                    reasoning: String::new(),
                    calls: Vec::new(),
                    tokens: None,
                });
                let so_far = answer.so_far(2).expect("words");
                keep(&store, &id, &so_far).await.expect("kept");
            }
            // As `kill -9` does: nothing is ended, closed or told.
            std::mem::forget(store);
            answer
        };
        let store = Store::open(&path).await.expect("it opens again");
        let shown = store.messages(&id, None, 9).await.expect("messages");
        assert_eq!(
            shown.iter().map(|m| m.text.as_str()).collect::<Vec<_>>(),
            ["Count.", "One, two, "]
        );
        let cut = &shown[1];
        assert_eq!(
            (cut.stats.as_ref(), cut.stopped),
            (None, false),
            "the window sees that it was cut off"
        );
        let path = store.path_to("a").await.expect("all before it");
        let request = prompt::request("m", &path, &Controls::default(), None, |_| None);
        assert!(request.continues);
        assert_eq!(
            request.messages.last().map(|m| m.text.as_str()),
            Some("One, two, ")
        );
        drop(answer);
    }
}
