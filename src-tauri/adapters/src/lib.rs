pub mod discover;
pub mod docker;
pub mod images;
pub mod inference;
pub mod secrets;
pub mod ssh;
pub mod store;
