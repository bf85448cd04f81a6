//! `ib_write_bw` of a simulated machine: what it would print, marked as a stand-in's words.

use std::path::Path;

use tandem_domain::network::verdict::perftest::STAND_IN;

use super::links::{CommandResult, Links};

/// What a rail carries while both are used.
const HEALTHY: f64 = 98.04;

/// Runs the tool with these arguments. `peer` is the machine at the other end, and `folder` may hold
/// `bandwidth`, a file with the Gb/s of a rail in another state.
pub(crate) fn run(args: &[&str], here: &Links, peer: &Links, folder: &Path) -> CommandResult {
    let fails = |words: String| (1, String::new(), words + "\n");
    let after = |flag: &str| {
        let at = args.iter().position(|a| *a == flag);
        at.and_then(|i| args.get(i + 1)).copied()
    };
    if args.contains(&"--version") {
        return (0, format!("Version: {STAND_IN}\n"), String::new());
    }
    let device = after("-d").unwrap_or_default();
    let Some(link) = here
        .read()
        .into_iter()
        .find(|l| l.rdma.as_deref() == Some(device))
    else {
        return fails(format!(" IB device {device} not found"));
    };
    if !link.up {
        return fails(" Port number 1 state is Down".into());
    }
    let own = after("--bind_source_ip").unwrap_or_default();
    if !link
        .addresses
        .iter()
        .any(|a| a.split('/').next() == Some(own))
    {
        return fails(format!("Couldn't bind to {own}"));
    }
    // The end that sends names the other one last.
    let target = args.last().filter(|a| **a != own).copied();
    if let Some(target) = target
        && !here.reaches(peer, Some(&link.name), target, 56)
    {
        return fails(format!("Couldn't connect to {target}"));
    }
    let kept = std::fs::read_to_string(folder.join("bandwidth")).unwrap_or_default();
    let gbps: f64 = kept.trim().parse().unwrap_or(HEALTHY);
    let mtu = if link.mtu >= 4200 { 4096 } else { 1024 };
    let text = format!(
        "ib_write_bw: a {STAND_IN}, nothing crossed a cable\n RDMA_Write BW Test\n Device : {device}\n Mtu : {mtu}[B]\n #bytes     #iterations    BW peak[Gb/sec]    BW average[Gb/sec]   MsgRate[Mpps]\n 65536      900000           0.00               {gbps:.2}              0.180000\n"
    );
    (0, text, String::new())
}

#[cfg(test)]
mod tests {
    use super::super::links::pair;
    use super::run;
    use tandem_domain::network::verdict::perftest::{complaint, parse};

    #[test]
    fn it_answers_only_over_a_link_that_is_addressed_and_says_what_it_is() {
        let dir = tempfile::tempdir().expect("folder");
        let machines = pair(dir.path());
        let send = |device: &str| {
            let args = [
                "-d",
                device,
                "-D",
                "5",
                "--bind_source_ip",
                "192.168.100.10",
                "192.168.100.11",
            ];
            run(&args, &machines[0], &machines[1], dir.path())
        };
        assert_eq!(send("rocep1s0f1").0, 1, "it has no address yet");
        for (i, links) in machines.iter().enumerate() {
            let address = format!("192.168.100.{}/24", 10 + i);
            assert_eq!(
                links.ip(&["addr", "add", &address, "dev", "enp1s0f1np1"]).0,
                0
            );
        }
        let read = parse(&send("rocep1s0f1").1).expect("a row");
        assert!(read.simulated);
        assert_eq!((read.gbps, read.mtu), (98.04, Some(1024)));
        std::fs::write(dir.path().join("bandwidth"), "13.22\n").expect("written");
        assert_eq!(parse(&send("rocep1s0f1").1).map(|p| p.gbps), Some(13.22));
        let missing = send("mlx5_0");
        assert_eq!(
            complaint(&missing.1, &missing.2),
            "IB device mlx5_0 not found"
        );
        assert_eq!(machines[1].ip(&["link", "set", "enp1s0f1np1", "down"]).0, 0);
        assert_eq!(send("rocep1s0f1").0, 1, "the other end is down");
    }
}
