//! Gives memory back before a server starts.
//!
//! Processor and GPU of a Spark share one memory. What was just fetched, copied or hashed fills it as page
//! cache, and a server that starts counts that as used, although the kernel would give it back on demand.

use crate::machine::Facts;
use crate::node::PROGRAM;
use crate::node::disk::{UncacheRequest, Uncached};
use crate::ports::{Command, MachineServices};
use crate::problem::bytes;
use crate::run::StepError;
use crate::step::machines::failed_on;
use crate::step::services::StepContext;

/// The act as the plan shows it. It needs no root.
pub(crate) const SHOWN: &str = "tandem-node uncache    (the model's files, out of the page cache)";

/// Lets go of the model's files. Where that does not succeed the launch goes on: it says by itself if
/// memory is short.
pub(crate) async fn let_go(
    cx: &StepContext,
    machine: &MachineServices,
    facts: &Facts,
) -> Result<(), StepError> {
    let home = facts.hf_home.trim_end_matches('/');
    let request = UncacheRequest {
        paths: vec![facts.hub(), format!("{home}/tandem")],
    };
    let stdin = serde_json::to_vec(&request).expect("a request is plain data");
    let command = Command::new(PROGRAM, ["uncache"]).stdin(stdin);
    let output = machine.shell.exec(&command).await;
    let output = output.map_err(failed_on(machine))?;
    let said = match serde_json::from_slice::<Uncached>(&output.stdout) {
        Ok(done) => format!(
            "Memory that held files before the launch: {}, and {} after {} files of the model were let go of.",
            bytes(done.before),
            bytes(done.after),
            done.files
        ),
        Err(_) => format!(
            "The model's files stay in the page cache: {}.",
            output.error_text()
        ),
    };
    cx.log(Some(&machine.name), said);
    Ok(())
}
