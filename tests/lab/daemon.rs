//! Programs of the box that serve the machines: started, noted by their id, and ended by it.

use std::time::Duration;

use crate::error::{Context as _, LabError};
use crate::host::{state, until};
use crate::process::end_process;

/// Starts a program in a session of its own and waits until it listens. Its output is in `NAME.log`.
pub(crate) async fn start(name: &str, argv: &[&str], listens: &str) -> Result<(), LabError> {
    let what = || format!("the {name} did not start");
    let log = std::fs::File::create(state().join(format!("{name}.log"))).context(what)?;
    let errors = log.try_clone().context(what)?;
    let mut child = tokio::process::Command::new("setsid")
        .args(argv)
        .current_dir("/")
        .stdin(std::process::Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .context(what)?;
    // The program's own path marks the process as ours.
    let note = format!("{}\n{}", child.id().unwrap_or_default(), argv[0]);
    std::fs::write(state().join(format!("{name}.pid")), note).context(what)?;
    let answer = until(
        &format!("the {name} to listen on {listens}"),
        Duration::from_secs(60),
        || {
            let ended = matches!(child.try_wait(), Ok(Some(_)));
            async move {
                match tokio::net::TcpStream::connect(listens).await {
                    Ok(_) => Some(true),
                    Err(_) => ended.then_some(false),
                }
            }
        },
    )
    .await?;
    if answer {
        return Ok(());
    }
    let said = std::fs::read_to_string(state().join(format!("{name}.log"))).unwrap_or_default();
    Err(LabError::new(what(), said))
}

/// Ends it, if it runs.
pub(crate) fn stop(name: &str) {
    let note = std::fs::read_to_string(state().join(format!("{name}.pid"))).unwrap_or_default();
    if let Some((pid, program)) = note.split_once('\n') {
        end_process(pid, program);
    }
}
