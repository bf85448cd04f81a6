//! Addresses from which recipes may be fetched: files and repositories of GitHub and of the Hub, over https alone.

use serde::{Deserialize, Serialize};

use crate::foreign_text::visible;
use crate::problem::{Code, Problem};
use crate::repository::{is_path, is_repository};

/// Hosts that may be asked, and led to.
const HOSTS: &[&str] = &[
    "github.com",
    "api.github.com",
    "raw.githubusercontent.com",
    "gist.github.com",
    "gist.githubusercontent.com",
    "huggingface.co",
];

/// Endings of files that may be recipes.
const ENDINGS: &[&str] = &[".yaml", ".yml", ".toml"];

/// Files of a repository that are listed at most.
pub const MOST_FILES: usize = 500;

/// What is at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipePlace {
    /// A file.
    File {
        /// The address of its text.
        address: String,
    },
    /// A repository, or a folder of one.
    Repository {
        /// The address that lists its files.
        listing: String,
        /// Who answers.
        site: Site,
        /// `owner/name`.
        repository: String,
        /// Branch, tag or commit; `HEAD` where none is named.
        revision: String,
        /// Only files below it, with the slash at its end; empty for all.
        folder: String,
    },
}

/// Who keeps a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// GitHub.
    GitHub,
    /// The Hugging Face Hub.
    Hub,
}

/// A file of a repository that may be a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct RecipeFile {
    /// Its path there.
    pub path: String,
    /// The address of its text.
    pub address: String,
}

/// Whether this may be asked, or led to: https, at a host that is known, at its own port, without a login.
pub fn may_be_asked(address: &str) -> bool {
    let Some(rest) = address.strip_prefix("https://") else {
        return false;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    HOSTS.contains(&host) && !address.contains(char::is_control) && address.len() <= 2000
}

/// Whether a file may be a recipe, by the ending of its name.
pub fn may_be_recipe(name: &str) -> bool {
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// What a person's address leads to. A problem where it is none of those that may be asked.
pub fn place(address: &str) -> Result<RecipePlace, Problem> {
    let address = address.trim();
    let refused = |cause: String| {
        Problem::new(Code::BadInput, "Nothing was fetched from this address.")
            .cause(cause)
            .fix("Give the https address of a public file or repository at github.com or huggingface.co, or paste the text.")
    };
    if !may_be_asked(address) {
        let cause = format!(
            "`{}` is no https address at GitHub or the Hub.",
            visible(address, 200)
        );
        return Err(refused(cause));
    }
    let path = address
        .trim_start_matches("https://")
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let found = match parts.as_slice() {
        [
            "github.com",
            owner,
            name,
            "blob" | "raw",
            revision,
            file @ ..,
        ] if !file.is_empty() => raw_github(owner, name, revision, &file.join("/")),
        ["github.com", owner, name] => github(owner, name, "HEAD", ""),
        ["github.com", owner, name, "tree", revision, folder @ ..] => {
            github(owner, name, revision, &folder.join("/"))
        }
        [
            "huggingface.co",
            owner,
            name,
            "blob" | "raw" | "resolve",
            revision,
            file @ ..,
        ] if !file.is_empty() => raw_hub(owner, name, revision, &file.join("/")),
        ["huggingface.co", owner, name] => hub(owner, name, "main", ""),
        ["huggingface.co", owner, name, "tree", revision, folder @ ..] => {
            hub(owner, name, revision, &folder.join("/"))
        }
        [
            "raw.githubusercontent.com" | "gist.githubusercontent.com",
            _,
            _,
            ..,
        ] => Some(RecipePlace::File {
            address: address.to_owned(),
        }),
        ["gist.github.com", owner, id] => Some(RecipePlace::File {
            address: format!("https://gist.githubusercontent.com/{owner}/{id}/raw"),
        }),
        _ => None,
    };
    found.ok_or_else(|| {
        let cause = format!(
            "`{}` is the address of no file and of no repository.",
            visible(address, 200)
        );
        refused(cause)
    })
}

fn sound(owner: &str, name: &str, revision: &str, path: &str) -> Option<String> {
    let repository = format!("{owner}/{}", name.trim_end_matches(".git"));
    let is_word = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && text.chars().any(|c| c != '.')
    };
    let is_sound = is_repository(&repository)
        && is_word(revision)
        && (path.is_empty() || is_path(path) && path.split('/').all(is_word));
    is_sound.then_some(repository)
}

fn raw_github(owner: &str, name: &str, revision: &str, file: &str) -> Option<RecipePlace> {
    let repository = sound(owner, name, revision, file)?;
    Some(RecipePlace::File {
        address: format!("https://raw.githubusercontent.com/{repository}/{revision}/{file}"),
    })
}

fn raw_hub(owner: &str, name: &str, revision: &str, file: &str) -> Option<RecipePlace> {
    let repository = sound(owner, name, revision, file)?;
    Some(RecipePlace::File {
        address: format!("https://huggingface.co/{repository}/raw/{revision}/{file}"),
    })
}

fn github(owner: &str, name: &str, revision: &str, folder: &str) -> Option<RecipePlace> {
    let repository = sound(owner, name, revision, folder)?;
    Some(RecipePlace::Repository {
        listing: format!(
            "https://api.github.com/repos/{repository}/git/trees/{revision}?recursive=1"
        ),
        site: Site::GitHub,
        repository,
        revision: revision.to_owned(),
        folder: as_folder(folder),
    })
}

fn hub(owner: &str, name: &str, revision: &str, folder: &str) -> Option<RecipePlace> {
    let repository = sound(owner, name, revision, folder)?;
    Some(RecipePlace::Repository {
        listing: format!(
            "https://huggingface.co/api/models/{repository}/tree/{revision}?recursive=true"
        ),
        site: Site::Hub,
        repository,
        revision: revision.to_owned(),
        folder: as_folder(folder),
    })
}

fn as_folder(folder: &str) -> String {
    match folder {
        "" => String::new(),
        folder => format!("{folder}/"),
    }
}

/// The files of a listing that may be recipes, at most [`MOST_FILES`], and whether there are more.
///
/// `answer` is what [`RecipePlace::Repository::listing`] answered with; `None` where it is no such list.
pub fn listed(place: &RecipePlace, answer: &serde_json::Value) -> Option<(Vec<RecipeFile>, bool)> {
    let RecipePlace::Repository {
        site,
        repository,
        revision,
        folder,
        ..
    } = place
    else {
        return None;
    };
    let (entries, kind) = match site {
        Site::GitHub => (answer.get("tree")?.as_array()?, "blob"),
        Site::Hub => (answer.as_array()?, "file"),
    };
    let cut = answer.get("truncated").and_then(|t| t.as_bool()) == Some(true);
    let (owner, name) = repository.split_once('/')?;
    let files = entries.iter().filter_map(|entry| {
        let path = entry.get("path")?.as_str()?;
        let is_file = entry.get("type")?.as_str()? == kind;
        if !is_file || !may_be_recipe(path) || !path.starts_with(folder.as_str()) {
            return None;
        }
        let found = match site {
            Site::GitHub => raw_github(owner, name, revision, path),
            Site::Hub => raw_hub(owner, name, revision, path),
        };
        match found? {
            RecipePlace::File { address } => Some(RecipeFile {
                path: path.to_owned(),
                address,
            }),
            RecipePlace::Repository { .. } => None,
        }
    });
    let mut files: Vec<RecipeFile> = files.take(MOST_FILES + 1).collect();
    let more = files.len() > MOST_FILES;
    files.truncate(MOST_FILES);
    Some((files, more || cut))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(address: &str) -> String {
        match place(address) {
            Ok(RecipePlace::File { address }) => address,
            other => panic!("{address}: {other:?}"),
        }
    }

    #[test]
    fn the_page_of_a_file_leads_to_its_text() {
        for (page, text) in [
            (
                "https://github.com/o/n/blob/main/recipes/a.yaml#L3",
                "https://raw.githubusercontent.com/o/n/main/recipes/a.yaml",
            ),
            (
                " https://huggingface.co/o/n/blob/main/a.yaml ",
                "https://huggingface.co/o/n/raw/main/a.yaml",
            ),
            (
                "https://huggingface.co/o/n/resolve/c0ffee/a.toml?download=true",
                "https://huggingface.co/o/n/raw/c0ffee/a.toml",
            ),
            (
                "https://raw.githubusercontent.com/o/n/main/a.yaml",
                "https://raw.githubusercontent.com/o/n/main/a.yaml",
            ),
            (
                "https://gist.github.com/o/0123abc",
                "https://gist.githubusercontent.com/o/0123abc/raw",
            ),
        ] {
            assert_eq!(file(page), text);
        }
    }

    #[test]
    fn no_other_scheme_host_port_or_login_is_asked() {
        for address in [
            "http://github.com/o/n",
            "https://github.com.example.org/o/n",
            "https://example.org/o/n",
            "https://github.com:8443/o/n",
            "https://me:secret@github.com/o/n",
            "https://github.com@10.0.0.1/o/n",
            "https://10.0.0.1/o/n",
            "https://localhost/o/n",
            "https://[::1]/o/n",
            "file:///etc/passwd",
            "ftp://github.com/o/n",
            "github.com/o/n",
            "https://github.com/o",
            "https://github.com/o/n/issues/1",
            "https://github.com/o/n/blob/main/../../../x/y/main/a.yaml",
            "https://github.com/o/n/blob/main/a b.yaml",
            "https://github.com/o/../blob/main/a.yaml",
            "https://github.com\\@10.0.0.1/o/n",
            "",
        ] {
            let problem = place(address).expect_err(address);
            assert_eq!(problem.code, Code::BadInput, "{address}");
        }
        assert!(!may_be_asked("https://github.com\n.example.org/"));
        assert!(!may_be_asked(&format!(
            "https://github.com/{}",
            "a".repeat(3000)
        )));
    }

    #[test]
    fn of_a_repository_the_files_that_may_be_recipes_are_listed() {
        let at = place("https://github.com/o/n.git/").expect("a repository");
        let blob = |path: &str| json!({"path": path, "type": "blob"});
        let answer = json!({"truncated": false, "tree": [
            blob("recipes/a.yaml"), blob("b.yml"), blob("own.toml"), blob("mods/run.sh"),
            {"path": "c.yaml", "type": "tree"}, blob("../d.yaml"), {"path": 1},
        ]});
        let (files, more) = listed(&at, &answer).expect("a list");
        let paths: Vec<&str> = files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["recipes/a.yaml", "b.yml", "own.toml"]);
        assert_eq!(
            files[0].address,
            "https://raw.githubusercontent.com/o/n/HEAD/recipes/a.yaml"
        );
        assert!(!more);
        let folder = place("https://github.com/o/n/tree/main/recipes").expect("a folder");
        let (below, _) = listed(&folder, &answer).expect("a list");
        assert_eq!(below.len(), 1);
        assert!(below[0].address.contains("/main/recipes/"));
        let hub = place("https://huggingface.co/o/n").expect("a repository");
        let answer =
            json!([{"path": "recipe.yaml", "type": "file"}, {"path": "x", "type": "directory"}]);
        let (files, _) = listed(&hub, &answer).expect("a list");
        assert_eq!(
            files[0].address,
            "https://huggingface.co/o/n/raw/main/recipe.yaml"
        );
        assert_eq!(listed(&hub, &json!({"error": "no"})), None);
        let long = json!(
            (0..600)
                .map(|n| json!({"path": format!("{n}.yaml"), "type": "file"}))
                .collect::<Vec<_>>()
        );
        let (files, more) = listed(&hub, &long).expect("a list");
        assert_eq!((files.len(), more), (MOST_FILES, true));
    }
}
