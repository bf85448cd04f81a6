//! What a container sees of the machine's Hugging Face cache.

use crate::container::Mount;
use crate::machine::Facts;
use crate::problem::{Code, Problem};

/// Where the machine's Hugging Face home would be inside. Only folders of it are given: the home itself holds the
/// person's login.
pub(super) const HF_HOME: &str = "/root/.cache/huggingface";

/// The folder that a checkpoint needs, and no other: of a snapshot its repository's, for a snapshot is made of links
/// into it; of what a graft made its own, which holds all of its files. Docker follows links on the way to it, so a
/// `hub` that leads to another disk is no obstacle.
pub(super) fn folder_of(facts: &Facts, path: &str) -> Result<Mount, Problem> {
    inside(facts, path)?;
    let below = path[facts.hf_home.len()..].trim_matches('/');
    let mut parts = below.split('/');
    Ok(match (parts.next(), parts.next()) {
        (Some("hub"), Some(repository)) => below_home(facts, &format!("hub/{repository}")),
        _ => below_home(facts, below),
    })
}

/// A folder of the Hugging Face home at the same place inside.
pub(super) fn below_home(facts: &Facts, folder: &str) -> Mount {
    Mount {
        source: format!("{}/{folder}", facts.hf_home.trim_end_matches('/')),
        target: format!("{HF_HOME}/{folder}"),
        read_only: true,
    }
}

/// Where the container sees a folder of the machine's Hugging Face home.
pub(super) fn inside(facts: &Facts, path: &str) -> Result<String, Problem> {
    path.strip_prefix(&facts.hf_home)
        .map(|rest| format!("{HF_HOME}/{}", rest.trim_start_matches('/')))
        .ok_or_else(|| {
            Problem::new(
                Code::Broken,
                "The checkpoint lies where the container cannot see it.",
            )
            .cause(format!("`{path}` is not below `{}`.", facts.hf_home))
            .on(facts.hostname.clone())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_elsewhere_is_not_served() {
        let facts = Facts {
            hf_home: "/h".into(),
            ..Facts::default()
        };
        assert_eq!(inside(&facts, "/elsewhere").unwrap_err().code, Code::Broken);
    }
}
