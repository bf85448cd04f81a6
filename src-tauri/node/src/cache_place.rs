//! Where Hugging Face's own tools keep their cache on this machine, as the environment says; and what only a person's
//! terminals would say.
//!
//! <https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables>

use std::path::{Path, PathBuf};

use tandem_domain::machine::CacheSetting;

/// The variables that decide, by what each of them names.
const HOME: &str = "HF_HOME";
const HUB: [&str; 2] = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"];
const CACHES: &str = "XDG_CACHE_HOME";
/// All of them.
pub const VARIABLES: [&str; 4] = [HOME, HUB[0], HUB[1], CACHES];

/// Start files of shells, below the user's home, and folders of such.
const START_FILES: [&str; 11] = [
    ".bashrc",
    ".bash_profile",
    ".bash_aliases",
    ".bash_login",
    ".profile",
    ".zshenv",
    ".zprofile",
    ".zshrc",
    ".config/fish/config.fish",
    ".config/fish/conf.d",
    ".config/environment.d",
];
/// The same for all users, below `/etc`. None of them is read for a command over SSH.
const SYSTEM_FILES: [&str; 7] = [
    "profile",
    "profile.d",
    "bash.bashrc",
    "zsh/zprofile",
    "zsh/zshrc",
    "fish/config.fish",
    "fish/conf.d",
];
/// Universal variables of fish, which no file sets by a command.
const FISH_VARIABLES: &str = ".config/fish/fish_variables";
/// The longest start file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// The Hugging Face home and the folder of its repositories, by the environment of this user.
pub fn of(var: &dyn Fn(&str) -> Option<String>, user: &Path) -> (PathBuf, PathBuf) {
    let set = |name: &str| {
        let value = var(name).filter(|value| !value.trim().is_empty())?;
        Some(expanded(&value, var, user))
    };
    let caches = set(CACHES).unwrap_or_else(|| user.join(".cache"));
    let home = set(HOME).unwrap_or_else(|| caches.join("huggingface"));
    let hub = HUB.iter().find_map(|name| set(name));
    let hub = hub.unwrap_or_else(|| home.join("hub"));
    (home, hub)
}

/// A path with `~`, `$NAME` and `${NAME}` replaced, as Python's `expanduser` and `expandvars` do it. A variable that
/// is not set stays as it stands.
pub fn expanded(text: &str, var: &dyn Fn(&str) -> Option<String>, user: &Path) -> PathBuf {
    let text = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            format!("{}{rest}", user.display())
        }
        _ => text.to_owned(),
    };
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let braced = after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'));
        let name_end = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let (name, left) =
            braced.unwrap_or_else(|| after.split_at(after.find(name_end).unwrap_or(after.len())));
        match var(name).or_else(|| (name == "HOME").then(|| user.display().to_string())) {
            Some(value) if !name.is_empty() => out.push_str(&value),
            _ => out.push_str(&rest[at..rest.len() - left.len()]),
        }
        rest = left;
    }
    out.push_str(rest);
    PathBuf::from(out)
}

/// What a start file of the user or of the system (`/etc`) sets for terminals that this process was not told, where
/// that would be another place.
pub fn elsewhere(
    var: &dyn Fn(&str) -> Option<String>,
    user: &Path,
    system: &Path,
    hub: &Path,
) -> Option<CacheSetting> {
    let own = START_FILES.iter().chain([&FISH_VARIABLES]);
    let mut files = start_files(user, own);
    files.extend(start_files(system, SYSTEM_FILES.iter()));
    files.into_iter().find_map(|path| {
        let text = read(&path)?;
        let found = set_in(&text);
        let with = |name: &str| {
            let told = found.iter().rev().find(|(n, _)| n == name);
            told.map(|(_, value)| value.clone()).or_else(|| var(name))
        };
        let (_, place) = of(&with, user);
        let (variable, value) = found.last()?;
        let is_plain = place.is_absolute() && !place.to_string_lossy().contains(char::is_control);
        (place != hub && is_plain).then(|| CacheSetting {
            file: path.to_string_lossy().into_owned(),
            variable: variable.clone(),
            value: expanded(value, &with, user).to_string_lossy().into_owned(),
            place: place.to_string_lossy().into_owned(),
        })
    })
}

fn start_files<'a>(root: &Path, names: impl Iterator<Item = &'a &'a str>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for name in names {
        let path = root.join(name);
        match std::fs::read_dir(&path) {
            Ok(list) => {
                let mut below: Vec<PathBuf> = list.flatten().map(|e| e.path()).collect();
                below.sort();
                files.extend(below);
            }
            Err(_) => files.push(path),
        }
    }
    files
}

fn read(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    let bytes = (meta.is_file() && meta.len() <= LONGEST).then(|| std::fs::read(path).ok())??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The variables of the cache that a start file of bash, zsh or fish sets to be seen by programs, in its order.
/// What decides whether the line is reached is not looked at.
fn set_in(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| set_by(line.trim()))
        .collect()
}

fn set_by(line: &str) -> Option<(String, String)> {
    // One command of a line that has several.
    let mut commands = line.split([';', '&']).map(str::trim);
    commands.find_map(|command| {
        let command = command.strip_prefix("SETUVAR ").unwrap_or(command);
        let (word, rest) = command
            .split_once(char::is_whitespace)
            .unwrap_or((command, ""));
        let assigned = match word {
            "set" | "setenv" | "--export" => {
                let mut words = rest.split_whitespace().skip_while(|w| w.starts_with('-'));
                match word {
                    // fish keeps its universal variables as `NAME:VALUE`.
                    "--export" => rest.trim().split_once(':').map(|(n, v)| (n, v.to_owned())),
                    _ => {
                        let name = words.next()?;
                        Some((name, words.collect::<Vec<_>>().join(" ")))
                    }
                }
            }
            "export" | "typeset" | "declare" => {
                let named = rest.trim_start_matches(['-', ' ', 'g', 'x']);
                named.split_once('=').map(|(n, v)| (n, v.to_owned()))
            }
            _ => command.split_once('=').map(|(n, v)| (n, v.to_owned())),
        };
        let (name, value) = assigned?;
        let value = unquoted(&value);
        let is_one = VARIABLES.contains(&name) && !value.is_empty();
        is_one.then(|| (name.to_owned(), value))
    })
}

/// A word as a shell takes it, without what comes after it.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split(quote).next().unwrap_or_default().to_owned();
        }
    }
    text.split([' ', '\t', '#'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "/home/me";

    fn places(set: &[(&str, &str)]) -> (String, String) {
        let var = |name: &str| {
            let found = set.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let (home, hub) = of(&var, Path::new(USER));
        (home.display().to_string(), hub.display().to_string())
    }

    #[test]
    fn every_variable_of_hugging_face_s_tools_counts_as_it_does_there() {
        for (set, home, hub) in [
            (
                vec![],
                "/home/me/.cache/huggingface",
                "/home/me/.cache/huggingface/hub",
            ),
            (vec![("HF_HOME", "/d/hf")], "/d/hf", "/d/hf/hub"),
            (
                vec![("HF_HOME", "")],
                "/home/me/.cache/huggingface",
                "/home/me/.cache/huggingface/hub",
            ),
            (
                vec![("HF_HUB_CACHE", "/d/hub")],
                "/home/me/.cache/huggingface",
                "/d/hub",
            ),
            (
                vec![("HUGGINGFACE_HUB_CACHE", "/d/old")],
                "/home/me/.cache/huggingface",
                "/d/old",
            ),
            (
                vec![("XDG_CACHE_HOME", "/d/c")],
                "/d/c/huggingface",
                "/d/c/huggingface/hub",
            ),
            (
                vec![("XDG_CACHE_HOME", "/d/c"), ("HF_HOME", "/e")],
                "/e",
                "/e/hub",
            ),
            (
                vec![("HF_HOME", "~/models")],
                "/home/me/models",
                "/home/me/models/hub",
            ),
            (
                vec![
                    ("HF_HOME", "$DISK/${WHERE}/hf"),
                    ("DISK", "/d"),
                    ("WHERE", "x"),
                ],
                "/d/x/hf",
                "/d/x/hf/hub",
            ),
            (
                vec![("HF_HOME", "/d/$NONE/hf")],
                "/d/$NONE/hf",
                "/d/$NONE/hf/hub",
            ),
        ] {
            assert_eq!(places(&set), (home.to_owned(), hub.to_owned()), "{set:?}");
        }
    }

    #[test]
    fn what_only_terminals_are_told_is_found_in_the_files_of_each_shell() {
        for (file, text, variable, value) in [
            (
                ".bashrc",
                "case $- in *i*) ;; *) return;; esac\nexport HF_HOME=/mnt/nvme1/hf\n",
                "HF_HOME",
                "/mnt/nvme1/hf",
            ),
            (
                ".zshrc",
                "export HF_HUB_CACHE=\"$HOME/big disk/hub\" # models\n",
                "HF_HUB_CACHE",
                "/home/me/big disk/hub",
            ),
            (
                ".profile",
                "HF_HOME=~/hf; export HF_HOME\n",
                "HF_HOME",
                "/home/me/hf",
            ),
            (
                ".config/fish/config.fish",
                "if status is-interactive\n    set -gx HF_HOME /mnt/nvme1/hf\nend\n",
                "HF_HOME",
                "/mnt/nvme1/hf",
            ),
            (
                ".config/fish/conf.d/models.fish",
                "set --global --export XDG_CACHE_HOME '/mnt/c'\n",
                "XDG_CACHE_HOME",
                "/mnt/c",
            ),
            (
                ".config/fish/fish_variables",
                "SETUVAR --export HF_HOME:/mnt/nvme1/hf\n",
                "HF_HOME",
                "/mnt/nvme1/hf",
            ),
            (
                ".config/environment.d/50-hf.conf",
                "HF_HOME=/mnt/nvme1/hf\n",
                "HF_HOME",
                "/mnt/nvme1/hf",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = text.replace("~", "/home/me").replace("$HOME", "/home/me");
            std::fs::write(&path, text).unwrap();
            let hub = dir.path().join(".cache/huggingface/hub");
            let none = Path::new("/nonexistent");
            let found = elsewhere(&|_| None, dir.path(), none, &hub).expect(file);
            assert_eq!(
                (&*found.variable, &*found.value),
                (variable, value),
                "{file}"
            );
            assert_eq!(found.file, path.display().to_string());
        }
    }

    #[test]
    fn what_is_no_other_place_is_not_told() {
        for text in [
            "# export HF_HOME=/mnt/hf\n",
            "echo HF_HOME=/mnt/hf\n",
            "export HF_HOME=\n",
            "export HF_TOKEN=hf_x\n",
            "export MY_HF_HOME=/mnt/hf\n",
            "export HF_HOME=relative\n",
            "export HF_HOME=/home/me/.cache/huggingface\n",
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(".bashrc"), text).unwrap();
            let hub = Path::new("/home/me/.cache/huggingface/hub");
            let none = Path::new("/nonexistent");
            assert_eq!(elsewhere(&|_| None, dir.path(), none, hub), None, "{text}");
        }
        // The same setting, and this process has it.
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".bashrc"), "export HF_HOME=/mnt/hf\n").unwrap();
        let var = |name: &str| (name == "HF_HOME").then(|| "/mnt/hf".to_owned());
        let (none, same) = (Path::new("/nonexistent"), Path::new("/mnt/hf/hub"));
        assert_eq!(elsewhere(&var, dir.path(), none, same), None);
        // For all users of the machine.
        let system = tempfile::tempdir().unwrap();
        std::fs::create_dir(system.path().join("profile.d")).unwrap();
        let script = system.path().join("profile.d/models.sh");
        std::fs::write(&script, "export HF_HOME=/srv/hf\n").unwrap();
        let found = elsewhere(&|_| None, none, system.path(), same).unwrap();
        assert_eq!(
            (&*found.place, &*found.file),
            ("/srv/hf/hub", script.to_str().unwrap())
        );
    }
}
