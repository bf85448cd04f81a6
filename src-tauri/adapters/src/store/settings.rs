//! Settings and drafts: small JSON values by name.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Store, StoreError, doing, says};

impl Store {
    /// A setting, if it was ever made.
    pub async fn setting<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let text: Option<String> = sqlx::query_scalar("select value from setting where key = ?1")
            .bind(key)
            .fetch_optional(&self.readers)
            .await
            .map_err(doing("reading a setting"))?;
        text.map(|t| serde_json::from_str(&t).map_err(says("setting", "value", key)))
            .transpose()
    }

    /// Makes a setting.
    pub async fn put_setting<T: Serialize + Sync>(
        &self,
        key: &str,
        value: &T,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(value).map_err(says("setting", "value", key))?;
        sqlx::query(
            "insert into setting (key, value) values (?1, ?2)
             on conflict (key) do update set value = excluded.value",
        )
        .bind(key)
        .bind(text)
        .execute(&self.writer)
        .await
        .map_err(doing("keeping a setting"))?;
        Ok(())
    }

    /// A half-filled form, if one was left.
    pub async fn draft<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let text: Option<String> = sqlx::query_scalar("select value from draft where name = ?1")
            .bind(name)
            .fetch_optional(&self.readers)
            .await
            .map_err(doing("reading a draft"))?;
        text.map(|t| serde_json::from_str(&t).map_err(says("draft", "value", name)))
            .transpose()
    }

    /// Keeps a half-filled form. It must hold no secret.
    pub async fn put_draft<T: Serialize + Sync>(
        &self,
        name: &str,
        value: &T,
        at: i64,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(value).map_err(says("draft", "value", name))?;
        sqlx::query(
            "insert into draft (name, value, saved_at) values (?1, ?2, ?3)
             on conflict (name) do update set value = excluded.value, saved_at = excluded.saved_at",
        )
        .bind(name)
        .bind(text)
        .bind(at)
        .execute(&self.writer)
        .await
        .map_err(doing("keeping a draft"))?;
        Ok(())
    }

    /// Forgets a draft; `false` if there was none.
    pub async fn delete_draft(&self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("delete from draft where name = ?1")
            .bind(name)
            .execute(&self.writer)
            .await
            .map_err(doing("forgetting a draft"))?;
        Ok(done.rows_affected() == 1)
    }
}
