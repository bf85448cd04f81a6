//! Prompts of a wanted length that no server has seen before.

use crate::bench::prose::prose;
use crate::bench::random::Random;

/// A story of our own. What is longer goes on in drawn sentences.
const STORY: &str = include_str!("prompt.txt");

/// Tokens for each word of the story, before a server has told.
pub(crate) const TOKENS_PER_WORD: f64 = 1.25;

/// So many words, the same for the same number. They begin at another place of the story for every number, and no
/// eight words in a row stand twice in them.
pub(crate) fn words(number: u32, count: usize) -> Vec<String> {
    let story: Vec<&str> = STORY.split_whitespace().collect();
    let mut random = Random(u64::from(number));
    let start = random.below(story.len());
    let turned = story[start..].iter().chain(&story[..start]);
    let mut words: Vec<String> = turned.map(|w| (*w).to_owned()).collect();
    if count > words.len() {
        prose(&mut words, count, &mut random);
    }
    words.truncate(count.max(1));
    words
}

/// What stands before the words of a prompt, so that a server that keeps prefixes finds none that it has read before.
pub(crate) fn mark(seed: &str, number: u32) -> String {
    format!("[{:08x} {number}]", scatter(seed, number) as u32)
}

/// Spreads seeds (FNV-1a); no more is asked of it than to differ.
fn scatter(seed: &str, number: u32) -> u64 {
    seed.bytes()
        .chain(number.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::bench::PROMPT_TOKENS;

    #[test]
    fn the_story_is_long_enough_to_slice() {
        assert!(
            STORY.split_whitespace().count() > 800,
            "a few kilobytes of prose"
        );
        assert!(STORY.is_ascii(), "tokenizers split it alike");
    }

    /// A tokenizer that makes a token of each word needs the most words.
    #[test]
    fn no_eight_words_stand_twice_in_the_longest_prompt() {
        for number in [0, 1, 20] {
            let made = words(number, *PROMPT_TOKENS.end() as usize);
            assert_eq!(made.len(), *PROMPT_TOKENS.end() as usize);
            let bare = |w: &String| w.to_lowercase().replace([',', '.'], "");
            let lower: Vec<String> = made.iter().map(bare).collect();
            let runs: HashSet<&[String]> = lower.windows(8).collect();
            assert_eq!(runs.len(), lower.len() - 7, "prompt {number}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_shorter_prompt_is_the_beginning_of_a_longer_one(number in 0u32..50, less in 1usize..3000, more in 0usize..3000) {
            let (short, long) = (words(number, less), words(number, less + more));
            prop_assert_eq!(&long[..less], &short[..]);
        }

        #[test]
        fn marks_share_no_beginning(seed in "[a-z0-9]{8}", n in 0u32..50, m in 0u32..50) {
            prop_assume!(n != m);
            let (a, b) = (mark(&seed, n), mark(&seed, m));
            prop_assert_ne!(a.split_whitespace().next(), b.split_whitespace().next());
        }
    }
}
