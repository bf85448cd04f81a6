//! The person's `~/.ssh/config`: the names they already use for their machines.
//!
//! Read as OpenSSH reads it where that is simple: the first value found for a keyword counts, `Host`
//! patterns with `*`, `?` and `!`, `Include` with a `*` in the file name, `%h` in `HostName`.
//! `Match` blocks depend on more than a name and are passed over.

use std::path::{Path, PathBuf};

use tandem_domain::pattern::{fnmatch, wildcard};

/// How deep `Include` is followed, as in OpenSSH.
const DEEPEST: usize = 16;

/// One name of the configuration with what stands for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigHost {
    /// The name after `Host`.
    pub alias: String,
    /// Where it is; the alias itself if the file does not say.
    pub host_name: String,
    /// The port, where given.
    pub port: Option<u16>,
    /// The user, where given.
    pub user: Option<String>,
    /// Private keys, in order.
    pub identity_files: Vec<PathBuf>,
    /// The `ProxyJump` or `ProxyCommand` that leads there. Tandem connects directly only.
    pub proxy: Option<String>,
}

/// Why a host of the configuration, or the whole file, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, or one that it includes, could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        #[source]
        source: std::io::Error,
    },
    /// The host is behind another one.
    #[error("`{alias}` is reached through `{proxy}`, and Tandem connects directly only")]
    Proxy {
        /// The name in the configuration.
        alias: String,
        /// The command or host that the connection would go over.
        proxy: String,
    },
}

impl ConfigHost {
    /// Says whether Tandem can connect to it as the file describes it.
    pub fn reachable(&self) -> Result<(), ConfigError> {
        match &self.proxy {
            None => Ok(()),
            Some(proxy) => Err(ConfigError::Proxy {
                alias: self.alias.clone(),
                proxy: proxy.clone(),
            }),
        }
    }
}

/// All hosts with a plain name in this file (`~/.ssh/config`), in the file's order. No file, no hosts.
pub fn hosts(path: &Path) -> Result<Vec<ConfigHost>, ConfigError> {
    let lines = lines(path, 0)?;
    let mut hosts: Vec<ConfigHost> = Vec::new();
    for line in lines.iter().filter(|l| l.keyword == "host") {
        for name in &line.values {
            let plain = !name.contains(['*', '?', '!']);
            if plain && hosts.iter().all(|h| h.alias != *name) {
                hosts.push(resolve(&lines, name, home(path)));
            }
        }
    }
    Ok(hosts)
}

/// What this file says about one name, which need not stand in it.
pub fn host(path: &Path, alias: &str) -> Result<ConfigHost, ConfigError> {
    Ok(resolve(&lines(path, 0)?, alias, home(path)))
}

/// The folder in which `.ssh` lies.
fn home(config: &Path) -> &Path {
    config
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/"))
}

/// One line: a keyword in lower case and its words.
#[derive(Debug, Clone)]
struct Line {
    keyword: String,
    values: Vec<String>,
}

fn lines(path: &Path, depth: usize) -> Result<Vec<Line>, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(ConfigError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let mut lines: Vec<Line> = Vec::new();
    for line in text.lines().filter_map(parse) {
        if line.keyword != "include" {
            lines.push(line);
            continue;
        }
        if depth == DEEPEST {
            continue;
        }
        // What is included inside of a block belongs to it, and does not end it.
        let block = lines
            .iter()
            .rfind(|l| matches!(l.keyword.as_str(), "host" | "match"))
            .cloned();
        for pattern in &line.values {
            for file in included(pattern, path) {
                lines.extend(self::lines(&file, depth + 1)?);
            }
        }
        match block {
            Some(block) => lines.push(block),
            None => lines.push(Line {
                keyword: "host".into(),
                values: vec!["*".into()],
            }),
        }
    }
    Ok(lines)
}

/// The files an `Include` names: relative ones lie beside the configuration.
fn included(pattern: &str, config: &Path) -> Vec<PathBuf> {
    let folder = config.parent().unwrap_or(Path::new("."));
    let path = match pattern.strip_prefix("~/") {
        Some(rest) => home(config).join(rest),
        None => folder.join(pattern),
    };
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    if !name.contains(['*', '?']) {
        return vec![path];
    }
    let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|e| fnmatch(&name, &e.file_name().to_string_lossy()))
        .map(|e| e.path())
        .collect();
    files.sort();
    files
}

/// Splits a line: `Keyword value "a value with blanks"` or `Keyword=value`.
fn parse(line: &str) -> Option<Line> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line
        .find(|c: char| c.is_whitespace() || c == '=')
        .unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let mut values = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut begun) = (false, false);
    for c in rest.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            '#' if !quoted && !begun => break,
            c if c.is_whitespace() && !quoted => {
                if begun {
                    values.push(std::mem::take(&mut word));
                    begun = false;
                }
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        values.push(word);
    }
    Some(Line {
        keyword: keyword.to_ascii_lowercase(),
        values,
    })
}

fn resolve(lines: &[Line], alias: &str, home: &Path) -> ConfigHost {
    let mut found = ConfigHost {
        alias: alias.to_owned(),
        ..ConfigHost::default()
    };
    let mut host_name = None;
    let mut applies = true;
    for line in lines {
        match (line.keyword.as_str(), line.values.first()) {
            ("host", _) => applies = applies_to(&line.values, alias),
            ("match", _) => applies = false,
            _ if !applies => {}
            ("hostname", Some(v)) => {
                host_name.get_or_insert_with(|| v.replace("%h", alias).replace("%%", "%"));
            }
            ("port", Some(v)) => found.port = found.port.or(v.parse().ok()),
            ("user", Some(v)) => {
                found.user.get_or_insert_with(|| v.clone());
            }
            ("identityfile", Some(v)) if v != "none" => {
                let path = expand(v, home);
                if !found.identity_files.contains(&path) {
                    found.identity_files.push(path);
                }
            }
            ("proxyjump" | "proxycommand", Some(_)) => {
                found.proxy.get_or_insert_with(|| line.values.join(" "));
            }
            _ => {}
        }
    }
    // `none` stands there to switch off what a later block would set.
    found.proxy = found.proxy.filter(|p| !p.eq_ignore_ascii_case("none"));
    found.host_name = host_name.unwrap_or_else(|| alias.to_owned());
    found
}

fn expand(path: &str, home: &Path) -> PathBuf {
    match path.strip_prefix("~/").or_else(|| path.strip_prefix("%d/")) {
        Some(rest) => home.join(rest),
        None => PathBuf::from(path),
    }
}

fn applies_to(patterns: &[String], alias: &str) -> bool {
    let mut hit = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcard(pattern, alias) => return false,
            Some(_) => {}
            None => hit |= wildcard(pattern, alias),
        }
    }
    hit
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{host, hosts, wildcard};

    fn home(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join(".ssh")).expect("made");
        for (name, text) in files {
            std::fs::write(home.path().join(".ssh").join(name), text).expect("written");
        }
        let config = home.path().join(".ssh/config");
        (home, config)
    }

    #[test]
    fn names_are_listed_with_the_first_value_of_each_keyword() {
        let (home, config) = home(&[(
            "config",
            "# mine\nHost spark-a a\n  HostName 192.168.1.20\n  User nvidia\n  Port=2222\n\
             \tIdentityFile ~/.ssh/spark\n\nHost spark-b\n  hostname \"spark-b.local\"\n\n\
             Host spark-* !spark-c\n  User other\n  Port 22\n  IdentityFile %d/.ssh/all\n\
             Match user root\n  Port 1\nHost *\n  HostName %h.lan\n",
        )]);
        let hosts = hosts(&config).expect("read");
        let names: Vec<_> = hosts.iter().map(|h| h.alias.as_str()).collect();
        assert_eq!(names, ["spark-a", "a", "spark-b"], "patterns are no names");
        assert_eq!(hosts[0].host_name, "192.168.1.20");
        assert_eq!(hosts[0].user.as_deref(), Some("nvidia"));
        assert_eq!(hosts[0].port, Some(2222));
        let keys = [home.path().join(".ssh/spark"), home.path().join(".ssh/all")];
        assert_eq!(hosts[0].identity_files, keys, "keys add up");
        assert_eq!(hosts[2].host_name, "spark-b.local");
        assert_eq!(hosts[2].user.as_deref(), Some("other"));
        let negated = host(&config, "spark-c").expect("read");
        assert_eq!(
            (negated.user, negated.host_name.as_str()),
            (None, "spark-c.lan")
        );
    }

    #[test]
    fn a_host_behind_another_is_named_and_not_tried() {
        let (_home, config) = home(&[(
            "config",
            "Host far\n ProxyJump gate\nHost near\n ProxyJump none\nHost *\n ProxyCommand nc %h %p\n",
        )]);
        let hosts = hosts(&config).expect("read");
        let error = hosts[0].reachable().expect_err("behind a gate").to_string();
        assert!(error.contains("`far` is reached through `gate`"), "{error}");
        assert!(hosts[1].reachable().is_ok(), "`none` switches it off");
    }

    #[test]
    fn included_files_count_and_do_not_end_the_block() {
        let (_home, config) = home(&[
            (
                "config",
                "Host a\n User one\n Include more_*\n Port 7\nInclude missing\n",
            ),
            ("more_1", "Host b\n User two\n"),
        ]);
        let hosts = hosts(&config).expect("read");
        let a = hosts.iter().find(|h| h.alias == "a").expect("there");
        let b = hosts.iter().find(|h| h.alias == "b").expect("included");
        assert_eq!((a.user.as_deref(), a.port), (Some("one"), Some(7)));
        assert_eq!((b.user.as_deref(), b.port), (Some("two"), None));
    }

    #[test]
    fn no_file_means_no_hosts_and_patterns_match_as_a_shell_does() {
        let (_home, config) = home(&[]);
        assert!(hosts(&config).expect("no error").is_empty());
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*.lan", "x.lan", true),
            ("*é*", "café", true),
        ] {
            assert_eq!(wildcard(pattern, text), fits, "{pattern} on {text}");
        }
    }
}
