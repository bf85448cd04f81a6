//! Recipes in files of this computer: one file, or those below a folder, read within limits and never run.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tandem_domain::problem::{Code, Problem};
use tandem_domain::recipe::import::address::{MOST_FILES, may_be_recipe};

/// Bytes of a recipe at most; every one that was seen is smaller.
pub const LARGEST: usize = 1 << 20;

/// Folders within folders that are looked into.
const DEEPEST: usize = 8;

/// Names that are looked at, of files and of folders.
const MOST_NAMES: usize = 20_000;

/// Bytes of all files of a folder.
const LARGEST_FOLDER: usize = 16 << 20;

/// A file and what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRecipe {
    /// Its path below what was chosen, or its name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// The recipes of a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalRecipes {
    /// They, by name.
    pub files: Vec<LocalRecipe>,
    /// Whether a limit ended the search.
    pub more: bool,
}

/// A file as text, or the files below a folder that may be recipes.
///
/// Below a folder no link is followed, hidden folders are passed by, and what is too large, no text or not readable is
/// left out.
pub fn read(path: &Path) -> Result<LocalRecipes, Problem> {
    let cannot = |e: io::Error| {
        Problem::new(Code::FileAccess, "The recipe could not be read.")
            .cause(format!("{}: {e}.", path.display()))
            .fix("Choose a file of text or a folder that you may read.")
    };
    let what = fs::metadata(path).map_err(cannot)?;
    if what.is_dir() {
        return folder(path).map_err(cannot);
    }
    if !what.is_file() {
        return Err(cannot(io::Error::other("it is no file")));
    }
    let text = text(path).map_err(cannot)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(LocalRecipes {
        files: vec![LocalRecipe {
            name: name.into_owned(),
            text,
        }],
        more: false,
    })
}

fn folder(top: &Path) -> io::Result<LocalRecipes> {
    let mut found = LocalRecipes::default();
    let mut folders: Vec<(PathBuf, usize)> = vec![(top.to_owned(), 0)];
    let (mut names, mut bytes) = (0, 0);
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if depth == 0 => return Err(error),
            Err(_) => continue,
            Ok(entries) => entries,
        };
        for entry in entries.flatten() {
            names += 1;
            if names > MOST_NAMES || found.files.len() == MOST_FILES || bytes > LARGEST_FOLDER {
                found.more = true;
                folders.clear();
                break;
            }
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let path = entry.path();
            if kind.is_dir() {
                let hidden = entry.file_name().to_string_lossy().starts_with('.');
                match depth < DEEPEST {
                    _ if hidden => {}
                    true => folders.push((path, depth + 1)),
                    false => found.more = true,
                }
                continue;
            }
            let name = path.strip_prefix(top).unwrap_or(&path).to_string_lossy();
            if !kind.is_file() || !may_be_recipe(&name) {
                continue;
            }
            if let Ok(text) = text(&path) {
                bytes += text.len();
                let name = name.into_owned();
                found.files.push(LocalRecipe { name, text });
            }
        }
    }
    found.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// A file's text; an error where it is larger than a recipe.
fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(LARGEST as u64 + 1);
    file.read_to_string(&mut text)?;
    match text.len() > LARGEST {
        true => Err(io::Error::other(format!(
            "it is larger than {} KiB",
            LARGEST / 1024
        ))),
        false => Ok(text),
    }
}

/// Writes a text where a person chose to have it, in the place of what is there.
pub fn save(path: &Path, text: &str) -> Result<(), Problem> {
    fs::write(path, text).map_err(|e| {
        Problem::new(Code::FileAccess, "The file was not saved.")
            .cause(format!("{}: {e}.", path.display()))
            .fix("Choose a folder that you may write to.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &Path, name: &str, text: &[u8]) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("it is written");
    }

    #[test]
    fn a_file_is_read_whatever_its_ending_and_a_folder_by_its_endings() {
        let top = tempfile::tempdir().expect("a folder");
        let top = top.path();
        for (name, text) in [
            ("b.yaml", "model: o/b\n"),
            ("deep/er/a.toml", "id = 'a'\n"),
            ("deep/run.sh", "vllm serve o/n\n"),
            (".git/c.yaml", "model: o/c\n"),
        ] {
            put(top, name, text.as_bytes());
        }
        put(top, "binary.yml", &[0xff, 0xfe, 0]);
        put(top, "large.yaml", &vec![b'a'; LARGEST + 1]);
        let found = read(top).expect("it is read");
        let names: Vec<&str> = found.files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["b.yaml", "deep/er/a.toml"]);
        assert!(!found.more);
        let one = read(&top.join("deep/run.sh")).expect("it is read");
        assert_eq!(one.files[0].name, "run.sh");
        assert_eq!(one.files[0].text, "vllm serve o/n\n");
        for name in ["large.yaml", "binary.yml", "nothing"] {
            let problem = read(&top.join(name)).expect_err(name);
            assert_eq!(problem.code, Code::FileAccess, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn below_a_folder_no_link_is_followed_and_what_never_ends_is_not_opened() {
        use std::os::unix::fs::symlink;
        let [top, other] = [0; 2].map(|_| tempfile::tempdir().expect("a folder"));
        put(other.path(), "secret.yaml", b"model: o/n\n");
        let top = top.path();
        symlink(other.path().join("secret.yaml"), top.join("linked.yaml")).expect("a link");
        symlink(other.path(), top.join("folder")).expect("a link");
        symlink("/dev/zero", top.join("endless.yaml")).expect("a link");
        assert_eq!(read(top).expect("it is read"), LocalRecipes::default());
        assert!(read(&top.join("endless.yaml")).is_err(), "it is no file");
    }

    #[test]
    fn a_folder_without_an_end_is_cut_and_says_so() {
        let top = tempfile::tempdir().expect("a folder");
        let deep = "d/".repeat(DEEPEST + 2);
        put(top.path(), &format!("{deep}a.yaml"), b"model: o/n\n");
        let found = read(top.path()).expect("it is read");
        assert_eq!((found.files.len(), found.more), (0, true));
        for n in 0..=MOST_FILES {
            put(top.path(), &format!("{n}.yaml"), b"");
        }
        let found = read(top.path()).expect("it is read");
        assert_eq!((found.files.len(), found.more), (MOST_FILES, true));
    }

    #[test]
    fn a_text_is_saved_or_it_is_said_why_not() {
        let top = tempfile::tempdir().expect("a folder");
        let path = top.path().join("a.toml");
        save(&path, "one").expect("it is saved");
        save(&path, "2").expect("it is saved");
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "2");
        let problem = save(&top.path().join("no/a.toml"), "1").expect_err("no folder");
        assert_eq!(problem.code, Code::FileAccess);
    }
}
