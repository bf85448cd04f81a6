//! The two machines, by name: where each one's files, namespace and addresses are.

use std::path::PathBuf;

use crate::host::{cache, pair, state};

/// One of the two machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spark {
    /// `spark-a`.
    A,
    /// `spark-b`.
    B,
}

impl Spark {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Its host name.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "spark-a",
            Self::B => "spark-b",
        }
    }

    /// Its address on the management network.
    pub fn address(self) -> &'static str {
        match self {
            Self::A => "10.77.0.11",
            Self::B => "10.77.0.12",
        }
    }

    pub(crate) fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }

    /// The name of its network namespace, as `ip netns` shows it.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::A => "tandem-spark-a",
            Self::B => "tandem-spark-b",
        }
    }

    /// A Spark's addresses count up from the one of its management interface.
    pub(crate) fn mac(self, number: u8) -> String {
        match self {
            Self::A => format!("4c:bb:47:2f:fb:{:02x}", 0x97 + number),
            Self::B => format!("4c:bb:47:30:08:{:02x}", 0x40 + number),
        }
    }

    /// Its disk: layers, Docker's folder, the image of /home, and its identity.
    pub(crate) fn disk(self) -> PathBuf {
        cache().join(format!("run{}", pair())).join(self.name())
    }

    /// Its control group on the box.
    pub(crate) fn group(self) -> String {
        format!("{}{}", self.namespace(), pair())
    }

    pub(crate) fn files(self) -> PathBuf {
        state().join(self.name())
    }

    /// What it printed while it booted, for a person to read when it did not.
    pub(crate) fn log(self) -> PathBuf {
        self.files().join("console.log")
    }
}
