//! How long the search over all that was said takes, by the store's own query.

use std::time::Instant;

use tandem_adapters::store::Store;
use tandem_domain::chat::{Message, Role, search};
use tandem_domain::ids::ConversationId;

use crate::Failure;
use crate::figure::Figure;

/// Messages that are searched.
const MESSAGES: usize = 100_000;

/// Messages of a conversation.
const LENGTH: usize = 500;

/// The most milliseconds that one waits for what is typed, in 95 of 100 cases.
const TARGET_MS: f64 = 50.0;

/// Syllables of made-up words; of two and three of them there are some thousand.
const SYLLABLES: [&str; 16] = [
    "ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "wo", "xu", "za",
];

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % most
    }

    /// Some words are said often and most of them seldom, as in any language.
    fn word(&mut self) -> String {
        let length = 2 + self.below(2);
        let syllable = |n: &mut Self| SYLLABLES[n.below(16).min(n.below(16))];
        (0..length).map(|_| syllable(self)).collect()
    }
}

/// Fills a store and types words into its search, letter by letter.
pub(crate) async fn search() -> Result<Figure, Failure> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&folder.path().join("tandem.db")).await?;
    let mut numbers = Numbers(1);
    for n in 0..MESSAGES / LENGTH {
        let id = |m: usize| format!("{n}-{m}");
        let messages: Vec<Message> = (0..LENGTH)
            .map(|m| {
                let role = if m % 2 == 0 {
                    Role::User
                } else {
                    Role::Assistant
                };
                let words = 10 + numbers.below(60);
                let words: Vec<String> = (0..words).map(|_| numbers.word()).collect();
                Message {
                    parent: m.checked_sub(1).map(id),
                    ..Message::new(id(m), role, words.join(" "), 1)
                }
            })
            .collect();
        let conversation = ConversationId(n.to_string());
        let shown = messages.last().map(|m| m.id.as_str());
        store
            .import_conversation(&conversation, "Words", 1, &messages, shown)
            .await?;
    }
    let mut took = Vec::new();
    let mut found = 0;
    for n in 0..60 {
        let mut typed = numbers.word();
        if n % 3 == 0 {
            typed = format!("{typed} {}", numbers.word());
        }
        for end in 1..=typed.len() {
            let Some(query) = search::query(&typed[..end]) else {
                continue;
            };
            let began = Instant::now();
            found += store.search_messages(&query).await?.len();
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    if found == 0 {
        return Err("nothing was found".into());
    }
    took.sort_by(f64::total_cmp);
    let p95 = took[took.len() * 95 / 100];
    Ok(Figure::of("chat_search_100000_p95", p95, "ms").at_most(TARGET_MS))
}
