//! Searching what was said.

use serde::{Deserialize, Serialize};

use crate::chat::Role;
use crate::ids::ConversationId;

/// The most found messages that are shown. Who sees so many writes another word.
pub const MOST_FOUND: u32 = 50;

/// A message that holds the words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct FoundMessage {
    /// Its conversation.
    pub conversation: ConversationId,
    /// The conversation's title.
    pub title: String,
    /// The message.
    pub message: String,
    /// Who said it.
    pub role: Role,
    /// When, ms since 1970.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub at: i64,
    /// The words around the first place, in pieces: every second one, from the second on, is what was searched.
    pub excerpt: Vec<String>,
}

/// How the words are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// By the index of words: an FTS5 expression. Each word may go on.
    Words(String),
    /// By reading: scripts without spaces have no words that an index could hold.
    Within(String),
}

/// Makes a query of what is typed; `None` where there is no word in it yet.
pub fn query(typed: &str) -> Option<Query> {
    let typed = typed.trim();
    if typed.chars().any(without_spaces) {
        return Some(Query::Within(typed.to_owned()));
    }
    // The index knows letters and digits; between them FTS5 would look for its own signs.
    let words: Vec<String> = typed
        .split(|c: char| !c.is_alphanumeric() && !mark(c))
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| format!("\"{word}\"*"))
        .collect();
    (!words.is_empty()).then(|| Query::Words(words.join(" ")))
}

/// Accents that stand apart from their letter.
fn mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Chinese, Japanese, Thai, Lao, Khmer and Burmese.
fn without_spaces(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// The words around the first place where `wanted` stands, in pieces as [`FoundMessage::excerpt`] has them.
pub fn excerpt_within(text: &str, wanted: &str) -> Vec<String> {
    const AROUND: usize = 24;
    let Some(at) = text.find(wanted) else {
        return vec![text.chars().take(2 * AROUND).collect()];
    };
    let (before, rest) = text.split_at(at);
    let after = &rest[wanted.len()..];
    let from = before.char_indices().rev().nth(AROUND);
    let to = after.char_indices().nth(AROUND);
    let start = from.map_or(before.to_owned(), |(at, _)| format!("…{}", &before[at..]));
    let end = to.map_or(after.to_owned(), |(at, _)| format!("{}…", &after[..at]));
    vec![start, wanted.to_owned(), end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_typed_becomes_words_that_may_go_on() {
        for (typed, expected) in [
            ("", None),
            ("  \"*( ", None),
            ("cab", Some(r#""cab"*"#)),
            ("two cab", Some(r#""two"* "cab"*"#)),
            ("foo-bar OR", Some(r#""foo"* "bar"* "OR"*"#)),
            ("naïve 3.7", Some(r#""naïve"* "3"* "7"*"#)),
        ] {
            let expected = expected.map(|words| Query::Words(words.to_owned()));
            assert_eq!(query(typed), expected, "{typed}");
        }
        assert_eq!(query(" 重要 "), Some(Query::Within("重要".into())));
    }

    #[test]
    fn an_excerpt_has_the_words_in_its_middle() {
        let text = format!("{}重要{}", "あ".repeat(40), "い".repeat(3));
        let pieces = excerpt_within(&text, "重要");
        assert_eq!(pieces[1], "重要");
        assert!(pieces[0].starts_with('…') && pieces[0].chars().count() == 26);
        assert_eq!(pieces[2], "いいい");
        assert_eq!(excerpt_within("other", "重"), ["other"]);
    }

    proptest! {
        #[test]
        fn no_sign_of_the_index_gets_through(typed in any::<String>()) {
            if let Some(Query::Words(words)) = query(&typed) {
                for word in words.split(' ') {
                    let inner = word.strip_prefix('"').and_then(|w| w.strip_suffix("\"*"));
                    prop_assert!(inner.is_some_and(|w| !w.contains('"') && !w.is_empty()));
                }
            }
        }

        #[test]
        fn an_excerpt_never_cuts_a_character(text in any::<String>(), at in 0usize..20, n in 1usize..4) {
            let wanted: String = text.chars().skip(at).take(n).collect();
            prop_assert!(!excerpt_within(&text, &wanted).is_empty());
        }
    }
}
