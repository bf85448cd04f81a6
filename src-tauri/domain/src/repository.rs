//! Names of the Hub that become paths and addresses: of repositories, revisions, commits and files. Whoever
//! takes one from a person, a request, the Hub or another machine asks here first.

use crate::foreign_text::is_unseen;
use crate::problem::{Code, Problem};

/// A name that is longer is refused: no file system takes it as a path.
const LONGEST: usize = 1024;

/// Whether this is `owner/name` as the Hub gives it. It becomes a folder's name in the cache, where `--`
/// stands for `/`.
pub fn is_repository(name: &str) -> bool {
    let part_ok = |part: &&str| {
        !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain) && part.len() <= 96
    };
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() == 2 && parts.iter().all(part_ok) && !name.contains("--")
}

/// Whether this is a branch, tag or commit. It becomes a path below the cache's `refs` and a part of an
/// address, so none of its parts leads upwards.
pub fn is_revision(name: &str) -> bool {
    name.len() <= LONGEST
        && name
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(is_plain))
}

/// Whether this is the name of one commit: 40 hexadecimal digits.
pub fn is_commit(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Characters of a name that no shell, path or address reads as something else.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// Whether every part of a path leads downwards and shows what it is.
pub fn is_path(path: &str) -> bool {
    stays_inside(path) && !path.chars().any(is_unseen)
}

fn stays_inside(path: &str) -> bool {
    path.split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Why a file of a repository cannot have this name, as part of a sentence; `None` where it can.
pub fn refuses_file(name: &str) -> Option<&'static str> {
    if !stays_inside(name) {
        return Some("it would be written outside of its folder");
    }
    if name.chars().any(is_unseen) {
        return Some("it has characters that cannot be seen");
    }
    (name.len() > LONGEST).then_some("it is too long")
}

/// Whether a file of a repository may have this name.
pub fn is_file(name: &str) -> bool {
    refuses_file(name).is_none()
}

/// Refuses what is no name of a repository.
pub fn check_repository(repo: &str) -> Result<(), Problem> {
    if is_repository(repo) {
        return Ok(());
    }
    Err(
        Problem::new(Code::BadInput, "The name of the repository cannot be used.")
            .cause(format!("It is given as “{}”.", repo.escape_debug()))
            .fix("Give it as owner/name."),
    )
}

/// Refuses what is no branch, tag or commit.
pub fn check_revision(revision: &str) -> Result<(), Problem> {
    if is_revision(revision) {
        return Ok(());
    }
    Err(
        Problem::new(Code::BadInput, "The revision cannot be used.")
            .cause(format!(
                "It is given as “{}”; letters, digits, -, _, . and / are allowed, and no part begins with a dot.",
                revision.escape_debug()
            ))
            .fix("Give a branch, a tag or a commit; “main” is the newest."),
    )
}

/// Refuses what is not the name of one commit.
pub fn check_commit(commit: &str) -> Result<(), Problem> {
    if is_commit(commit) {
        return Ok(());
    }
    Err(Problem::new(Code::BadInput, "The commit cannot be used.")
        .cause(format!(
            "It is given as “{}”; a commit has 40 hexadecimal digits.",
            commit.escape_debug()
        ))
        .fix("Give the commit that the download's receipt names."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_its_folder() {
        assert!(is_repository("stepfun-ai/Step-3.7-Flash"));
        for bad in [
            "", "n", "o/", "o/../n", "../x", "o/n/m", "o--x/n", "o/.n", "o/n\n",
        ] {
            assert!(!is_repository(bad), "{bad:?}");
        }
        let commit = "a".repeat(40);
        for good in ["main", "v1.0", "refs/pr/3", "feature/x", commit.as_str()] {
            assert!(is_revision(good), "{good:?}");
        }
        for bad in [
            "",
            "/",
            "a//b",
            "/main",
            "main/",
            ".",
            "..",
            "../../../../../.bashrc",
            "a/../b",
            "a/./b",
            ".hidden",
            "main\n",
            "a b",
            "a\0",
        ] {
            assert!(!is_revision(bad), "{bad:?}");
            assert!(check_revision(bad).is_err(), "{bad:?}");
        }
        assert!(is_commit(&commit) && !is_commit("main") && !is_commit(&"g".repeat(40)));
    }

    #[test]
    fn a_file_s_name_is_one_line_and_shows_what_it_is() {
        for good in [
            "config.json",
            "sub/config.json",
            "a b",
            "Schlüssel.json",
            "x:y",
            "猫.gguf",
        ] {
            assert_eq!(refuses_file(good), None, "{good:?}");
        }
        for bad in ["", "/x", "a//b", "../x", "a/..", "a/./b", "a/"] {
            assert!(
                refuses_file(bad).is_some_and(|why| why.contains("outside")),
                "{bad:?}"
            );
        }
        for bad in [
            "x\ntoken",
            "x\r",
            "x\0",
            "x\u{1b}[2J",
            "x\u{85}y",
            "x\u{202e}txt.py",
            "x\u{2028}y",
            "x\u{2066}y",
            "x\u{200f}y",
            "x\u{feff}",
        ] {
            assert!(
                refuses_file(bad).is_some_and(|why| why.contains("seen")),
                "{bad:?}"
            );
        }
        assert!(!is_file(&"x".repeat(5000)));
    }
}
