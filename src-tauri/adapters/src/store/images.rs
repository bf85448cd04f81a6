//! Images that were sent to the model, held by id so that the window never carries megabytes.

use super::{Store, StoreError, doing};

/// An image as it is kept: bounded and re-encoded (see `image_resize::PreparedImage`).
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredImage {
    /// Its identity.
    pub id: String,
    /// `image/jpeg` or `image/png`.
    pub mime: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Store {
    /// Keeps an image.
    pub async fn put_image(&self, image: &StoredImage) -> Result<(), StoreError> {
        sqlx::query(
            "insert into image (id, mime, width, height, bytes) values (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(&image.id)
        .bind(&image.mime)
        .bind(image.width)
        .bind(image.height)
        .bind(&image.bytes)
        .execute(&self.writer)
        .await
        .map_err(doing("keeping an image"))?;
        Ok(())
    }

    /// Pixels across and down of an image.
    pub async fn image_size(&self, id: &str) -> Result<Option<(u32, u32)>, StoreError> {
        sqlx::query_as("select width, height from image where id = ?1")
            .bind(id)
            .fetch_optional(&self.readers)
            .await
            .map_err(doing("reading the size of an image"))
    }

    /// Looks an image up.
    pub async fn image(&self, id: &str) -> Result<Option<StoredImage>, StoreError> {
        sqlx::query_as("select id, mime, width, height, bytes from image where id = ?1")
            .bind(id)
            .fetch_optional(&self.readers)
            .await
            .map_err(doing("reading an image"))
    }
}
