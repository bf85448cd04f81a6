//! Having a machine serve on its ends of the private link.

use std::time::Duration;

use crate::network::NetworkPlan;
use crate::node::{PROGRAM, Refused, Serving};
use crate::ports::{Command, MachineServices};
use crate::problem::{Code, Problem, Retry};
use crate::run::StepError;
use crate::step::job::JobError;
use crate::step::services::StepContext;

/// Streams on each rail; one alone does not fill it.
pub(crate) const STREAMS: u16 = 4;
/// The first pause before a copy is begun again. The later ones are longer.
const PAUSE: Duration = Duration::from_secs(2);

/// The words after the program's name, up to what is served.
pub(crate) fn words(network: Option<&NetworkPlan>, from: usize) -> Vec<String> {
    let mut words = vec!["copy".to_owned(), "serve".to_owned()];
    let rails = network.into_iter().flat_map(|n| &n.rails);
    for end in rails.filter_map(|r| r.ends.get(from)) {
        words.extend(["--listen".to_owned(), end.address.clone()]);
    }
    words
}

/// The same as it is shown to a person.
pub(crate) fn shown(words: &[String]) -> String {
    format!(
        "tandem-node {}   # on these addresses only, for one other machine with a key made for this copy; it ends by itself",
        crate::shell::as_words(words)
    )
}

/// Has a machine serve with these words. It ends by itself.
pub(crate) async fn serve(
    source: &MachineServices,
    words: Vec<String>,
) -> Result<Serving, JobError> {
    let output = source.shell.exec(&Command::new(PROGRAM, words)).await;
    let output = output.map_err(|e| JobError::machine(e, source))?;
    let text = output.text();
    let line = text.lines().next_back().unwrap_or_default();
    serde_json::from_str(line).map_err(|_| {
        let refused = serde_json::from_str::<Refused>(line).map(|r| r.problem);
        let problem = refused.unwrap_or_else(|_| {
            Problem::new(
                Code::LinkFails,
                "Nothing can be copied from this machine over the private link.",
            )
            .cause(format!(
                "The node program ended with {}: {}.",
                output.status,
                output.error_text()
            ))
            .retry(Retry::Now)
        });
        JobError::refused(problem, source)
    })
}

/// Says that a copy to a machine broke off and why, and waits before it goes on; a cancel ends the wait.
pub(crate) async fn rest(
    cx: &StepContext,
    to: &MachineServices,
    tries: u32,
    why: &str,
) -> Result<(), StepError> {
    let line = format!("The copy broke off and goes on from what is there. {why}");
    cx.log(Some(&to.name), line);
    let pause = cx.clock.wait(PAUSE * tries);
    cx.unless_cancelled(async {
        pause.await;
        Ok(())
    })
    .await
}
