//! Prompts of a wanted length that no server has seen before.

/// A story of our own, long enough that a prompt of a thousand tokens does not repeat itself.
const STORY: &str = include_str!("prompt.txt");

/// Tokens for each word of the story, before a server has told.
pub(crate) const TOKENS_PER_WORD: f64 = 1.25;

/// Makes a prompt of this many words for one repeat of one measurement.
///
/// It begins at another place of the story for every `seed` and `repeat`, and names both at its
/// beginning and at its end, so that a server that keeps prefixes finds none that it has read
/// before. Longer prompts go round the story again.
pub(crate) fn prompt(seed: &str, repeat: u32, words: usize) -> String {
    let story: Vec<&str> = STORY.split_whitespace().collect();
    let start = scatter(seed, repeat) as usize % story.len();
    let body: Vec<&str> = story
        .iter()
        .cycle()
        .skip(start)
        .take(words.max(1))
        .copied()
        .collect();
    format!("{repeat} {seed}: {} [{seed} {repeat}]", body.join(" "))
}

/// Spreads seeds over the story (FNV-1a); no more is asked of it than to differ.
fn scatter(seed: &str, repeat: u32) -> u64 {
    seed.bytes()
        .chain(repeat.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_story_is_long_enough_to_slice() {
        assert!(
            STORY.split_whitespace().count() > 800,
            "a few kilobytes of prose"
        );
        assert!(STORY.is_ascii(), "tokenizers split it alike");
    }

    proptest! {
        #[test]
        fn repeats_share_neither_beginning_nor_end(seed in "[a-z0-9]{8}", n in 0u32..50, m in 0u32..50, words in 1usize..3000) {
            prop_assume!(n != m);
            let (a, b) = (prompt(&seed, n, words), prompt(&seed, m, words));
            prop_assert_ne!(a.split_whitespace().next(), b.split_whitespace().next());
            prop_assert_ne!(a.split_whitespace().last(), b.split_whitespace().last());
            prop_assert_eq!(a.split_whitespace().count(), words + 4, "the words asked for, and its marks");
        }
    }
}
