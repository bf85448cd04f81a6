//! The search over all messages.

use serde_json::Value;
use tandem_domain::chat::search::{FoundMessage, MOST_FOUND, Query, excerpt_within};

use super::{Store, StoreError, doing, says};

/// What stands around the words in an excerpt while it is one text.
const MARK: char = '\u{1}';

type Row = (String, String, String, String, i64, String);

impl Store {
    /// The latest messages that hold the words, at most [`MOST_FOUND`]. All versions are searched; what was deleted is
    /// not.
    pub async fn search_messages(&self, query: &Query) -> Result<Vec<FoundMessage>, StoreError> {
        const DOING: &str = "searching the conversations";
        // The latest first, as the index has them: nothing is sorted, and the first fifty end it.
        let (sql, wanted) = match query {
            Query::Words(words) => (
                "select m.id, m.conversation_id, c.title, m.role, m.at,
                   snippet(message_search, 0, char(1), char(1), '…', 16)
                 from message_search
                 join message as m on m.rowid = message_search.rowid
                 join conversation as c on c.id = m.conversation_id
                 where message_search match ?1 and m.deleted_at is null and c.deleted_at is null
                 order by message_search.rowid desc limit ?2",
                words,
            ),
            Query::Within(text) => (
                "select m.id, m.conversation_id, c.title, m.role, m.at, m.text
                 from message as m join conversation as c on c.id = m.conversation_id
                 where instr(m.text, ?1) > 0 and m.deleted_at is null and c.deleted_at is null
                 order by m.rowid desc limit ?2",
                text,
            ),
        };
        let rows: Vec<Row> = sqlx::query_as(sql)
            .bind(wanted)
            .bind(MOST_FOUND)
            .fetch_all(&self.readers)
            .await
            .map_err(doing(DOING))?;
        rows.into_iter()
            .map(|(message, conversation, title, role, at, text)| {
                Ok(FoundMessage {
                    role: serde_json::from_value(Value::String(role))
                        .map_err(says("message", "role", &message))?,
                    conversation: conversation.into(),
                    title,
                    message,
                    at,
                    excerpt: match query {
                        Query::Words(_) => text.split(MARK).map(ToOwned::to_owned).collect(),
                        Query::Within(wanted) => excerpt_within(&text, wanted),
                    },
                })
            })
            .collect()
    }
}
