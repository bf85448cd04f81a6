//! One life of the app without its window: goes on with a run, and dies after the first new write.
//!
//! `one-life BED go|undo` exits with 0 when the run has ended; otherwise SIGKILL ends it.

use std::sync::Arc;

use tandem_tests::bed::{Bed, DeadlyJournal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().expect("the bed's file");
    let bed: Bed =
        serde_json::from_slice(&std::fs::read(path).expect("the bed is read")).expect("a bed");
    let journal = Arc::new(DeadlyJournal::new(bed.store().await, &bed.events().await));
    let driver = bed.driver(journal, CancellationToken::new()).await;
    let outcome = match args.next().as_deref() {
        Some("undo") => driver.undo().await,
        _ => driver.go().await,
    };
    println!("{outcome:?}");
}
