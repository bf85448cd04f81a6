//! When an answer's tokens came: the one clock that both the chat and the benchmarks read.
//!
//! Chunks are never counted. With MTP one chunk carries several tokens, so the number of tokens is
//! the server's, and only the moments are ours.

use std::time::Duration;

use crate::chat::{ChatDelta, ChatFinish};

/// The moments of one answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenRate {
    /// The first chunk with choices, be it only the role (ttfr).
    pub first_chunk: Option<Duration>,
    /// The first chunk with words (e2e TTFT).
    pub first_token: Option<Duration>,
    /// The last chunk that brought tokens.
    pub last_token: Option<Duration>,
    /// Tokens in the first chunk with words, where the server counts along.
    first_count: Option<u32>,
    /// Tokens up to the last chunk that brought some, where the server counts along.
    last_count: Option<u32>,
}

impl TokenRate {
    /// Takes a chunk in.
    pub fn push(&mut self, delta: &ChatDelta) {
        self.first_chunk.get_or_insert(delta.at);
        let words = !delta.content.is_empty() || !delta.reasoning.is_empty();
        // A token without words still took its time: special tokens past an end of sequence.
        let grew = self.first_token.is_some() && delta.tokens > self.last_count;
        if words && self.first_token.is_none() {
            self.first_token = Some(delta.at);
            self.first_count = delta.tokens.filter(|n| *n > 0);
        }
        if words || grew {
            self.last_token = Some(delta.at);
            self.last_count = delta.tokens.or(self.last_count);
        }
    }

    /// Tokens per second after the first moment, over all `completion_tokens` of the answer.
    ///
    /// `None` where nothing came after the first moment, so that there is no time to divide by, and where nobody
    /// counted.
    pub fn tokens_per_s(&self, completion_tokens: Option<u32>) -> Option<f64> {
        let span = self
            .last_token?
            .checked_sub(self.first_token?)?
            .as_secs_f64();
        let counted = self.last_count.or(completion_tokens)?;
        let after = counted.checked_sub(self.first_count.unwrap_or(1))?;
        (after > 0 && span > 0.0).then(|| f64::from(after) / span)
    }

    /// Tokens up to now, where the server counts along.
    pub fn tokens(&self) -> Option<u32> {
        self.last_count
    }

    /// Seconds to the first token; to the end where no word came at all.
    pub fn ttft_s(&self, finish: &ChatFinish) -> f64 {
        self.first_token.unwrap_or(finish.at).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(ms: u64, words: &str, tokens: Option<u32>) -> ChatDelta {
        ChatDelta {
            at: Duration::from_millis(ms),
            content: words.to_owned(),
            reasoning: String::new(),
            calls: Vec::new(),
            tokens,
        }
    }

    fn rate(chunks: &[ChatDelta]) -> TokenRate {
        let mut rate = TokenRate::default();
        for chunk in chunks {
            rate.push(chunk);
        }
        rate
    }

    #[test]
    fn several_tokens_in_a_chunk_count_as_several() {
        let rate = rate(&[
            chunk(90, "", Some(0)),
            chunk(100, "The", Some(1)),
            chunk(600, " user greets me", Some(4)),
            chunk(1100, " and waits", Some(6)),
        ]);
        assert_eq!(rate.first_chunk, Some(Duration::from_millis(90)));
        assert_eq!(rate.first_token, Some(Duration::from_millis(100)));
        assert_eq!(
            rate.tokens_per_s(Some(6)),
            Some(5.0),
            "five tokens came in the second after the first"
        );
    }

    #[test]
    fn without_counting_along_the_usage_at_the_end_counts() {
        let rate = rate(&[chunk(100, "a", None), chunk(600, "b", None)]);
        assert_eq!(
            rate.tokens_per_s(Some(11)),
            Some(20.0),
            "ten tokens in half a second"
        );
    }

    #[test]
    fn a_first_chunk_of_several_tokens_is_not_paid_for_by_the_rest() {
        let rate = rate(&[chunk(100, "a b c", Some(3)), chunk(1100, "d e", Some(5))]);
        assert_eq!(
            rate.tokens_per_s(Some(5)),
            Some(2.0),
            "two tokens came after the first moment"
        );
    }

    #[test]
    fn tokens_without_words_extend_the_answer() {
        let rate = rate(&[
            chunk(100, "a", Some(1)),
            chunk(200, "b", Some(2)),
            chunk(1100, "", Some(5)),
        ]);
        assert_eq!(
            rate.tokens_per_s(Some(5)),
            Some(4.0),
            "the silent tokens took time too"
        );
    }

    #[test]
    fn one_moment_has_no_rate() {
        assert_eq!(rate(&[]).tokens_per_s(Some(0)), None, "nothing came");
        assert_eq!(
            rate(&[chunk(100, "all at once", Some(9))]).tokens_per_s(Some(9)),
            None,
            "there is no time between the first moment and itself"
        );
    }
}
