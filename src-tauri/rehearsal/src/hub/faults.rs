//! Faults on request: what a network, a CDN or the Hub itself may do to a download.

use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// Which part of the Hub misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Listings.
    Api,
    /// `/resolve/` and what it redirects to on the same host.
    Resolve,
    /// The CDN.
    Cdn,
    /// The front of the storage that has files in chunks.
    Front,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum FaultKind {
    /// The connection ends after this many bytes of a body.
    DropAfter {
        /// Bytes that still arrive.
        bytes: u64,
    },
    /// A range is answered with the whole file and 200.
    IgnoreRange,
    /// One bit of the first byte sent is turned.
    WrongBytes,
    /// One bit of the byte with this number in a body is turned.
    WrongByte {
        /// Counted from the first one sent.
        at: u64,
    },
    /// The body is shorter by this many bytes, and its announced length too.
    ShortBody {
        /// Bytes missing.
        missing: u64,
    },
    /// This status instead of an answer, e.g. 503 or 429.
    Status {
        /// The status.
        status: u16,
        /// Seconds to be told in `Retry-After`.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// A page of another server comes with 200 instead of the answer, as a network's login does it.
    LoginPage,
    /// Nothing more comes after this many bytes of a body, and the connection stays.
    Stall {
        /// Bytes that still arrive.
        bytes: u64,
    },
    /// A large file is another one: its name and hash are those of other content.
    OtherContent,
    /// Large files are named by the hash of the Hub's other way of storage too, as real ones mostly are.
    XetNames,
    /// Signed URLs are expired when they are handed out.
    ExpiredUrls,
    /// Signed URLs are good for this long only.
    SignedFor {
        /// Seconds; the storage counts them by whole ones.
        seconds: u64,
    },
    /// 429 of a Hub whose clock is another one: it tells until when to wait as a date, which is right by the
    /// answer's own `Date` and by no other clock.
    BusyByDate {
        /// Seconds between the two dates, less than 50.
        seconds: u32,
    },
    /// Bodies come no faster than this.
    Slow {
        /// Bytes per second and connection.
        bytes_per_second: u64,
    },
    /// Tokens other than these are answered as invalid; without a token all goes on.
    KnownTokens {
        /// Tokens that are good.
        tokens: Vec<String>,
    },
    /// The repository is private: these tokens only, and it hides from everybody else.
    RequireToken {
        /// Tokens that are good.
        tokens: Vec<String>,
    },
    /// The repository asks for its licence to be accepted.
    Gated {
        /// Tokens of people who did.
        granted: Vec<String>,
        /// Tokens of people who did not.
        #[serde(default)]
        others: Vec<String>,
    },
    /// There is no such repository.
    MissingRepo,
    /// Answers carry this header instead of their own.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// The list of files is this text instead.
    Listing {
        /// The whole answer.
        text: String,
    },
    /// The list of files has no end.
    EndlessListing {
        /// How it begins.
        first: String,
        /// What comes again and again after that.
        piece: String,
    },
}

/// A fault, where it strikes and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// Only where `owner/name/file` contains this; everywhere without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only on this side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// How often it still strikes; for ever without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

impl Fault {
    /// A fault everywhere and for ever.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            path: None,
            side: None,
            times: None,
        }
    }

    /// Only where the path contains this.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Only on this side.
    #[must_use]
    pub fn on(mut self, side: Side) -> Self {
        self.side = Some(side);
        self
    }

    /// Only this often.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub struct Faults {
    list: Mutex<Vec<Fault>>,
}

impl Faults {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.list
            .lock()
            .expect("no thread panics while it holds the faults")
    }

    /// Adds one.
    pub fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Removes all.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Those in force.
    pub fn list(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// Takes one strike of the first fault that fits and that `pick` accepts.
    pub(crate) fn strike<T>(
        &self,
        side: Side,
        path: &str,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<T> {
        let mut list = self.lock();
        for i in 0..list.len() {
            let fits = list[i].side.is_none_or(|s| s == side)
                && list[i]
                    .path
                    .as_ref()
                    .is_none_or(|p| path.contains(p.as_str()));
            let Some(found) = fits.then(|| pick(&list[i].kind)).flatten() else {
                continue;
            };
            match &mut list[i].times {
                Some(0) => continue,
                Some(1) => drop(list.remove(i)),
                Some(n) => *n -= 1,
                None => {}
            }
            return Some(found);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultKind, Faults, Side};

    #[test]
    fn a_fault_strikes_where_and_as_often_as_it_was_told() {
        let faults = Faults::default();
        faults.add(
            Fault::new(FaultKind::IgnoreRange)
                .at("x.safetensors")
                .on(Side::Cdn)
                .times(2),
        );
        let strike = |side, path: &str| {
            faults.strike(side, path, |k| (*k == FaultKind::IgnoreRange).then_some(()))
        };
        assert!(
            strike(Side::Api, "o/n/x.safetensors").is_none(),
            "another side"
        );
        assert!(
            strike(Side::Cdn, "o/n/config.json").is_none(),
            "another file"
        );
        assert!(strike(Side::Cdn, "o/n/x.safetensors").is_some());
        assert!(strike(Side::Cdn, "o/n/x.safetensors").is_some());
        assert!(
            strike(Side::Cdn, "o/n/x.safetensors").is_none(),
            "twice is enough"
        );
    }

    #[test]
    fn faults_are_spelt_in_kebab_case() {
        let fault: Fault = serde_json::from_str(
            r#"{"fault":"status","status":429,"retry_after":1,"side":"cdn","times":3}"#,
        )
        .expect("a fault");
        assert_eq!(
            fault,
            Fault::new(FaultKind::Status {
                status: 429,
                retry_after: Some(1)
            })
            .on(Side::Cdn)
            .times(3)
        );
    }
}
