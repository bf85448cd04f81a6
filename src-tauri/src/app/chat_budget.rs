//! How much of the model's window a request takes, before it is sent.

use tandem_adapters::store::Store;
use tandem_domain::chat::budget::{self, Budget};
use tandem_domain::chat::{Controls, Message, Role, prompt};
use tandem_domain::ids::ConversationId;
use tandem_domain::ports::ModelApi;
use tandem_domain::problem::{Code, Problem};

use super::{App, stored};
use crate::wire::{ChatDraft, Serving};

impl App {
    /// What the next question would take of the window of what is served.
    pub async fn chat_budget(
        &self,
        id: Option<&ConversationId>,
        draft: &ChatDraft,
        controls: &Controls,
    ) -> Result<Budget, Problem> {
        let (workspace, serving, _, api) = self.served().await?;
        let store = &workspace.store;
        let last = match id {
            Some(id) => stored(store.messages(id, None, 1).await)?.pop(),
            None => None,
        };
        let mut path = match last {
            Some(last) => stored(store.path_to(&last.id).await)?,
            None => Vec::new(),
        };
        path.push(Message {
            images: draft.images.iter().map(|image| image.id.clone()).collect(),
            ..Message::new("", Role::User, &draft.text, 0)
        });
        let (_, budget) = fitted(store, &serving, &*api, &path, controls).await?;
        Ok(budget)
    }
}

/// From which message on a conversation is sent, and what that takes. No tokens for the answer are left where even the
/// last question does not fit.
pub(super) async fn fitted(
    store: &Store,
    serving: &Serving,
    api: &dyn ModelApi,
    path: &[Message],
    controls: &Controls,
) -> Result<(usize, Budget), Problem> {
    let window = serving.max_model_len;
    let mut from = 0;
    loop {
        let rest = &path[from..];
        let reasoning = serving.reasoning.as_ref();
        // Its images are estimated, so that megabytes need not be sent to be counted.
        let mut request = prompt::request(&serving.model, rest, controls, reasoning, |_| {
            Some(String::new())
        });
        request.messages.iter_mut().for_each(|m| m.images.clear());
        let estimate = budget::estimate(&request.messages);
        // No text has so many characters a token: what is far too long is not sent to be counted.
        let counted = match estimate / 6 > window {
            true => None,
            false => api.prompt_tokens(&request).await.ok().flatten(),
        };
        let mut tokens = counted.unwrap_or(estimate);
        for image in prompt::wanted_images(rest) {
            if let Some((width, height)) = stored(store.image_size(&image).await)? {
                tokens = tokens.saturating_add(budget::image_tokens(width, height));
            }
        }
        let answer = budget::answer_tokens(window, tokens, controls.max_tokens);
        let first = budget::first_turn(rest);
        let (None, Some(mut leaves)) = (answer, first) else {
            let budget = Budget {
                window,
                prompt: tokens,
                counted: counted.is_some(),
                answer: answer.unwrap_or(0),
                left_out: u32::try_from(from).unwrap_or(u32::MAX),
            };
            return Ok((from, budget));
        };
        // As many turns as free what is too much, so that the server is asked a few times only.
        let excess = tokens.saturating_sub(window / 4 * 3);
        let size = |part: &[Message]| {
            let request = prompt::request("", part, &Controls::default(), None, |_| None);
            budget::estimate(&request.messages)
        };
        let mut freed = size(&rest[..leaves]);
        while freed < excess
            && let Some(next) = budget::first_turn(&rest[leaves..])
        {
            freed = freed.saturating_add(size(&rest[leaves..leaves + next]));
            leaves += next;
        }
        from += leaves;
    }
}

/// The question alone is longer than the window.
pub(super) fn too_long(budget: &Budget) -> Problem {
    let counted = if budget.counted { "" } else { "about " };
    Problem::new(Code::BadInput, "The question was not sent.")
        .cause(format!(
            "It takes {counted}{} tokens; the model has {} for question and answer.",
            budget.prompt, budget.window
        ))
        .fix("Shorten it or leave images out, or serve the model with a longer context.")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use tandem_domain::chat::{ChatDelta, ChatFinish, ChatRequest};
    use tandem_domain::ports::{ApiError, ServedModel};

    use super::*;

    /// Counts a token for each word, or does not count.
    struct Counter {
        counts: bool,
        asked: Mutex<u32>,
    }

    #[async_trait]
    impl ModelApi for Counter {
        async fn health(&self) -> Result<(), ApiError> {
            Ok(())
        }

        async fn models(&self) -> Result<Vec<ServedModel>, ApiError> {
            Ok(Vec::new())
        }

        async fn metrics(&self) -> Result<String, ApiError> {
            Ok(String::new())
        }

        async fn prompt_tokens(&self, request: &ChatRequest) -> Result<Option<u32>, ApiError> {
            *self.asked.lock().expect("no panic") += 1;
            let words = |m: &tandem_domain::chat::PromptMessage| m.text.split_whitespace().count();
            let all = request.messages.iter().map(words).sum::<usize>();
            Ok(self.counts.then_some(all as u32))
        }

        async fn chat(
            &self,
            _: &ChatRequest,
            _: &mut (dyn FnMut(ChatDelta) + Send),
        ) -> Result<ChatFinish, ApiError> {
            Err(ApiError::TimedOut { seconds: 0 })
        }
    }

    fn serving(window: u32) -> Serving {
        serde_json::from_value(serde_json::json!({
            "model": "m", "machine": "a", "machine_name": "a", "port": 1, "run": "r",
            "speculative_tokens": null, "tg_tps": null, "against_plain": null, "max_model_len": window,
        }))
        .expect("an earlier Tandem's note")
    }

    async fn budget(window: u32, turns: usize, counts: bool) -> (usize, Budget, u32) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("t.db"))
            .await
            .expect("a store");
        let words = "word ".repeat(100);
        let mut path = Vec::new();
        for n in 0..turns {
            path.push(Message::new(format!("q{n}"), Role::User, &words, 0));
            path.push(Message::new(format!("a{n}"), Role::Assistant, &words, 0));
        }
        path.push(Message::new("last", Role::User, &words, 0));
        let api = Counter {
            counts,
            asked: Mutex::default(),
        };
        let controls = Controls::default();
        let (from, budget) = fitted(&store, &serving(window), &api, &path, &controls)
            .await
            .expect("the store answers");
        let asked = *api.asked.lock().expect("no panic");
        (from, budget, asked)
    }

    #[tokio::test]
    async fn what_fits_is_sent_whole_and_the_answer_gets_the_rest() {
        let (from, budget, asked) = budget(4096, 5, true).await;
        assert_eq!((from, budget.left_out, asked), (0, 0, 1));
        assert_eq!((budget.prompt, budget.counted), (1100, true));
        assert_eq!(budget.answer, 4096 - 1100 - 16);
    }

    #[tokio::test]
    async fn of_a_long_conversation_the_oldest_turns_are_left_out() {
        let (from, budget, asked) = budget(4096, 400, true).await;
        assert_eq!(from % 2, 0, "whole turns");
        assert_eq!(from as u32, budget.left_out);
        assert!(budget.answer >= 512 && budget.prompt + budget.answer < 4096);
        assert!(budget.prompt > 1024, "no more than it takes: {budget:?}");
        assert!(asked < 8, "{asked}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_count_is_told_of() {
        let (from, budget, _) = budget(8192, 5, false).await;
        assert_eq!((from, budget.counted), (0, false));
        assert!(budget.prompt >= 1100, "rather too many than too few");
    }

    #[tokio::test]
    async fn a_question_that_does_not_fit_alone_leaves_nothing() {
        let (from, budget, _) = budget(64, 3, true).await;
        assert_eq!((from, budget.answer), (6, 0));
        assert!(too_long(&budget).cause.is_some_and(|c| c.contains("100")));
    }
}
