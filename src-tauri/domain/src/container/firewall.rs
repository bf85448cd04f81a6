//! The nftables table that lets nobody but the other machine reach what a container listens on.
//!
//! PyTorch's store, at which the ranks meet, listens on every interface and asks for no password
//! (<https://docs.vllm.ai/en/latest/usage/security.html>). The sockets of vLLM, Gloo and NCCL are bound to the
//! address of a rail, but Linux answers for each of its addresses on every interface. So the table drops, of
//! what comes in over any interface but loopback and the rails: what is sent to the address of a rail, and
//! what is sent to a port that a rank opens on every interface. What else the container listens on is only
//! known once it runs; [`own_cgroup`] drops that too.
//!
//! The table holds nothing else, so SSH and whatever a person runs are reached as before. The kernel keeps it
//! in memory alone: a restart of the machine ends it, and the containers with it, for they have no restart
//! policy.

use std::net::Ipv4Addr;

use sha2::{Digest, Sha256};

use crate::network::NetworkPlan;
use crate::problem::{Code, Problem};

/// The family and the name of the table.
pub const TABLE: [&str; 2] = ["inet", "tandem"];

/// What one machine lets through to its container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firewall {
    /// The machine's ends of the rails: interface and address.
    rails: Vec<(String, Ipv4Addr)>,
    /// TCP ports that the container opens on every interface.
    ports: Vec<u16>,
}

impl Firewall {
    /// Of one machine by its rank; without a plan for the link nothing but loopback is let through.
    pub fn new(link: Option<&NetworkPlan>, rank: usize, ports: &[u16]) -> Result<Self, Problem> {
        let rails = link.map_or(&[][..], |link| &link.rails);
        let ends = rails.iter().filter_map(|rail| rail.ends.get(rank));
        let rails = ends.map(|end| {
            let odd = |c: char| !(c.is_ascii_alphanumeric() || "_.:@-".contains(c));
            match end.address.parse() {
                Ok(address) if !end.interface.contains(odd) => Ok((end.interface.clone(), address)),
                _ => Err(Problem::new(
                    Code::NetworkPlan,
                    "No firewall rules can be written for the private link.",
                )
                .cause(format!(
                    "`{}` with the address `{}` cannot be named in them.",
                    end.interface, end.address
                ))
                .fix("Plan the private link again.")),
            }
        });
        Ok(Self {
            rails: rails.collect::<Result<_, _>>()?,
            ports: ports.to_vec(),
        })
    }

    /// What `nft -f -` reads. It replaces the whole table in one transaction, so it may be repeated.
    pub fn text(&self) -> String {
        let [family, name] = TABLE;
        let mut lines = vec![
            format!("add table {family} {name}"),
            format!("delete table {family} {name}"),
            format!("table {family} {name} {{"),
            format!("\tcomment \"{}\"", self.identity()),
            "\tchain input {".to_owned(),
            "\t\ttype filter hook input priority -10; policy accept;".to_owned(),
        ];
        lines.extend(self.rules().into_iter().map(|rule| format!("\t\t{rule}")));
        lines.extend(["\t}".to_owned(), "}".to_owned(), String::new()]);
        lines.join("\n")
    }

    fn rules(&self) -> Vec<String> {
        let list = |items: Vec<String>| items.join(", ");
        let own = self.rails.iter().map(|(name, _)| format!("\"{name}\""));
        let trusted = list(std::iter::once("\"lo\"".to_owned()).chain(own).collect());
        let mut rules = vec![format!("iifname {{ {trusted} }} accept")];
        if !self.rails.is_empty() {
            let addresses = self.rails.iter().map(|(_, address)| address.to_string());
            rules.push(format!("ip daddr {{ {} }} drop", list(addresses.collect())));
        }
        if !self.ports.is_empty() {
            let ports = self.ports.iter().map(u16::to_string);
            rules.push(format!("tcp dport {{ {} }} drop", list(ports.collect())));
        }
        rules
    }

    /// Tells one table from another; it stands in the table as a comment.
    fn identity(&self) -> String {
        let hash = Sha256::digest(self.rules().join("\n"));
        let digits = hash.iter().take(6).map(|b| format!("{b:02x}"));
        digits.collect()
    }

    /// Whether what `nft list table` printed is this table, with all of its rules.
    pub fn is(&self, listed: &str) -> bool {
        let drops = |text: &str| text.lines().filter(|l| l.trim().ends_with("drop")).count();
        listed.contains(&self.identity())
            && listed.contains("iifname")
            && drops(listed) >= drops(&self.text())
    }
}

/// What `nft -f -` reads to remove the table. It is no error if there is none.
pub fn removal() -> String {
    let [family, name] = TABLE;
    format!("add table {family} {name}\ndelete table {family} {name}\n")
}

/// Where the container of this id has its cgroup below `/sys/fs/cgroup`, with cgroups of version 2: as systemd
/// makes it for Docker, which is so on DGX OS, and as Docker makes it by itself.
pub fn cgroups(id: &str) -> [String; 2] {
    [
        format!("system.slice/docker-{id}.scope"),
        format!("docker/{id}"),
    ]
}

/// One more rule of the table: drops what is new and addressed to any socket of this cgroup, whatever its port.
/// It stands behind the one that lets loopback and the rails through. The kernel finds the cgroup when the rule
/// is added, so the container must run by then.
pub fn own_cgroup(cgroup: &str) -> String {
    let [family, name] = TABLE;
    let level = cgroup.split('/').count();
    format!(
        "add rule {family} {name} input socket cgroupv2 level {level} \"{cgroup}\" ct state new drop\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::samples;

    #[test]
    fn loopback_and_the_rails_are_let_through_and_nothing_else_to_what_the_container_opens() {
        let link = samples::link();
        let firewall = Firewall::new(Some(&link), 1, &[29501]).expect("sound");
        let text = firewall.text();
        let rules: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|l| l.ends_with("accept") || l.ends_with("drop"))
            .collect();
        assert_eq!(
            rules,
            [
                r#"iifname { "lo", "enp1s0f1np1", "enP2p1s0f1np1" } accept"#,
                "ip daddr { 192.168.100.11, 192.168.101.11 } drop",
                "tcp dport { 29501 } drop",
            ]
        );
        assert!(
            text.contains("policy accept;") && !text.contains("dport 22"),
            "whatever else is there is reached as before:\n{text}"
        );
        assert!(firewall.is(&text));
        assert!(!firewall.is(&text.replace("tcp dport { 29501 } drop", "")));
        let head = Firewall::new(Some(&link), 0, &[29501]).expect("sound");
        assert!(!head.is(&text), "the other machine's is another");
        assert!(!firewall.is(""));
    }

    #[test]
    fn alone_a_machine_lets_loopback_through() {
        let alone = Firewall::new(None, 0, &[]).expect("sound").text();
        assert!(alone.contains("iifname { \"lo\" } accept"), "{alone}");
        assert!(!alone.contains("daddr") && !alone.contains("dport"));
    }

    #[test]
    fn a_name_that_could_end_the_quotes_is_refused() {
        let mut link = samples::link();
        link.rails[0].ends[0].interface = "a\" accept".into();
        assert!(Firewall::new(Some(&link), 0, &[]).is_err());
        assert!(Firewall::new(Some(&link), 1, &[]).is_ok());
    }

    #[test]
    fn the_containers_own_cgroup_is_named_by_its_whole_path() {
        let [systemd, docker] = cgroups("0abc");
        assert_eq!(
            own_cgroup(&systemd),
            "add rule inet tandem input socket cgroupv2 level 2 \"system.slice/docker-0abc.scope\" ct state new drop\n"
        );
        assert!(own_cgroup(&docker).contains("level 2 \"docker/0abc\""));
    }
}
