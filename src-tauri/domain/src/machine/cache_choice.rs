//! A folder of the models that a person chose for a machine, in place of the one that its environment names.
//!
//! Whatever runs there is told by the variables of Hugging Face's own tools, so facts, downloads, launches and the
//! disk's account follow it without knowing of a choice.
//! <https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>

use crate::problem::{Code, Problem};

/// The longest path that Linux takes in one call, its end included.
const LONGEST: usize = 4096;

/// Reads what a person typed: the folder that holds the repositories, absolute, without a `/` at its end. Nothing
/// typed is no choice.
pub fn chosen(typed: &str) -> Result<Option<String>, Problem> {
    let path = typed.trim();
    if path.is_empty() {
        return Ok(None);
    }
    let parts = || path.split('/').filter(|part| !part.is_empty());
    let why = if !path.starts_with('/') {
        "It does not begin with `/`."
    } else if path.len() >= LONGEST {
        "It is longer than any path of Linux."
    } else if path.contains(char::is_control) {
        "It contains a character that nobody sees."
    } else if parts().any(|part| part == "." || part == "..") {
        "It contains `.` or `..` as a folder."
    } else if parts().next().is_none() {
        "It is the root of the machine's disks."
    } else {
        return Ok(Some(format!("/{}", parts().collect::<Vec<_>>().join("/"))));
    };
    Err(
        Problem::new(Code::BadInput, "This folder cannot hold the models.")
            .cause(why)
            .fix(
                "Type the whole path of a folder on that machine, such as `/data/huggingface/hub`.",
            ),
    )
}

/// The environment that names a chosen folder. What lies beside the repositories, as a grafted checkpoint does, stays
/// on the same disk: in the folder above one called `hub`, in the folder itself otherwise.
pub fn environment(folder: &str) -> [(String, String); 2] {
    let home = folder.strip_suffix("/hub").filter(|home| !home.is_empty());
    [
        ("HF_HOME".to_owned(), home.unwrap_or(folder).to_owned()),
        ("HF_HUB_CACHE".to_owned(), folder.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::{chosen, environment};

    #[test]
    fn a_folder_is_absolute_and_leads_nowhere_else() {
        let read = |typed: &str| chosen(typed).map_err(|problem| problem.cause);
        assert_eq!(read("  "), Ok(None));
        assert_eq!(
            read(" /data//models/ "),
            Ok(Some("/data/models".to_owned()))
        );
        for typed in [
            "models", "~/models", "/", "//", "/a/../b", "/a/./b", "/a\nb",
        ] {
            assert!(chosen(typed).is_err(), "`{typed}`");
        }
        assert!(chosen(&format!("/{}", "a/".repeat(2048))).is_err());
    }

    #[test]
    fn what_lies_beside_the_repositories_stays_on_their_disk() {
        let home = |folder: &str| environment(folder).map(|(_, value)| value);
        assert_eq!(home("/data/hf/hub"), ["/data/hf", "/data/hf/hub"]);
        assert_eq!(home("/models"), ["/models", "/models"]);
        assert_eq!(home("/hub"), ["/hub", "/hub"]);
    }
}
