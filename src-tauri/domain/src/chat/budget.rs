//! How the window of a model is shared between the prompt and the answer.

use serde::{Deserialize, Serialize};

use crate::chat::{Message, PromptMessage, Role};

/// The longest answer asked for where nobody wishes another. Reasoning counts, so it must leave room for both.
pub const MAX_TOKENS: u32 = 8192;

/// Tokens that stay free: servers count a few more than they tell.
const MARGIN: u32 = 16;

/// The least room that is worth an answer, in tokens. With less, earlier messages are left out.
const LEAST: u32 = 512;

/// What the next request takes of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Budget {
    /// Tokens of the window.
    pub window: u32,
    /// Tokens of the prompt.
    pub prompt: u32,
    /// Whether the server counted them; images are estimated in any case.
    pub counted: bool,
    /// The most tokens of the answer.
    pub answer: u32,
    /// Messages from the begin of the conversation that are not sent.
    pub left_out: u32,
}

/// The tokens that an answer may have; `None` where the prompt leaves too little room.
pub fn answer_tokens(window: u32, prompt: u32, wished: Option<u32>) -> Option<u32> {
    let room = window.saturating_sub(prompt).saturating_sub(MARGIN);
    let wished = wished.unwrap_or(MAX_TOKENS).max(1);
    // A small window is shared by half, and who wishes for less needs less.
    let least = LEAST.min(window / 4).min(wished).max(1);
    (room >= least).then(|| wished.min(room))
}

/// How many messages at the begin belong together: a question with what follows it, to the next question. `None` where
/// there is no other question: the last one is always sent.
pub fn first_turn(conversation: &[Message]) -> Option<usize> {
    let next = conversation
        .iter()
        .skip(1)
        .position(|message| message.role == Role::User)?;
    Some(next + 1)
}

/// Tokens of messages where no server counts them: rather too many than too few.
pub fn estimate(messages: &[PromptMessage]) -> u32 {
    let words: usize = messages.iter().map(|m| 8 + of_text(&m.text)).sum();
    u32::try_from(words).unwrap_or(u32::MAX)
}

/// A token has about four characters of a language with letters, and about one of others.
fn of_text(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().count() - ascii;
    ascii.div_ceil(3) + others
}

/// Tokens of an image, about: one for each 28 by 28 pixels, which few models exceed.
pub fn image_tokens(width: u32, height: u32) -> u32 {
    width.div_ceil(28).saturating_mul(height.div_ceil(28))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_fits_into_what_is_left_of_the_window() {
        for (window, prompt, wished, expected) in [
            (262_144, 1_000, None, Some(MAX_TOKENS)),
            (8_192, 12, None, Some(8_164)),
            (8_192, 8_000, None, None),
            (8_192, 8_000, Some(100), Some(100)),
            (1_024, 500, None, Some(508)),
            (1_024, 1_000, None, None),
            (262_144, 262_000, Some(20_000), None),
            (262_144, 200_000, Some(100_000), Some(62_128)),
            (0, 10, None, None),
        ] {
            let found = answer_tokens(window, prompt, wished);
            assert_eq!(found, expected, "{window} {prompt} {wished:?}");
            if let Some(answer) = found {
                assert!(prompt + answer < window);
            }
        }
    }

    #[test]
    fn whole_turns_are_left_out_and_never_the_last_question() {
        let said = |roles: &[Role]| -> Vec<Message> {
            let message = |role: &Role| Message::new("", *role, "x", 0);
            roles.iter().map(message).collect()
        };
        let (q, a) = (Role::User, Role::Assistant);
        assert_eq!(first_turn(&said(&[q, a, q])), Some(2));
        assert_eq!(first_turn(&said(&[q, q, a])), Some(1));
        assert_eq!(first_turn(&said(&[q, a])), None);
        assert_eq!(first_turn(&said(&[q])), None);
        assert_eq!(first_turn(&[]), None);
    }

    #[test]
    fn an_estimate_is_rather_too_high() {
        let of = |text: &str| {
            estimate(&[PromptMessage {
                role: Role::User,
                text: text.into(),
                images: Vec::new(),
            }])
        };
        // 20 words of English are about 26 tokens, and 10 signs of Chinese about 7.
        assert!(of(&"plain words ".repeat(10)) >= 26);
        assert!(of("请用三句话说明这张图") >= 10);
        assert_eq!(image_tokens(1568, 1568), 3136);
    }
}
