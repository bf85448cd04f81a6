//! What a machine looks like, for comparing before and after.
//!
//! It holds with hashes all files below /etc, /home, /root, /usr/local and /opt, the containers, images and
//! volumes of Docker, addresses, sizes and routes of every link, NetworkManager's profiles where it runs,
//! the enabled units and the users that linger. Left out are the things that change by themselves;
//! `machine/snapshot.py` has the list.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Context as _, LabError};
use crate::process::exec;
use crate::spark::Spark;

/// See [`crate::Lab::snapshot`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    state: BTreeMap<String, String>,
    written: BTreeMap<String, i64>,
}

impl Snapshot {
    pub(crate) async fn take(spark: Spark) -> Result<Self, LabError> {
        let said = exec(
            spark,
            &["python3", "-"],
            include_bytes!("machine/snapshot.py"),
        )
        .await?;
        if !said.ok() {
            return Err(LabError::new(
                format!("{} could not be looked at", spark.name()),
                said.stderr,
            ));
        }
        serde_json::from_str(&said.stdout).context(|| "a snapshot is not as expected".to_owned())
    }

    /// What is different now, one line each: `+` for new, `-` for gone, `~` for changed. Empty means that
    /// the machine is as it was.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let mut list = Vec::new();
        for (name, before) in &self.state {
            match now.state.get(name) {
                None => list.push(format!("- {name} ({before})")),
                Some(after) if after != before => {
                    list.push(format!("~ {name} ({before} became {after})"));
                }
                Some(_) => {}
            }
        }
        for (name, after) in &now.state {
            if !self.state.contains_key(name) {
                list.push(format!("+ {name} ({after})"));
            }
        }
        list
    }

    /// Also the files that were written again with the same content, and folders whose list of names was
    /// touched. Empty means that nothing on the disk was touched at all.
    pub fn touched(&self, now: &Self) -> Vec<String> {
        let mut list = self.changes(now);
        for (name, before) in &self.written {
            if now.written.get(name).is_some_and(|after| after != before) {
                list.push(format!("~ {name} (written again)"));
            }
        }
        list
    }

    /// What is known of one thing, e.g. `/etc/hostname`, `link enP7s7` or `docker images`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.state.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(entries: &[(&str, &str, i64)]) -> Snapshot {
        Snapshot {
            state: entries
                .iter()
                .map(|(n, s, _)| ((*n).to_owned(), (*s).to_owned()))
                .collect(),
            written: entries
                .iter()
                .map(|(n, _, w)| ((*n).to_owned(), *w))
                .collect(),
        }
    }

    #[test]
    fn new_gone_and_changed_things_are_told_apart() {
        let before = snapshot(&[("/a", "1", 1), ("/b", "1", 1), ("/c", "1", 1)]);
        let after = snapshot(&[("/b", "2", 1), ("/c", "1", 1), ("/d", "1", 1)]);
        assert_eq!(
            before.changes(&after),
            ["- /a (1)", "~ /b (1 became 2)", "+ /d (1)"]
        );
        assert!(before.changes(&before).is_empty());
    }

    #[test]
    fn writing_the_same_again_is_a_touch_but_no_change() {
        let before = snapshot(&[("/a", "1", 1)]);
        let after = snapshot(&[("/a", "1", 2)]);
        assert!(before.changes(&after).is_empty());
        assert_eq!(before.touched(&after), ["~ /a (written again)"]);
    }
}
