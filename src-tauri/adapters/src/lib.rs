//! How it is done for real: SSH, Docker, the model's API, the database, the keyring.

pub mod data_folder;
pub mod discover;
pub mod docker;
pub mod image_resize;
pub mod inference;
pub mod recipe_fetch;
pub mod recipe_files;
pub mod registry;
pub mod secrets;
pub mod ssh;
pub mod store;
pub mod this_computer;
mod vault;
