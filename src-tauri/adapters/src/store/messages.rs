//! Messages of a conversation: a tree, of which one way from the first message to the last is shown.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sqlx::SqliteConnection;
use tandem_domain::chat::{Message, Role};
use tandem_domain::ids::ConversationId;

use super::{Store, StoreError, doing, says};

/// The query of messages as `m` between these two parts of it.
macro_rules! select_messages {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " select m.id, m.role, m.text, m.reasoning, m.at, m.stats, m.stopped, m.calls, m.parent_id,
                (select json_group_array(image_id) from
                  (select image_id from message_image where message_id = m.id order by position)) as images,
                (select json_group_array(id) from
                  (select v.id from message as v
                   where v.parent_id is m.parent_id and v.conversation_id = m.conversation_id and v.deleted_at is null
                   order by v.position)) as versions
              ",
            $after
        )
    };
}

#[derive(sqlx::FromRow)]
struct MessageRow {
    id: String,
    role: String,
    text: String,
    reasoning: String,
    at: i64,
    stats: Option<String>,
    stopped: bool,
    calls: Option<String>,
    parent_id: Option<String>,
    images: String,
    versions: String,
}

impl TryFrom<MessageRow> for Message {
    type Error = StoreError;

    fn try_from(row: MessageRow) -> Result<Self, StoreError> {
        let bad = |column| says("message", column, &row.id);
        Ok(Self {
            role: serde_json::from_value(Value::String(row.role)).map_err(bad("role"))?,
            images: serde_json::from_str(&row.images).map_err(bad("images"))?,
            versions: serde_json::from_str(&row.versions).map_err(bad("versions"))?,
            stats: row
                .stats
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(bad("stats"))?,
            calls: row
                .calls
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(bad("calls"))?
                .unwrap_or_default(),
            text: row.text,
            reasoning: row.reasoning,
            at: row.at,
            stopped: row.stopped,
            parent: row.parent_id,
            id: row.id,
        })
    }
}

impl Store {
    /// Up to `most` messages that the conversation shows, oldest first: the last ones, or those that stand right before
    /// this one. None if there is no such conversation.
    pub async fn messages(
        &self,
        conversation: &ConversationId,
        before: Option<&str>,
        most: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let mut rows: Vec<MessageRow> = sqlx::query_as(select_messages!(
            "",
            "from message as m
             where m.conversation_id = ?1 and m.on_path = 1
               and (?2 is null or m.position < (select position from message where id = ?2))
             order by m.position desc limit ?3"
        ))
        .bind(&conversation.0)
        .bind(before)
        .bind(most)
        .fetch_all(&self.readers)
        .await
        .map_err(doing("reading a conversation"))?;
        rows.reverse();
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Every message that was not deleted, with all versions, each after the one that it follows.
    pub async fn all_messages(
        &self,
        conversation: &ConversationId,
    ) -> Result<Vec<Message>, StoreError> {
        let rows: Vec<MessageRow> = sqlx::query_as(select_messages!(
            "",
            "from message as m where m.conversation_id = ?1 and m.deleted_at is null
             order by m.position"
        ))
        .bind(&conversation.0)
        .fetch_all(&self.readers)
        .await
        .map_err(doing("reading a conversation"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Keeps a whole conversation, of which `shown` is the last message that is shown. Parents stand before what follows
    /// them. All of it is kept or nothing.
    pub async fn import_conversation(
        &self,
        id: &ConversationId,
        title: &str,
        at: i64,
        messages: &[Message],
        shown: Option<&str>,
    ) -> Result<(), StoreError> {
        const DOING: &str = "keeping an imported conversation";
        let mut tx = self.write(DOING).await?;
        sqlx::query(
            "insert into conversation (id, title, created_at, updated_at) values (?1, ?2, ?3, ?3)",
        )
        .bind(&id.0)
        .bind(title)
        .bind(at)
        .execute(&mut *tx)
        .await
        .map_err(doing(DOING))?;
        let places = Places::of(messages, shown);
        for (position, message) in messages.iter().enumerate() {
            sqlx::query(
                "insert into message (id, conversation_id, position, role, text, reasoning, at, stopped, parent_id,
                   shown, on_path)
                 values (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10)",
            )
            .bind(&message.id)
            .bind(&id.0)
            .bind(position as i64 + 1)
            .bind(role_name(message.role))
            .bind(&message.text)
            .bind(&message.reasoning)
            .bind(message.at)
            .bind(&message.parent)
            .bind(places.shown.contains(message.id.as_str()))
            .bind(places.on_path.contains(message.id.as_str()))
            .execute(&mut *tx)
            .await
            .map_err(doing(DOING))?;
        }
        tx.commit().await.map_err(doing(DOING))
    }

    /// A message, if it is there and was not deleted.
    pub async fn message(&self, id: &str) -> Result<Option<Message>, StoreError> {
        let row: Option<MessageRow> = sqlx::query_as(select_messages!(
            "",
            "from message as m where m.id = ?1 and m.deleted_at is null"
        ))
        .bind(id)
        .fetch_optional(&self.readers)
        .await
        .map_err(doing("reading a message"))?;
        row.map(TryInto::try_into).transpose()
    }

    /// The message with all before it, the first one first, whether they are shown or not.
    pub async fn path_to(&self, id: &str) -> Result<Vec<Message>, StoreError> {
        let rows: Vec<MessageRow> = sqlx::query_as(select_messages!(
            "with recursive up (id, parent_id) as (
               select id, parent_id from message where id = ?1
               union all
               select b.id, b.parent_id from message as b join up on b.id = up.parent_id
             )",
            "from up join message as m on m.id = up.id order by m.position"
        ))
        .bind(id)
        .fetch_all(&self.readers)
        .await
        .map_err(doing("reading a conversation"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Adds a message after all that the conversation shows. Its images must have been put before.
    pub async fn append_message(
        &self,
        conversation: &ConversationId,
        message: &Message,
    ) -> Result<(), StoreError> {
        const DOING: &str = "keeping a message";
        let mut tx = self.write(DOING).await?;
        let last: Option<String> = sqlx::query_scalar(
            "select id from message where conversation_id = ?1 and on_path = 1
             order by position desc limit 1",
        )
        .bind(&conversation.0)
        .fetch_optional(&mut *tx)
        .await
        .map_err(doing(DOING))?;
        add(&mut tx, conversation, message, last.as_deref()).await?;
        tx.commit().await.map_err(doing(DOING))
    }

    /// Adds a message after its parent and shows it in the place of what stood there.
    pub async fn branch_message(
        &self,
        conversation: &ConversationId,
        message: &Message,
    ) -> Result<(), StoreError> {
        const DOING: &str = "keeping a message";
        let mut tx = self.write(DOING).await?;
        add(&mut tx, conversation, message, message.parent.as_deref()).await?;
        tx.commit().await.map_err(doing(DOING))
    }

    /// Replaces what a message holds, as an answer does while it comes; `false` if there is none.
    pub async fn update_message(&self, message: &Message) -> Result<bool, StoreError> {
        const DOING: &str = "keeping a message";
        let mut tx = self.write(DOING).await?;
        let found = fill(&mut tx, message).await?;
        touch(&mut tx, message).await?;
        tx.commit().await.map_err(doing(DOING))?;
        Ok(found)
    }

    /// Shows this message of all versions in its place, and of what follows it what was shown last; `false` if there is
    /// none.
    pub async fn show_message(&self, id: &str) -> Result<bool, StoreError> {
        const DOING: &str = "showing a version";
        let mut tx = self.write(DOING).await?;
        let found = show(&mut tx, id).await?;
        tx.commit().await.map_err(doing(DOING))?;
        Ok(found)
    }

    /// Deletes a message with all that follows it; another version takes its place. `false` if there was none. It can
    /// be brought back until it is purged.
    pub async fn delete_message(&self, id: &str, at: i64) -> Result<bool, StoreError> {
        const DOING: &str = "deleting a message";
        let mut tx = self.write(DOING).await?;
        let done = sqlx::query(
            "with recursive down (id) as (
               select id from message where id = ?1 and deleted_at is null
               union all
               select n.id from message as n join down on n.parent_id = down.id where n.deleted_at is null
             )
             update message set deleted_at = ?2, on_path = 0 where id in (select id from down)",
        )
        .bind(id)
        .bind(at)
        .execute(&mut *tx)
        .await
        .map_err(doing(DOING))?;
        let other: Option<String> = sqlx::query_scalar(
            "select v.id from message as m join message as v
               on v.parent_id is m.parent_id and v.conversation_id = m.conversation_id
             where m.id = ?1 and m.shown = 1 and v.deleted_at is null order by v.position desc limit 1",
        )
        .bind(id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(doing(DOING))?;
        if let Some(other) = other {
            show(&mut tx, &other).await?;
        }
        tx.commit().await.map_err(doing(DOING))?;
        Ok(done.rows_affected() > 0)
    }

    /// Brings a deleted message back with what was deleted with it, and shows it; `false` if it is gone for good.
    pub async fn restore_message(&self, id: &str) -> Result<bool, StoreError> {
        const DOING: &str = "bringing a message back";
        let mut tx = self.write(DOING).await?;
        sqlx::query(
            "with recursive down (id, deleted_at) as (
               select id, deleted_at from message where id = ?1 and deleted_at is not null
               union all
               select n.id, n.deleted_at from message as n join down on n.parent_id = down.id
               where n.deleted_at = down.deleted_at
             )
             update message set deleted_at = null where id in (select id from down)",
        )
        .bind(id)
        .execute(&mut *tx)
        .await
        .map_err(doing(DOING))?;
        let found = show(&mut tx, id).await?;
        tx.commit().await.map_err(doing(DOING))?;
        Ok(found)
    }
}

/// Which messages of a conversation are shown in their places, and which of these stand on the way from the first to the
/// last one.
struct Places<'a> {
    shown: HashSet<&'a str>,
    on_path: HashSet<&'a str>,
}

impl<'a> Places<'a> {
    /// Of versions the one on the way to `last` is shown, else the latest.
    fn of(messages: &'a [Message], last: Option<&str>) -> Self {
        let by_id: HashMap<&str, &Message> = messages.iter().map(|m| (m.id.as_str(), m)).collect();
        let mut in_place: HashMap<Option<&str>, &str> = HashMap::new();
        for message in messages {
            in_place.insert(message.parent.as_deref(), &message.id);
        }
        let mut next = last.and_then(|id| by_id.get(id));
        while let Some(message) = next {
            in_place.insert(message.parent.as_deref(), &message.id);
            next = message.parent.as_deref().and_then(|id| by_id.get(id));
        }
        let mut on_path = HashSet::new();
        let mut place = None;
        while let Some(id) = in_place.get(&place)
            && on_path.insert(*id)
        {
            place = Some(*id);
        }
        Self {
            shown: in_place.into_values().collect(),
            on_path,
        }
    }
}

/// Adds a message after this one and shows it.
async fn add(
    tx: &mut SqliteConnection,
    conversation: &ConversationId,
    message: &Message,
    after: Option<&str>,
) -> Result<(), StoreError> {
    // What follows a deleted message goes with it.
    sqlx::query(
        "insert into message (id, conversation_id, position, role, text, reasoning, at, stopped, parent_id,
           shown, on_path, deleted_at)
         select ?1, ?2, coalesce(max(position), 0) + 1, ?3, ?6, '', ?4, 0, ?5,
           0, 0, (select deleted_at from message where id = ?5)
         from message where conversation_id = ?2",
    )
    .bind(&message.id)
    .bind(&conversation.0)
    .bind(role_name(message.role))
    .bind(message.at)
    .bind(after)
    .bind(&message.text)
    .execute(&mut *tx)
    .await
    .map_err(doing("keeping a message"))?;
    fill(tx, message).await?;
    show(tx, &message.id).await?;
    touch(tx, message).await
}

/// Shows a message in its place. Where that place is shown itself, what follows comes with it.
async fn show(tx: &mut SqliteConnection, id: &str) -> Result<bool, StoreError> {
    const DOING: &str = "showing a version";
    let place: Option<(String, Option<String>)> = sqlx::query_as(
        "select conversation_id, parent_id from message where id = ?1 and deleted_at is null",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await
    .map_err(doing(DOING))?;
    let Some((conversation, parent)) = place else {
        return Ok(false);
    };
    sqlx::query(
        "update message set shown = (id = ?1) where parent_id is ?2 and conversation_id = ?3",
    )
    .bind(id)
    .bind(&parent)
    .bind(&conversation)
    .execute(&mut *tx)
    .await
    .map_err(doing(DOING))?;
    let after: Option<i64> = match &parent {
        None => Some(0),
        Some(parent) => {
            sqlx::query_scalar("select position from message where id = ?1 and on_path = 1")
                .bind(parent)
                .fetch_optional(&mut *tx)
                .await
                .map_err(doing(DOING))?
        }
    };
    let Some(after) = after else {
        return Ok(true);
    };
    sqlx::query(
        "update message set on_path = 0 where conversation_id = ?1 and position > ?2 and on_path = 1",
    )
    .bind(&conversation)
    .bind(after)
    .execute(&mut *tx)
    .await
    .map_err(doing(DOING))?;
    sqlx::query(
        "with recursive down (id) as (
           values (?1)
           union all
           select n.id from message as n join down on n.parent_id = down.id
           where n.shown = 1 and n.deleted_at is null
         )
         update message set on_path = 1 where id in (select id from down)",
    )
    .bind(id)
    .execute(&mut *tx)
    .await
    .map_err(doing(DOING))?;
    Ok(true)
}

fn role_name(role: Role) -> &'static str {
    match role {
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
    let calls = (!message.calls.is_empty())
        .then(|| serde_json::to_string(&message.calls))
        .transpose()
        .map_err(says("message", "calls", &message.id))?;
    let done = sqlx::query(
        "update message set role = ?2, text = ?3, reasoning = ?4, at = ?5, stats = ?6, stopped = ?7,
           calls = ?8
         where id = ?1",
    )
    .bind(&message.id)
    .bind(role_name(message.role))
    .bind(&message.text)
    .bind(&message.reasoning)
    .bind(message.at)
    .bind(stats)
    .bind(message.stopped)
    .bind(calls)
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
