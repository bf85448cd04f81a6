//! Conversations: the list, and what was deleted but can still be brought back.

use sqlx::SqliteConnection;
use tandem_domain::chat::{Controls, ConversationChange, ConversationSummary};
use tandem_domain::ids::ConversationId;

use super::{Store, StoreError, doing, says};

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

    /// All conversations that were not deleted, those in the archive too: the pinned first, then the latest changed.
    pub async fn conversations(&self) -> Result<Vec<ConversationSummary>, StoreError> {
        let rows: Vec<(String, String, i64, bool, bool)> = sqlx::query_as(
            "select id, title, updated_at, pinned, archived from conversation
             where deleted_at is null
             order by pinned desc, updated_at desc, id desc",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(doing("listing the conversations"))?;
        Ok(rows
            .into_iter()
            .map(
                |(id, title, updated_at, pinned, archived)| ConversationSummary {
                    id: id.into(),
                    title,
                    updated_at,
                    pinned,
                    archived,
                },
            )
            .collect())
    }

    /// Changes a conversation, which stays where it is in the list; `false` if there is none.
    pub async fn change_conversation(
        &self,
        id: &ConversationId,
        change: &ConversationChange,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "update conversation set title = coalesce(?2, title), pinned = coalesce(?3, pinned),
               archived = coalesce(?4, archived)
             where id = ?1",
        )
        .bind(&id.0)
        .bind(&change.title)
        .bind(change.pinned)
        .bind(change.archived)
        .execute(&self.writer)
        .await
        .map_err(doing("changing a conversation"))?;
        Ok(done.rows_affected() == 1)
    }

    /// How the model is asked to answer in a conversation; `None` where nobody set anything.
    pub async fn controls(&self, id: &ConversationId) -> Result<Option<Controls>, StoreError> {
        let kept: Option<Option<String>> =
            sqlx::query_scalar("select controls from conversation where id = ?1")
                .bind(&id.0)
                .fetch_optional(&self.readers)
                .await
                .map_err(doing("reading how a model is asked"))?;
        kept.flatten()
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(says("conversation", "controls", &id.0))
    }

    /// Keeps how the model is asked to answer in a conversation; `false` if there is none.
    pub async fn put_controls(
        &self,
        id: &ConversationId,
        controls: &Controls,
    ) -> Result<bool, StoreError> {
        let text =
            serde_json::to_string(controls).map_err(says("conversation", "controls", &id.0))?;
        let done = sqlx::query("update conversation set controls = ?2 where id = ?1")
            .bind(&id.0)
            .bind(text)
            .execute(&self.writer)
            .await
            .map_err(doing("keeping how a model is asked"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a conversation out of the list; `false` if there was none. It can be brought back until it is purged.
    pub async fn delete_conversation(
        &self,
        id: &ConversationId,
        at: i64,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "update conversation set deleted_at = ?2 where id = ?1 and deleted_at is null",
        )
        .bind(&id.0)
        .bind(at)
        .execute(&self.writer)
        .await
        .map_err(doing("removing a conversation"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Brings a deleted conversation back; `false` if it is gone for good.
    pub async fn restore_conversation(&self, id: &ConversationId) -> Result<bool, StoreError> {
        let done = sqlx::query("update conversation set deleted_at = null where id = ?1")
            .bind(&id.0)
            .execute(&self.writer)
            .await
            .map_err(doing("bringing a conversation back"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes for good what was deleted at that time or before, with the images that nothing else shows.
    pub async fn purge_deleted(&self, until: i64) -> Result<(), StoreError> {
        const DOING: &str = "removing what was deleted";
        let mut tx = self.write(DOING).await?;
        // Only images of what goes: one that was picked and not sent yet is in none.
        let images: Vec<String> = sqlx::query_scalar(
            "select distinct image_id from message_image join message on message.id = message_id
             join conversation on conversation.id = conversation_id
             where message.deleted_at <= ?1 or conversation.deleted_at <= ?1",
        )
        .bind(until)
        .fetch_all(&mut *tx)
        .await
        .map_err(doing(DOING))?;
        for removes in [
            "delete from draft where name in
               (select 'chat/' || id from conversation where deleted_at <= ?1)",
            "delete from message where deleted_at <= ?1",
            "delete from conversation where deleted_at <= ?1",
        ] {
            sqlx::query(removes)
                .bind(until)
                .execute(&mut *tx)
                .await
                .map_err(doing(DOING))?;
        }
        remove_unused(&mut tx, &images).await?;
        tx.commit().await.map_err(doing(DOING))
    }
}

/// Removes those of the images that no message and no draft shows.
async fn remove_unused(tx: &mut SqliteConnection, images: &[String]) -> Result<(), StoreError> {
    for image in images {
        sqlx::query(
            "delete from image where id = ?1
             and not exists (select 1 from message_image where image_id = ?1)
             and not exists (select 1 from draft where name like 'chat/%' and instr(value, ?1) > 0)",
        )
        .bind(image)
        .execute(&mut *tx)
        .await
        .map_err(doing("removing images that nothing shows"))?;
    }
    Ok(())
}
