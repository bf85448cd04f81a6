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
    Ok(match path_below(path, &facts.hub()) {
        Some(below) => {
            let repository = below.split('/').next().unwrap_or_default();
            of_hub(facts, repository)
        }
        None => mount(
            path.to_owned(),
            path_below(path, &facts.hf_home).unwrap_or_default(),
        ),
    })
}

/// The store that all repositories share.
pub(super) fn shared_store(facts: &Facts) -> Mount {
    of_hub(facts, "blobs")
}

/// A folder beside the repositories, or one of them.
fn of_hub(facts: &Facts, folder: &str) -> Mount {
    mount(
        format!("{}/{folder}", facts.hub()),
        &format!("hub/{folder}"),
    )
}

/// A folder of the machine's cache where the container would have it.
fn mount(source: String, inside: &str) -> Mount {
    Mount {
        source,
        target: format!("{HF_HOME}/{inside}"),
        read_only: true,
    }
}

/// The rest of a path below a folder.
fn path_below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    rest.strip_prefix('/').map(|rest| rest.trim_matches('/'))
}

/// Where the container sees a folder of the machine's cache.
pub(super) fn inside(facts: &Facts, path: &str) -> Result<String, Problem> {
    let of_hub = path_below(path, &facts.hub()).map(|below| format!("{HF_HOME}/hub/{below}"));
    let of_home = || path_below(path, &facts.hf_home).map(|below| format!("{HF_HOME}/{below}"));
    of_hub.or_else(of_home).ok_or_else(|| {
        Problem::new(
            Code::Broken,
            "The checkpoint lies where the container cannot see it.",
        )
        .cause(format!(
            "`{path}` is neither below `{}` nor below `{}`.",
            facts.hub(),
            facts.hf_home
        ))
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
            hub: Some("/mnt/disk/models".into()),
            ..Facts::default()
        };
        // Beside the folders, or by a name that only begins like theirs.
        for path in ["/elsewhere", "/mnt/disk/models2/x", "/h2/x", "/mnt/disk"] {
            assert_eq!(
                inside(&facts, path).unwrap_err().code,
                Code::Broken,
                "{path}"
            );
        }
    }
}
