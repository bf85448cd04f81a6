//! From the chunks of a stream to the message that is kept.

use std::time::Duration;

use crate::chat::token_rate::TokenRate;
use crate::chat::{
    AnswerStats, CallPiece, ChatDelta, ChatEvent, ChatFinish, FINISH_STOPPED, MOST_CALLS, Message,
    ToolCall,
};

/// An answer while it comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    message: Message,
    rate: TokenRate,
    /// When the first word of the reasoning came.
    thought_from: Option<Duration>,
    /// When the first word of the answer itself came.
    said_from: Option<Duration>,
    /// When the last chunk came.
    last: Duration,
}

impl Answer {
    /// An answer that begins as this message: empty, or with words that it goes on from.
    pub fn new(message: Message) -> Self {
        Self {
            message,
            rate: TokenRate::default(),
            thought_from: None,
            said_from: None,
            last: Duration::ZERO,
        }
    }

    /// Takes a chunk in and gives back what the window should hear; nothing for a chunk without words.
    pub fn push(&mut self, delta: ChatDelta) -> Option<ChatEvent> {
        self.rate.push(&delta);
        self.last = delta.at;
        if !delta.reasoning.is_empty() {
            self.thought_from.get_or_insert(delta.at);
        }
        if !delta.content.is_empty() || !delta.calls.is_empty() {
            self.said_from.get_or_insert(delta.at);
        }
        let mut calls = delta.calls;
        calls.retain(|piece| piece.index < MOST_CALLS);
        calls.iter().for_each(|piece| self.call(piece));
        self.message.text.push_str(&delta.content);
        self.message.reasoning.push_str(&delta.reasoning);
        let is_silent = delta.content.is_empty() && delta.reasoning.is_empty() && calls.is_empty();
        (!is_silent).then_some(ChatEvent::Words {
            content: delta.content,
            reasoning: delta.reasoning,
            calls,
        })
    }

    /// Adds a piece to its call. Pieces of several calls may come in turn.
    fn call(&mut self, piece: &CallPiece) {
        let calls = &mut self.message.calls;
        let index = piece.index as usize;
        if calls.len() <= index {
            calls.resize(index + 1, ToolCall::default());
        }
        calls[index].name.push_str(&piece.name);
        calls[index].arguments.push_str(&piece.arguments);
    }

    /// Whether it has not a word.
    pub fn is_empty(&self) -> bool {
        let Message {
            text,
            reasoning,
            calls,
            ..
        } = &self.message;
        text.is_empty() && reasoning.is_empty() && calls.is_empty()
    }

    /// Bytes of what came, which only grow.
    pub fn size(&self) -> usize {
        let calls = self.message.calls.iter();
        let of_calls: usize = calls.map(|c| 1 + c.name.len() + c.arguments.len()).sum();
        self.message.text.len() + self.message.reasoning.len() + of_calls
    }

    /// What came until now, as it is kept while more comes; `None` while there is not a word.
    pub fn so_far(&self, at: i64) -> Option<Message> {
        (!self.is_empty()).then(|| self.clone().cut(at))
    }

    /// The message of an answer that came to its end.
    pub fn finished(self, at: i64, finish: &ChatFinish) -> Message {
        let stats = self.stats(finish);
        Message {
            stats: Some(stats),
            ..self.cut(at)
        }
    }

    /// The message of an answer that the person stopped. It has figures of what came.
    pub fn stopped(self, at: i64) -> Message {
        let finish = ChatFinish {
            at: self.last,
            reason: FINISH_STOPPED.to_owned(),
            prompt_tokens: None,
            completion_tokens: self.rate.tokens(),
            cached_tokens: None,
        };
        let stats = (self.rate.first_token.is_some()).then(|| self.stats(&finish));
        Message {
            stats,
            stopped: true,
            ..self.cut(at)
        }
    }

    /// The message of an answer that a failure cut short, without figures.
    pub fn cut(self, at: i64) -> Message {
        Message {
            at,
            stats: None,
            stopped: false,
            ..self.message
        }
    }

    fn stats(&self, finish: &ChatFinish) -> AnswerStats {
        let before = self.message.stats.as_ref();
        let counted = |now: Option<u32>| {
            let before = before.and_then(|stats| stats.completion_tokens);
            now.map(|n| n.saturating_add(before.unwrap_or(0)))
        };
        let thought = self.thought_from.map(|from| {
            let to = self.said_from.unwrap_or(finish.at);
            to.saturating_sub(from).as_secs_f64()
        });
        AnswerStats {
            ttft_s: self.rate.ttft_s(finish),
            tokens_per_s: self
                .rate
                .tokens_per_s(finish.completion_tokens)
                .unwrap_or(0.0),
            completion_tokens: counted(finish.completion_tokens),
            prompt_tokens: finish.prompt_tokens,
            cached_tokens: finish.cached_tokens,
            thought_s: thought.or(before.and_then(|stats| stats.thought_s)),
            finish: finish.reason.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::chat::Role;

    fn empty() -> Answer {
        Answer::new(Message::new("m2", Role::Assistant, "", 0))
    }

    fn delta(ms: u64, content: &str, reasoning: &str, tokens: u32) -> ChatDelta {
        ChatDelta {
            at: Duration::from_millis(ms),
            content: content.to_owned(),
            reasoning: reasoning.to_owned(),
            calls: Vec::new(),
            tokens: Some(tokens),
        }
    }

    #[test]
    fn tool_calls_are_put_together_in_whatever_turn_their_pieces_come() {
        let mut answer = empty();
        let piece = |index, name: &str, arguments: &str| ChatDelta {
            calls: vec![CallPiece {
                index,
                name: name.into(),
                arguments: arguments.into(),
            }],
            ..delta(10, "", "", 1)
        };
        for part in [
            piece(0, "find", ""),
            piece(0, "", "{\"na"),
            piece(1, "clock", "{}"),
            piece(MOST_CALLS, "beyond", ""),
            piece(0, "", "me\":1}"),
        ] {
            answer.push(part);
        }
        assert!(!answer.is_empty());
        let call = |name: &str, arguments: &str| ToolCall {
            name: name.into(),
            arguments: arguments.into(),
        };
        let kept = answer.cut(1).calls;
        assert_eq!(kept, [call("find", "{\"name\":1}"), call("clock", "{}")]);
    }

    #[test]
    fn reasoning_and_answer_are_kept_apart_and_timed_together() {
        let mut answer = empty();
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
                reasoning: String::new(),
                calls: Vec::new(),
            })
        );
        let message = answer.finished(
            9,
            &ChatFinish {
                at: Duration::from_millis(1060),
                reason: "stop".into(),
                prompt_tokens: Some(17),
                completion_tokens: Some(7),
                cached_tokens: Some(16),
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
        assert_eq!(stats.cached_tokens, Some(16));
        assert_eq!(
            stats.thought_s,
            Some(0.5),
            "from its first word to the first of the answer"
        );
        assert!(!message.stopped);
    }

    #[test]
    fn a_stopped_answer_keeps_its_words_and_has_figures_of_what_came() {
        let mut answer = empty();
        assert!(answer.is_empty());
        assert_eq!(answer.so_far(8), None);
        assert_eq!(
            answer.clone().stopped(8).stats,
            None,
            "of nothing there are no figures"
        );
        answer.push(delta(50, "Hel", "", 1));
        answer.push(delta(550, "lo", "", 3));
        let so_far = answer.so_far(8).expect("there are words");
        assert_eq!((so_far.text.as_str(), so_far.stats), ("Hello", None));
        let message = answer.stopped(9);
        assert_eq!((message.text.as_str(), message.stopped), ("Hello", true));
        let stats = message.stats.expect("words came");
        assert_eq!((stats.ttft_s, stats.tokens_per_s), (0.05, 4.0));
        assert_eq!(stats.completion_tokens, Some(3));
        assert_eq!(stats.finish, FINISH_STOPPED);
    }

    #[test]
    fn an_answer_that_goes_on_keeps_what_it_was_and_counts_on() {
        let mut answer = empty();
        answer.push(delta(50, "One, ", "Count.", 5));
        let first = answer.stopped(1);
        let mut more = Answer::new(first);
        assert!(!more.is_empty());
        more.push(delta(40, "two.", "", 2));
        let finish = ChatFinish {
            at: Duration::from_millis(50),
            reason: "stop".into(),
            prompt_tokens: Some(9),
            completion_tokens: Some(2),
            cached_tokens: None,
        };
        let whole = more.clone().finished(2, &finish);
        assert_eq!(whole.text, "One, two.");
        assert_eq!(whole.reasoning, "Count.");
        assert!(!whole.stopped);
        let tokens = whole.stats.and_then(|stats| stats.completion_tokens);
        assert_eq!(tokens, Some(7));
        assert_eq!(more.cut(3).text, "One, two.");
    }

    #[test]
    fn an_answer_without_a_word_has_figures_that_json_can_hold() {
        let finish = ChatFinish {
            at: Duration::from_secs(2),
            reason: "length".into(),
            prompt_tokens: Some(3),
            completion_tokens: Some(0),
            cached_tokens: None,
        };
        let stats = empty().finished(0, &finish).stats.expect("it finished");
        assert_eq!((stats.ttft_s, stats.tokens_per_s), (2.0, 0.0));
    }

    proptest! {
        #[test]
        fn what_the_window_heard_is_what_is_kept(chunks in prop::collection::vec((".{0,6}", ".{0,6}"), 0..20)) {
            let mut answer = empty();
            let (mut text, mut thought) = (String::new(), String::new());
            for (n, (c, r)) in chunks.iter().enumerate() {
                if let Some(ChatEvent::Words { content, reasoning, .. }) = answer.push(delta(n as u64, c, r, n as u32)) {
                    text.push_str(&content);
                    thought.push_str(&reasoning);
                }
            }
            let message = answer.cut(0);
            prop_assert_eq!((message.text, message.reasoning), (text, thought));
        }
    }
}
