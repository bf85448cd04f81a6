//! The configuration's files as Tandem reads them itself: for the list of names, and where there is no ssh program.
//!
//! As OpenSSH reads them where that is simple: the first value found for a keyword counts, `Host` patterns with `*`,
//! `?` and `!`, `Match all`, `host` and `originalhost`, `Include` with a `*` in the file name. A `Match` that depends
//! on more, and holds something that would change the connection, makes the host undecided.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tandem_domain::pattern::{fnmatch, wildcard};

use super::{ConfigError, ConfigHost, Tokens, home};

/// How deep `Include` is followed, as in OpenSSH.
const DEEPEST: usize = 16;
/// How many files are read, one that is included twice counted twice.
const MOST_FILES: usize = 512;
/// How many bytes all of them may have.
const MOST_BYTES: u64 = 1 << 20;

/// All hosts with a plain name in this file (`~/.ssh/config`), in the file's order. No file, no hosts.
pub fn hosts(path: &Path) -> Result<Vec<ConfigHost>, ConfigError> {
    let lines = Files::read(path)?;
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
pub(super) fn host(path: &Path, alias: &str) -> Result<ConfigHost, ConfigError> {
    Ok(resolve(&Files::read(path)?, alias, home(path)))
}

/// One line: a keyword in lower case and its words.
#[derive(Debug, Clone)]
struct Line {
    keyword: String,
    values: Vec<String>,
}

/// The files that were read. Each is read from the disk once, however often it is included.
struct Files<'a> {
    first: &'a Path,
    parsed: HashMap<PathBuf, Vec<Line>>,
    visits: usize,
    bytes: u64,
}

impl Files<'_> {
    fn read(path: &Path) -> Result<Vec<Line>, ConfigError> {
        let mut files = Files {
            first: path,
            parsed: HashMap::new(),
            visits: 0,
            bytes: 0,
        };
        files.lines(path, 0)
    }

    /// The lines of a file with those that it includes in their places.
    fn lines(&mut self, path: &Path, depth: usize) -> Result<Vec<Line>, ConfigError> {
        self.visits += 1;
        if self.visits > MOST_FILES {
            return Err(self.too_much("512 files"));
        }
        let mut lines: Vec<Line> = Vec::new();
        for line in self.own_lines(path)? {
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
                for file in included(pattern, path, home(self.first)) {
                    lines.extend(self.lines(&file, depth + 1)?);
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

    fn own_lines(&mut self, path: &Path) -> Result<Vec<Line>, ConfigError> {
        if let Some(lines) = self.parsed.get(path) {
            return Ok(lines.clone());
        }
        let unread = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let bytes = match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(unread(e)),
            // A pipe or a device may have no end.
            Ok(meta) if !meta.is_file() => Vec::new(),
            Ok(meta) => {
                self.bytes += meta.len();
                if self.bytes > MOST_BYTES {
                    return Err(self.too_much("1 MB"));
                }
                std::fs::read(path).map_err(unread)?
            }
        };
        // A comment in another encoding is no reason to read nothing.
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<Line> = text.lines().filter_map(parse).collect();
        self.parsed.insert(path.to_owned(), lines.clone());
        Ok(lines)
    }

    fn too_much(&self, most: &'static str) -> ConfigError {
        ConfigError::TooMuch {
            path: self.first.to_owned(),
            most,
        }
    }
}

/// The files an `Include` names: relative ones lie beside the person's configuration.
fn included(pattern: &str, config: &Path, home: &Path) -> Vec<PathBuf> {
    let folder = config.parent().unwrap_or(Path::new("."));
    let path = match pattern.strip_prefix("~/") {
        Some(rest) => home.join(rest),
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

/// Splits a line: `Keyword value "a value with blanks"` or `Keyword=value`. Quotes are single or double, and a
/// backslash takes a quote, a blank or a backslash literally.
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
    let (mut quote, mut begun) = (None, false);
    let mut letters = rest.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\\' if letters
                .peek()
                .is_some_and(|n| matches!(n, '"' | '\'' | '\\' | ' ')) =>
            {
                word.extend(letters.next());
                begun = true;
            }
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                begun = true;
            }
            '#' if quote.is_none() && !begun => break,
            c if c.is_whitespace() && quote.is_none() => {
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

/// Whether a line counts for a host.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Applies {
    Yes,
    No,
    /// Only ssh can tell.
    Unknown,
}

/// The keywords that change where a connection goes and how it logs in.
const CONNECTS: [&str; 12] = [
    "hostname",
    "port",
    "user",
    "proxyjump",
    "proxycommand",
    "hostkeyalias",
    "identityfile",
    "identitiesonly",
    "identityagent",
    "userknownhostsfile",
    "globalknownhostsfile",
    "canonicalizehostname",
];

fn resolve(lines: &[Line], alias: &str, home: &Path) -> ConfigHost {
    let mut found = ConfigHost {
        alias: alias.to_owned(),
        ..ConfigHost::default()
    };
    let (mut host_name, mut only) = (None, None);
    let (mut keys, mut agent, mut known) = (Vec::new(), None, [None, None]);
    let mut applies = Applies::Yes;
    let mut block = String::new();
    for line in lines {
        let keyword = line.keyword.as_str();
        match (keyword, line.values.first()) {
            ("host", _) => applies = matches(&line.values, alias),
            ("match", _) => {
                applies = evaluate(&line.values, alias, host_name.as_deref().unwrap_or(alias));
                block = format!("Match {}", line.values.join(" "));
            }
            _ if applies == Applies::No => {}
            (keyword, Some(_)) if applies == Applies::Unknown && CONNECTS.contains(&keyword) => {
                found.undecided.get_or_insert_with(|| block.clone());
            }
            _ if applies == Applies::Unknown => {}
            ("hostname", Some(v)) => {
                host_name.get_or_insert_with(|| v.replace("%h", alias).replace("%%", "%"));
            }
            ("port", Some(v)) => found.port = found.port.or(v.parse().ok()),
            ("user", Some(v)) => {
                found.user.get_or_insert_with(|| v.clone());
            }
            ("identityfile", Some(v)) if v != "none" && !keys.contains(v) => keys.push(v.clone()),
            ("identitiesonly", Some(v)) => {
                only.get_or_insert_with(|| v.eq_ignore_ascii_case("yes"));
            }
            ("identityagent", Some(v)) => {
                agent.get_or_insert_with(|| v.clone());
            }
            ("hostkeyalias", Some(v)) => {
                found.host_key_alias.get_or_insert_with(|| v.clone());
            }
            ("userknownhostsfile", Some(_)) => {
                known[0].get_or_insert_with(|| line.values.clone());
            }
            ("globalknownhostsfile", Some(_)) => {
                known[1].get_or_insert_with(|| line.values.clone());
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
    found.identities_only = only.unwrap_or(false);
    let [own, everybodys] = known;
    let own = own.unwrap_or_else(|| {
        ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]
            .map(str::to_owned)
            .into()
    });
    let everybodys = everybodys.unwrap_or_else(|| {
        ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]
            .map(str::to_owned)
            .into()
    });
    let tokens = Tokens { home, host: &found };
    let files = own.iter().chain(&everybodys).filter(|f| *f != "none");
    let known_hosts = files.map(|f| tokens.path(f)).collect();
    let identity_files = keys.iter().map(|k| tokens.path(k)).collect();
    let agent = agent.map(|a| tokens.agent(&a)).unwrap_or_default();
    ConfigHost {
        known_hosts,
        identity_files,
        agent,
        ..found
    }
}

fn matches(patterns: &[String], name: &str) -> Applies {
    let mut hit = Applies::No;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcard(pattern, name) => return Applies::No,
            Some(_) => {}
            None if wildcard(pattern, name) => hit = Applies::Yes,
            None => {}
        }
    }
    hit
}

/// The criteria of a `Match`, all of which must hold.
fn evaluate(criteria: &[String], alias: &str, host_name: &str) -> Applies {
    let mut outcome = Applies::Yes;
    let mut words = criteria.iter();
    while let Some(word) = words.next() {
        let (no, word) = match word.strip_prefix('!') {
            Some(word) => (true, word),
            None => (false, word.as_str()),
        };
        let (word, value) = match word.split_once('=') {
            Some((word, value)) => (word, Some(value.to_owned())),
            None => (word, None),
        };
        let name = match word.to_ascii_lowercase().as_str() {
            "all" => continue,
            "host" => host_name,
            "originalhost" => alias,
            // It has no value; the next word is a criterion.
            "canonical" | "final" => {
                outcome = Applies::Unknown;
                continue;
            }
            _ => {
                words.next();
                outcome = Applies::Unknown;
                continue;
            }
        };
        let value = value.or_else(|| words.next().cloned()).unwrap_or_default();
        let patterns: Vec<String> = value.split(',').map(str::to_owned).collect();
        if (matches(&patterns, name) == Applies::Yes) == no {
            return Applies::No;
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::AgentChoice;
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

    #[test]
    fn keys_agents_and_known_hosts_are_read_as_openssh_does() {
        let (home, config) = home(&[(
            "config",
            "Host spark-*\n User owner\n IdentitiesOnly yes\n IdentityFile '~/.ssh/key of %h'\n\
             IdentityAgent \"~/.1password/agent.sock\"\n HostKeyAlias spark\n\
             UserKnownHostsFile ~/.ssh/a \"~/.ssh/b c\"\nHost spark-a\n HostName 10.0.0.1\n\
             Host *\n IdentitiesOnly no\n IdentityAgent none\n UnknownWord yes\n",
        )]);
        let a = host(&config, "spark-a").expect("read");
        let ssh = home.path().join(".ssh");
        assert!(a.identities_only);
        assert_eq!(a.identity_files, [ssh.join("key of 10.0.0.1")]);
        let agent = home.path().join(".1password/agent.sock");
        assert_eq!(a.agent, AgentChoice::Socket(agent));
        assert_eq!(a.known_as(2222), "spark");
        assert_eq!(a.known_hosts[..2], [ssh.join("a"), ssh.join("b c")]);
        let other = host(&config, "other").expect("read");
        assert_eq!(other.agent, AgentChoice::None);
        assert_eq!(other.known_hosts[0], ssh.join("known_hosts"));
        assert_eq!(
            (other.known_as(22), other.known_as(23)),
            ("other".into(), "[other]:23".into())
        );
    }

    #[test]
    fn another_encoding_is_read() {
        let (_home, config) = home(&[]);
        let text = b"# caf\xe9 and kitchen\nHost spark-a\n  HostName 192.168.1.20\n  User owner\n";
        std::fs::write(&config, text).expect("written");
        assert_eq!(hosts(&config).expect("read")[0].host_name, "192.168.1.20");
    }

    #[test]
    fn a_match_that_cannot_be_evaluated_is_not_passed_over() {
        let (_home, config) = home(&[(
            "config",
            "Match originalhost spark-a\n User one\nMatch host=!spark-b,spark-* user me exec true\n ProxyJump gate\n\
             Match exec \"true\"\n Compression yes\nMatch all\n Port 7\n",
        )]);
        let a = host(&config, "spark-a").expect("read");
        assert_eq!((a.user.as_deref(), a.port), (Some("one"), Some(7)));
        let error = a.reachable().expect_err("only ssh can tell").to_string();
        assert!(error.contains("Match host="), "{error}");
        let b = host(&config, "spark-b").expect("read");
        assert!(
            b.reachable().is_ok(),
            "the block is not for it, whatever the rest says"
        );
    }

    #[test]
    fn files_that_include_each_other_end() {
        let (home, config) = home(&[
            ("config", "Include config\nInclude config\nHost a\n"),
            ("long", "Include pad\nInclude pad\nHost b\n"),
        ]);
        let error = hosts(&config).expect_err("it includes itself twice");
        assert!(error.to_string().contains("512 files"), "{error}");
        let ssh = home.path().join(".ssh");
        std::fs::write(ssh.join("pad"), "# x\n".repeat(200_000)).expect("written");
        assert!(
            hosts(&ssh.join("long")).is_ok(),
            "one file of 0.8 MB, twice"
        );
        std::fs::write(ssh.join("pad"), "# x\n".repeat(300_000)).expect("written");
        let error = hosts(&ssh.join("long")).expect_err("1.2 MB");
        assert!(error.to_string().contains("1 MB"), "{error}");
        std::fs::write(&config, "Include /dev/zero\nHost a\n").expect("written");
        assert_eq!(hosts(&config).expect("a device is no file").len(), 1);
    }
}
