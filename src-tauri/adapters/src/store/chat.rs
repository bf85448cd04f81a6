//! Conversations and their messages.

use serde_json::Value;
use sqlx::SqliteConnection;
use tandem_domain::chat::{ConversationSummary, Message};
use tandem_domain::ids::ConversationId;

use super::{Store, StoreError, doing, says};

#[derive(sqlx::FromRow)]
struct MessageRow {
    id: String,
    role: String,
    text: String,
    reasoning: String,
    at: i64,
    stats: Option<String>,
    stopped: bool,
    images: String,
}

impl TryFrom<MessageRow> for Message {
    type Error = StoreError;

    fn try_from(row: MessageRow) -> Result<Self, StoreError> {
        let bad = |column| says("message", column, &row.id);
        Ok(Self {
            role: serde_json::from_value(Value::String(row.role)).map_err(bad("role"))?,
            images: serde_json::from_str(&row.images).map_err(bad("images"))?,
            stats: row
                .stats
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(bad("stats"))?,
            text: row.text,
            reasoning: row.reasoning,
            at: row.at,
            stopped: row.stopped,
            id: row.id,
        })
    }
}

impl Store {
    /// Begins a conversation.
    pub async fn create_conversation(
        &self,
        id: &ConversationId,
        title: &str,
        at: i64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into conversation (id, title, created_at, updated_at) values (?1, ?2, ?3, ?3)",
        )
        .bind(&id.0)
        .bind(title)
        .bind(at)
        .execute(&self.writer)
        .await
        .map_err(doing("beginning a conversation"))?;
        Ok(())
    }

    /// The conversations whose title holds these words, or all of them; the latest changed first.
    pub async fn conversations(
        &self,
        search: Option<&str>,
    ) -> Result<Vec<ConversationSummary>, StoreError> {
        // Escaped, so that a percent sign finds a percent sign.
        let pattern = search
            .map(str::trim)
            .filter(|s| !s.is_empty())
            .map(|words| {
                let escaped = words
                    .replace('\\', "\\\\")
                    .replace('%', "\\%")
                    .replace('_', "\\_");
                format!("%{escaped}%")
            });
        let rows: Vec<(String, String, i64)> = sqlx::query_as(
            "select id, title, updated_at from conversation
             where ?1 is null or title like ?1 escape '\\'
             order by updated_at desc, id desc",
        )
        .bind(pattern)
        .fetch_all(&self.readers)
        .await
        .map_err(doing("listing the conversations"))?;
        Ok(rows
            .into_iter()
            .map(|(id, title, updated_at)| ConversationSummary {
                id: id.into(),
                title,
                updated_at,
            })
            .collect())
    }

    /// Gives a conversation another title; `false` if there is none.
    pub async fn rename_conversation(
        &self,
        id: &ConversationId,
        title: &str,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("update conversation set title = ?2 where id = ?1")
            .bind(&id.0)
            .bind(title)
            .execute(&self.writer)
            .await
            .map_err(doing("renaming a conversation"))?;
        Ok(done.rows_affected() == 1)
    }

    /// The messages of a conversation, oldest first; none if there is no such conversation.
    pub async fn messages(
        &self,
        conversation: &ConversationId,
    ) -> Result<Vec<Message>, StoreError> {
        let rows: Vec<MessageRow> = sqlx::query_as(
            "select id, role, text, reasoning, at, stats, stopped,
               (select json_group_array(image_id) from
                 (select image_id from message_image where message_id = message.id order by position)) as images
             from message where conversation_id = ?1 order by position",
        )
        .bind(&conversation.0)
        .fetch_all(&self.readers)
        .await
        .map_err(doing("reading a conversation"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Adds a message to the end of a conversation, which moves to the top of the list.
    /// Its images must have been put before.
    pub async fn append_message(
        &self,
        conversation: &ConversationId,
        message: &Message,
    ) -> Result<(), StoreError> {
        const DOING: &str = "keeping a message";
        let mut tx = self.write(DOING).await?;
        sqlx::query(
            "insert into message (id, conversation_id, position, role, text, reasoning, at, stats, stopped)
             select ?1, ?2, coalesce(max(position), 0) + 1, ?3, '', '', ?4, null, 0
             from message where conversation_id = ?2",
        )
        .bind(&message.id)
        .bind(&conversation.0)
        .bind(role_name(message))
        .bind(message.at)
        .execute(&mut *tx)
        .await
        .map_err(doing(DOING))?;
        fill(&mut tx, message).await?;
        touch(&mut tx, message).await?;
        tx.commit().await.map_err(doing(DOING))
    }

    /// Replaces what a message holds, as an answer does when it ends; `false` if there is none.
    pub async fn update_message(&self, message: &Message) -> Result<bool, StoreError> {
        const DOING: &str = "keeping a message";
        let mut tx = self.write(DOING).await?;
        let found = fill(&mut tx, message).await?;
        touch(&mut tx, message).await?;
        tx.commit().await.map_err(doing(DOING))?;
        Ok(found)
    }

    /// Removes a conversation with its messages, and the images that no other one shows;
    /// `false` if there was none.
    pub async fn delete_conversation(&self, id: &ConversationId) -> Result<bool, StoreError> {
        const DOING: &str = "removing a conversation";
        let mut tx = self.write(DOING).await?;
        // Only images of this conversation: one that was picked and not sent yet is in none.
        let images: Vec<String> = sqlx::query_scalar(
            "select distinct image_id from message_image join message on message.id = message_id
             where conversation_id = ?1",
        )
        .bind(&id.0)
        .fetch_all(&mut *tx)
        .await
        .map_err(doing(DOING))?;
        let done = sqlx::query("delete from conversation where id = ?1")
            .bind(&id.0)
            .execute(&mut *tx)
            .await
            .map_err(doing(DOING))?;
        for image in images {
            sqlx::query(
                "delete from image where id = ?1
                 and not exists (select 1 from message_image where image_id = ?1)",
            )
            .bind(image)
            .execute(&mut *tx)
            .await
            .map_err(doing(DOING))?;
        }
        tx.commit().await.map_err(doing(DOING))?;
        Ok(done.rows_affected() == 1)
    }
}

fn role_name(message: &Message) -> &'static str {
    use tandem_domain::chat::Role;
    match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// Writes everything about a message but its place.
async fn fill(tx: &mut SqliteConnection, message: &Message) -> Result<bool, StoreError> {
    const DOING: &str = "keeping a message";
    let stats = message
        .stats
        .as_ref()
        .map(serde_json::to_string)
        .transpose()
        .map_err(says("message", "stats", &message.id))?;
    let done = sqlx::query(
        "update message set role = ?2, text = ?3, reasoning = ?4, at = ?5, stats = ?6, stopped = ?7
         where id = ?1",
    )
    .bind(&message.id)
    .bind(role_name(message))
    .bind(&message.text)
    .bind(&message.reasoning)
    .bind(message.at)
    .bind(stats)
    .bind(message.stopped)
    .execute(&mut *tx)
    .await
    .map_err(doing(DOING))?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("delete from message_image where message_id = ?1")
        .bind(&message.id)
        .execute(&mut *tx)
        .await
        .map_err(doing(DOING))?;
    for (position, image) in message.images.iter().enumerate() {
        sqlx::query(
            "insert into message_image (message_id, position, image_id) values (?1, ?2, ?3)",
        )
        .bind(&message.id)
        .bind(position as i64)
        .bind(image)
        .execute(&mut *tx)
        .await
        .map_err(doing(DOING))?;
    }
    Ok(true)
}

/// Moves the message's conversation to the top of the list.
async fn touch(tx: &mut SqliteConnection, message: &Message) -> Result<(), StoreError> {
    sqlx::query(
        "update conversation set updated_at = max(updated_at, ?2)
         where id = (select conversation_id from message where id = ?1)",
    )
    .bind(&message.id)
    .bind(message.at)
    .execute(tx)
    .await
    .map_err(doing("keeping a message"))?;
    Ok(())
}
