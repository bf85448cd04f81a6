//! The program on a Spark: tells the machine's facts, brings a model, gives it its MTP layers and
//! checks it, with JSON lines on stdout. The conversation is [`tandem_domain::node`].
//!
//! Long work is written so that it can die at any byte: what is on the disk and proven good is noted
//! beside it, and the next start goes on from there.

pub mod bandwidth;
pub mod cache;
pub mod cache_place;
pub mod check;
pub mod context;
pub mod copy;
pub mod created_paths;
pub mod digest;
pub mod disk;
pub mod disk_view;
pub mod dispatch;
pub mod facts;
pub mod fetch;
pub mod fetched;
pub mod graft;
pub mod hub;
pub mod hub_error;
pub mod image;
pub mod job;
pub mod job_output;
pub mod own_file;
pub mod probe;
mod rail;
mod selected;
pub mod shared;
pub mod stop;
pub mod survey;
pub mod transfer;
pub mod undo;
pub mod verified;

/// What this program is, as `version` says it.
pub fn version() -> tandem_domain::node::NodeVersion {
    tandem_domain::node::NodeVersion {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: tandem_domain::node::PROTOCOL,
        arch: std::env::consts::ARCH.to_owned(),
    }
}

/// Few threads: the work waits for disks and lines, and every thread costs memory.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, tandem_domain::problem::Problem> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build()
        .map_err(|e| {
            tandem_domain::problem::Problem::new(
                tandem_domain::problem::Code::Broken,
                "The node program could not start its threads.",
            )
            .cause(e.to_string())
        })
}

/// Trips the token when the process is asked to end.
pub(crate) fn on_end_signal(
    cancel: tokio_util::sync::CancellationToken,
) -> Result<tokio::task::JoinHandle<()>, tandem_domain::problem::Problem> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|e| {
            tandem_domain::problem::Problem::new(
                tandem_domain::problem::Code::Broken,
                "The node program cannot listen for signals.",
            )
            .cause(e.to_string())
        })
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancel.cancel();
    }))
}
