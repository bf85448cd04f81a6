//! Recipes that a person keeps.

use tandem_domain::recipe::RecipeId;
use tandem_domain::recipe::kept::KeptRecipe;

use super::{Store, StoreError, doing, says};

impl Store {
    /// Those that are not deleted, in the order in which they were added.
    pub async fn kept_recipes(&self) -> Result<Vec<KeptRecipe>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select id, body from kept_recipe where deleted_at is null order by added_at, id",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(doing("reading the kept recipes"))?;
        rows.into_iter().map(read).collect()
    }

    /// One that is not deleted.
    pub async fn kept_recipe(&self, id: &RecipeId) -> Result<Option<KeptRecipe>, StoreError> {
        let row: Option<(String, String)> =
            sqlx::query_as("select id, body from kept_recipe where id = ?1 and deleted_at is null")
                .bind(&id.0)
                .fetch_optional(&self.readers)
                .await
                .map_err(doing("reading a kept recipe"))?;
        row.map(read).transpose()
    }

    /// The names that are in use, those of deleted ones too: they may be brought back.
    pub async fn kept_recipe_names(&self) -> Result<Vec<RecipeId>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar("select id from kept_recipe")
            .fetch_all(&self.readers)
            .await
            .map_err(doing("reading the names of the kept recipes"))?;
        Ok(names.into_iter().map(RecipeId).collect())
    }

    /// Keeps one, in the place of the one of its name.
    pub async fn keep_recipe(&self, kept: &KeptRecipe) -> Result<(), StoreError> {
        let id = &kept.recipe.id.0;
        let body = serde_json::to_string(kept).map_err(says("kept_recipe", "body", id))?;
        sqlx::query(
            "insert into kept_recipe (id, body, added_at) values (?1, ?2, ?3)
             on conflict (id) do update set body = excluded.body, deleted_at = null",
        )
        .bind(id)
        .bind(body)
        .bind(kept.added_at)
        .execute(&self.writer)
        .await
        .map_err(doing("keeping a recipe"))?;
        Ok(())
    }

    /// Takes one out of the list; `false` if there was none. It can be brought back until it is purged.
    pub async fn delete_kept_recipe(&self, id: &RecipeId, at: i64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "update kept_recipe set deleted_at = ?2 where id = ?1 and deleted_at is null",
        )
        .bind(&id.0)
        .bind(at)
        .execute(&self.writer)
        .await
        .map_err(doing("removing a recipe"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Brings a deleted one back; `false` if it is gone for good.
    pub async fn restore_kept_recipe(&self, id: &RecipeId) -> Result<bool, StoreError> {
        let done = sqlx::query("update kept_recipe set deleted_at = null where id = ?1")
            .bind(&id.0)
            .execute(&self.writer)
            .await
            .map_err(doing("bringing a recipe back"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes for good what was deleted at that time or before.
    pub async fn purge_kept_recipes(&self, until: i64) -> Result<(), StoreError> {
        sqlx::query("delete from kept_recipe where deleted_at <= ?1")
            .bind(until)
            .execute(&self.writer)
            .await
            .map_err(doing("removing deleted recipes"))?;
        Ok(())
    }
}

fn read((id, body): (String, String)) -> Result<KeptRecipe, StoreError> {
    serde_json::from_str(&body).map_err(says("kept_recipe", "body", &id))
}
