//! Whether the cable is still as it was measured: since then no machine was started again and no port of
//! the link lost its carrier. That is asked of the machines, for no clock can tell.

use crate::network::NetworkPlan;
use crate::ports::{Command, MachineServices};
use crate::step::restart::BOOT_ID;

/// What changes when a machine is started again or a plug is drawn, for each machine. Empty where one of
/// them does not say it; nothing is known to be the same then.
pub(super) async fn mark(machines: &[MachineServices], plan: &NetworkPlan) -> Vec<String> {
    let each = machines.iter().enumerate().map(|(at, machine)| async move {
        let ends = plan.rails.iter().filter_map(move |rail| rail.ends.get(at));
        let counts = ends.map(|end| format!("/sys/class/net/{}/carrier_changes", end.interface));
        let paths: Vec<String> = [BOOT_ID.to_owned()].into_iter().chain(counts).collect();
        let lines = paths.len();
        let said = machine.shell.exec(&Command::new("cat", paths)).await;
        let text = said.ok().filter(|o| o.ok())?.text();
        (text.lines().count() == lines).then_some(text)
    });
    let all = futures::future::join_all(each).await;
    all.into_iter()
        .collect::<Option<Vec<_>>>()
        .unwrap_or_default()
}
