//! From the chunks of a stream to the message that is kept.

use crate::chat::token_rate::TokenRate;
use crate::chat::{AnswerStats, ChatDelta, ChatEvent, ChatFinish, Message, Role};

/// An answer while it comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    id: String,
    text: String,
    reasoning: String,
    rate: TokenRate,
}

impl Answer {
    /// An answer of which nothing has come yet.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            text: String::new(),
            reasoning: String::new(),
            rate: TokenRate::default(),
        }
    }

    /// Takes a chunk in and gives back what the window should hear; nothing for a chunk without words.
    pub fn push(&mut self, delta: ChatDelta) -> Option<ChatEvent> {
        self.rate.push(&delta);
        self.text.push_str(&delta.content);
        self.reasoning.push_str(&delta.reasoning);
        (!delta.content.is_empty() || !delta.reasoning.is_empty()).then_some(ChatEvent::Words {
            content: delta.content,
            reasoning: delta.reasoning,
        })
    }

    /// Whether not a word has come.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty() && self.reasoning.is_empty()
    }

    /// What came until now, as it is kept while more comes; `None` while not a word has.
    pub fn so_far(&self, at: i64) -> Option<Message> {
        (!self.is_empty()).then(|| self.clone().stopped(at, false))
    }

    /// The message of an answer that came to its end.
    pub fn finished(self, at: i64, finish: &ChatFinish) -> Message {
        let stats = AnswerStats {
            ttft_s: self.rate.ttft_s(finish),
            tokens_per_s: self
                .rate
                .tokens_per_s(finish.completion_tokens)
                .unwrap_or(0.0),
            completion_tokens: finish.completion_tokens,
            prompt_tokens: finish.prompt_tokens,
            finish: finish.reason.clone(),
        };
        Message {
            stats: Some(stats),
            ..self.stopped(at, false)
        }
    }

    /// The message of an answer that was cut short: by the person (`stopped`) or by a failure.
    pub fn stopped(self, at: i64, stopped: bool) -> Message {
        Message {
            id: self.id,
            role: Role::Assistant,
            text: self.text,
            reasoning: self.reasoning,
            images: Vec::new(),
            at,
            stats: None,
            stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn delta(ms: u64, content: &str, reasoning: &str, tokens: u32) -> ChatDelta {
        ChatDelta {
            at: Duration::from_millis(ms),
            content: content.to_owned(),
            reasoning: reasoning.to_owned(),
            tokens: Some(tokens),
        }
    }

    #[test]
    fn reasoning_and_answer_are_kept_apart_and_timed_together() {
        let mut answer = Answer::new("m2");
        assert_eq!(
            answer.push(delta(40, "", "", 0)),
            None,
            "a role alone says nothing"
        );
        answer.push(delta(50, "", "The user greets.", 4));
        answer.push(delta(550, "Hello", "", 5));
        let words = answer.push(delta(1050, " there", "", 7));
        assert_eq!(
            words,
            Some(ChatEvent::Words {
                content: " there".into(),
                reasoning: String::new()
            })
        );
        let message = answer.finished(
            9,
            &ChatFinish {
                at: Duration::from_millis(1060),
                reason: "stop".into(),
                prompt_tokens: Some(17),
                completion_tokens: Some(7),
            },
        );
        assert_eq!(message.text, "Hello there");
        assert_eq!(message.reasoning, "The user greets.");
        let stats = message.stats.expect("a finished answer has figures");
        assert_eq!(stats.ttft_s, 0.05, "reasoning counts as the first token");
        assert_eq!(
            stats.tokens_per_s, 3.0,
            "three tokens in the second after the first"
        );
        assert_eq!(
            (stats.prompt_tokens, stats.completion_tokens),
            (Some(17), Some(7))
        );
        assert!(!message.stopped);
    }

    #[test]
    fn a_stopped_answer_keeps_its_words_and_claims_no_figures() {
        let mut answer = Answer::new("m2");
        assert!(answer.is_empty());
        assert_eq!(answer.so_far(8), None);
        answer.push(delta(50, "Hel", "", 1));
        assert_eq!(answer.so_far(8).map(|m| m.text).as_deref(), Some("Hel"));
        let message = answer.stopped(9, true);
        assert_eq!((message.text.as_str(), message.stopped), ("Hel", true));
        assert_eq!(message.stats, None);
    }

    #[test]
    fn an_answer_without_a_word_has_figures_that_json_can_hold() {
        let finish = ChatFinish {
            at: Duration::from_secs(2),
            reason: "length".into(),
            prompt_tokens: Some(3),
            completion_tokens: Some(0),
        };
        let stats = Answer::new("m")
            .finished(0, &finish)
            .stats
            .expect("it finished");
        assert_eq!((stats.ttft_s, stats.tokens_per_s), (2.0, 0.0));
    }

    proptest! {
        #[test]
        fn what_the_window_heard_is_what_is_kept(chunks in prop::collection::vec((".{0,6}", ".{0,6}"), 0..20)) {
            let mut answer = Answer::new("m");
            let (mut text, mut thought) = (String::new(), String::new());
            for (n, (c, r)) in chunks.iter().enumerate() {
                if let Some(ChatEvent::Words { content, reasoning }) = answer.push(delta(n as u64, c, r, n as u32)) {
                    text.push_str(&content);
                    thought.push_str(&reasoning);
                }
            }
            let message = answer.stopped(0, false);
            prop_assert_eq!((message.text, message.reasoning), (text, thought));
        }
    }
}
