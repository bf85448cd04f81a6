//! What the two containers of the image print while they all-reduce, and what that means beside the
//! measurement of the wire.
//!
//! A good one over a 200G cable carries 175 to 200 Gb/s of bus bandwidth at 1 GiB: NVIDIA's own set-up
//! passes a pair from 175, and pairs measured so reached 185 to 187 over one cable and 196 over two.
//! Without `/dev/infiniband` in the containers the same pair falls to 16, and no error tells.

use serde::{Deserialize, Serialize};

use super::perftest::STAND_IN;
use super::{LinkState, Measured, Method, Verdict, collective};

/// What carried the collective out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// NCCL, between GPUs, as the model server does it.
    Nccl,
    /// Gloo, between processors, where PyTorch sees no GPU. Nothing is known of what it should reach.
    Gloo,
}

/// One size of message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Reduced {
    /// Bytes.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub size: u64,
    /// How often it was reduced.
    pub count: u32,
    /// Seconds for one.
    pub seconds: f64,
    /// Size over time, Gb/s, 10^9 bits.
    pub algorithm_gbps: f64,
    /// What crossed each machine's link, Gb/s: 2(n-1)/n of it for n machines.
    pub bus_gbps: f64,
    /// Elements with another sum than they should have.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub wrong: u64,
}

/// An all-reduce between two containers of the image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct AllReduce {
    /// What carried it out.
    pub backend: Backend,
    /// Version of PyTorch.
    pub torch: String,
    /// Whether NCCL used RDMA, by its own words on both machines; `None` where it does not say.
    pub rdma: Option<bool>,
    /// The RDMA devices it used on the head, by its own words.
    pub devices: Vec<String>,
    /// The sizes, smallest first.
    pub sizes: Vec<Reduced>,
    /// Whether a stand-in for PyTorch answered.
    pub stand_in: bool,
}

/// How far one container came, by what it printed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AllReduceLog {
    /// The backend and PyTorch's version, once it was loaded.
    pub started: Option<(Backend, String)>,
    /// Whether it met the other rank.
    pub met: bool,
    /// What it measured.
    pub sizes: Vec<Reduced>,
    /// Whether it came to its end.
    pub done: bool,
}

/// A line of the program's.
#[derive(Debug, Deserialize)]
#[serde(tag = "all-reduce", rename_all = "kebab-case")]
enum Line {
    Started { backend: Backend, torch: String },
    Met,
    Measured(Reduced),
    Done,
}

impl AllReduceLog {
    /// Reads a container's log. Other lines in it are others' words.
    pub fn of<'l>(log: impl IntoIterator<Item = &'l str>) -> Self {
        let mut so_far = Self::default();
        for line in log {
            so_far.push(line);
        }
        so_far
    }

    /// Takes one line more; says whether it was the program's.
    pub fn push(&mut self, line: &str) -> bool {
        // NCCL writes to the same stream and may leave the front of a line to its own words.
        let Some(at) = line.find(r#"{"all-reduce""#) else {
            return false;
        };
        let mut read = serde_json::Deserializer::from_str(&line[at..]).into_iter();
        let Some(Ok(line)) = read.next() else {
            return false;
        };
        match line {
            Line::Started { backend, torch } => self.started = Some((backend, torch)),
            Line::Met => self.met = true,
            Line::Measured(size) => self.sizes.push(size),
            Line::Done => self.done = true,
        }
        true
    }
}

impl AllReduce {
    /// What the containers' logs say together, the head's first; `None` where they did not come to an end.
    pub fn of(logs: &[Vec<String>]) -> Option<Self> {
        let lines = |log: &'_ Vec<String>| AllReduceLog::of(log.iter().map(String::as_str));
        let read: Vec<AllReduceLog> = logs.iter().map(lines).collect();
        if read.iter().any(|r| !r.done) {
            return None;
        }
        let head = read.into_iter().next()?;
        let (backend, torch) = head.started?;
        let network: Vec<_> = logs.iter().map(|l| used_rdma(l)).collect();
        let rdma = if network.contains(&Some(false)) {
            Some(false)
        } else {
            network.iter().all(|n| *n == Some(true)).then_some(true)
        };
        Some(Self {
            backend,
            stand_in: torch == STAND_IN,
            torch,
            rdma,
            devices: logs.first().map(|l| devices(l)).unwrap_or_default(),
            sizes: head.sizes,
        })
    }

    /// Gb/s of bus bandwidth at the largest message. Smaller messages wait more than they carry.
    pub fn gbps(&self) -> Option<f64> {
        let largest = self.sizes.iter().max_by_key(|s| s.size)?;
        Some(largest.bus_gbps)
    }

    /// Elements of any size with another sum than they should have.
    pub fn wrong(&self) -> u64 {
        self.sizes.iter().map(|s| s.wrong).sum()
    }

    /// As one measurement of the link.
    pub fn measured(&self) -> Option<Measured> {
        Some(Measured {
            method: Method::AllReduce,
            rail: None,
            from: None,
            gbps: self.gbps()?,
        })
    }

    /// What the data went over, in words: `NCCL used RDMA over rocep1s0f1 and roceP2p1s0f1`.
    pub fn transport(&self) -> String {
        match (self.backend, self.rdma) {
            (Backend::Gloo, _) => "Gloo used TCP between processors".into(),
            (Backend::Nccl, Some(false)) => "NCCL used TCP sockets".into(),
            (Backend::Nccl, None) => "NCCL did not say what it used".into(),
            (Backend::Nccl, Some(true)) if self.devices.is_empty() => "NCCL used RDMA".into(),
            (Backend::Nccl, Some(true)) => {
                format!("NCCL used RDMA over {}", self.devices.join(" and "))
            }
        }
    }
}

/// What the link is worth by the wire and the all-reduce over it; `None` where nothing tells.
///
/// Between processors nobody knows what to expect, so that such an all-reduce counts for nothing here.
pub fn judge(wire: &[Measured], all_reduce: &AllReduce) -> Option<Verdict> {
    let on_wire = super::judge(wire, None);
    if all_reduce.backend == Backend::Gloo {
        return on_wire;
    }
    let mut all = wire.to_vec();
    all.extend(all_reduce.measured());
    let mut verdict = super::judge(&all, all_reduce.rdma)?;
    let wire = on_wire.filter(|w| w.state == LinkState::Good);
    if let (Method::AllReduce, Some(wire)) = (verdict.method, wire) {
        // The cable is not to blame, which the words for a link alone cannot know.
        let alone = format!("The link alone carries {:.0} Gb/s", wire.gbps);
        match verdict.state {
            LinkState::HotPlug => {
                verdict.says = format!(
                    "{alone}, but an all-reduce over it crawls, as was seen after much plugging or changing of addresses."
                );
            }
            LinkState::Slow => {
                verdict.says = format!(
                    "{alone}, but an all-reduce over it is slower than it should be, for no reason that Tandem knows."
                );
                verdict.cure = "Stop what else uses the GPUs or the link, restart both machines with the cable in, then resume.".into();
            }
            LinkState::Good
            | LinkState::OneRail
            | LinkState::Cable100G
            | LinkState::SocketFallback => {}
        }
    }
    Some(verdict)
}

fn used_rdma(log: &[String]) -> Option<bool> {
    log.iter().find_map(|line| collective::used_rdma(line))
}

/// The devices in NCCL's line `NET/IB : Using [0]rocep1s0f1:1/RoCE [1]roceP2p1s0f1:1/RoCE [RO]; OOB …`.
fn devices(log: &[String]) -> Vec<String> {
    let used = log.iter().find_map(|l| l.split_once("NET/IB : Using "));
    let words = used.map_or("", |(_, rest)| rest).split_whitespace();
    let device = |word: &str| {
        let (name, _) = word
            .split_once(':')
            .filter(|(_, kind)| kind.contains('/'))?;
        let name = name.rsplit([']', '{', '=', '+']).next()?;
        Some(name.to_owned())
    };
    words.filter_map(device).collect()
}

#[cfg(test)]
#[path = "all_reduce_tests.rs"]
mod tests;
