//! What the person's own ssh makes of a name: the answer of `ssh -G`.

use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::{ConfigError, ConfigHost, DEFAULT_KEYS, Tokens, home};

/// How long ssh may take. A `Match exec` may ask the network.
const PATIENCE: Duration = Duration::from_secs(10);
/// More is no answer of ssh's.
const MOST: u64 = 1 << 20;
/// Stands for a user that no configuration names: ssh itself would answer with the local one.
const NO_USER: &str = "tandem-names-no-user";

/// Asks ssh; `None` where there is no ssh program, and where a name could mean something to a shell: a `Match exec`
/// puts it into a command line, and older versions of ssh do so as it is.
pub(super) fn ask(
    path: &Path,
    alias: &str,
    user: Option<&str>,
) -> Result<Option<ConfigHost>, ConfigError> {
    if !is_plain(alias) || !user.is_none_or(is_plain) {
        return Ok(None);
    }
    let mut command = Command::new("ssh");
    command.args(["-G", "-F", "/dev/stdin"]);
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    let started = command
        .args(["--", alias])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = PathBuf::from("ssh");
            return Err(ConfigError::Read { path, source });
        }
    };
    if let Some(mut stdin) = child.stdin.take() {
        // An ssh that does not read has something to say on stderr.
        let _ = stdin.write_all(files(path).as_bytes());
    }
    let slow = || ConfigError::Slow {
        alias: alias.to_owned(),
        seconds: PATIENCE.as_secs(),
    };
    let Some((text, words)) = hear(&mut child) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(slow());
    };
    if child.wait().is_ok_and(|status| status.success()) {
        return Ok(Some(read(&text, alias, home(path))));
    }
    let line = words.lines().map(str::trim).find(|l| !l.is_empty());
    let detail = line.unwrap_or("it gave no reason").trim_end_matches('.');
    Err(ConfigError::Refused {
        detail: detail.replace("/dev/stdin", &path.display().to_string()),
    })
}

/// Whether a name is one that no shell changes.
fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:%@[]+".contains(&b);
    !name.is_empty() && !name.starts_with('-') && name.bytes().all(plain)
}

/// The files that ssh itself would read: the person's, then the system's, then what holds without both. The first
/// value of a keyword counts. The home folder is the one that Tandem was started with.
fn files(path: &Path) -> String {
    let folder = path.parent().unwrap_or(Path::new("/")).display();
    format!(
        "Include \"{}\"\nInclude /etc/ssh/ssh_config\nHost *\nUser {NO_USER}\n\
         UserKnownHostsFile \"{folder}/known_hosts\" \"{folder}/known_hosts2\"\n",
        path.display()
    )
}

/// Both outputs to their ends; `None` if that takes too long.
fn hear(child: &mut Child) -> Option<(String, String)> {
    fn whole(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What came before an error is all there is.
            let _ = from.take(MOST).read_to_end(&mut bytes);
            let _ = tell.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        told
    }
    let (out, err) = (child.stdout.take()?, child.stderr.take()?);
    let (out, err) = (whole(out), whole(err));
    let text = out.recv_timeout(PATIENCE).ok()?;
    Some((text, err.recv_timeout(PATIENCE).ok()?))
}

/// Reads the answer: a keyword in lower case and its value on each line, without quotes.
pub(super) fn read(text: &str, alias: &str, home: &Path) -> ConfigHost {
    let lines = || text.lines().filter_map(|l| l.split_once(' '));
    let value = |keyword: &str| lines().find(|(k, _)| *k == keyword).map(|(_, v)| v);
    let given = |keyword: &str| value(keyword).filter(|v| *v != "none");
    let mut host = ConfigHost {
        alias: alias.to_owned(),
        host_name: value("hostname").unwrap_or(alias).to_owned(),
        port: value("port")
            .and_then(|v| v.parse().ok())
            .filter(|p| *p != 22),
        user: value("user").filter(|v| *v != NO_USER).map(str::to_owned),
        identities_only: value("identitiesonly") == Some("yes"),
        host_key_alias: given("hostkeyalias").map(str::to_owned),
        proxy: given("proxyjump")
            .or(given("proxycommand"))
            .map(str::to_owned),
        ..ConfigHost::default()
    };
    let tokens = Tokens { home, host: &host };
    let named = lines().filter(|(k, v)| *k == "identityfile" && !is_default(v));
    let identity_files = named.map(|(_, v)| tokens.path(v)).collect();
    let agent = value("identityagent").map(|v| tokens.agent(v));
    let known = ["userknownhostsfile", "globalknownhostsfile"].map(value);
    // Several paths stand on a line, and a path may have blanks in it; each begins at the root or the home folder.
    let known = known.into_iter().flatten().filter(|v| *v != "none");
    let known = known
        .flat_map(|v| paths(v))
        .map(|v| tokens.path(v))
        .collect();
    host.identity_files = identity_files;
    host.agent = agent.unwrap_or_default();
    host.known_hosts = known;
    host
}

/// Whether ssh names this key because nothing else names one.
fn is_default(value: &str) -> bool {
    let name = value.strip_prefix("~/.ssh/");
    name.is_some_and(|n| DEFAULT_KEYS.contains(&n) || matches!(n, "id_xmss" | "id_dsa"))
}

fn paths(value: &str) -> Vec<&str> {
    let begins = value.match_indices(' ').map(|(at, _)| at + 1);
    let begins = begins.filter(|at| value[*at..].starts_with(['/', '~', '%', '$']));
    let mut cuts: Vec<usize> = std::iter::once(0).chain(begins).collect();
    cuts.push(value.len() + 1);
    cuts.windows(2).map(|w| &value[w[0]..w[1] - 1]).collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{ask, paths, read};
    use crate::ssh::config::{AgentChoice, ConfigError};

    #[test]
    fn an_answer_is_read() {
        let text = "host spark-a\nuser tandem-names-no-user\nhostname 10.0.0.1\nport 2222\nidentitiesonly yes\n\
                    hostkeyalias spark\nidentityagent none\nidentityfile ~/.ssh/id_rsa\n\
                    identityfile ~/.ssh/%h\nproxyjump none\n\
                    userknownhostsfile /h/.ssh/known_hosts /h/my hosts\nglobalknownhostsfile none\n";
        let host = read(text, "spark-a", Path::new("/h"));
        assert_eq!(
            (host.host_name.as_str(), host.port),
            ("10.0.0.1", Some(2222))
        );
        assert_eq!(host.user, None);
        assert_eq!(host.identity_files, [PathBuf::from("/h/.ssh/10.0.0.1")]);
        assert_eq!(host.agent, AgentChoice::None);
        assert_eq!(host.known_as(2222), "spark");
        let known = ["/h/.ssh/known_hosts", "/h/my hosts"].map(PathBuf::from);
        assert_eq!(host.known_hosts, known);
        assert!(host.identities_only && host.proxy.is_none());
        assert_eq!(paths("/a b /c"), ["/a b", "/c"]);
    }

    /// Asks the real ssh, which every computer has on which the tests run.
    #[test]
    fn a_match_that_only_ssh_can_evaluate_counts() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("config");
        let config = "Match originalhost spark-a exec \"test 1 = 1\"\n ProxyJump gate\nHost spark-b\n User owner\n";
        std::fs::write(&path, config).expect("written");
        let through = ask(&path, "spark-a", None)
            .expect("an answer")
            .expect("an ssh");
        assert_eq!(through.proxy.as_deref(), Some("gate"));
        assert_eq!(
            through.user, None,
            "the local user is no user that was named"
        );
        let direct = ask(&path, "spark-b", None)
            .expect("an answer")
            .expect("an ssh");
        assert_eq!(direct.user.as_deref(), Some("owner"));
        assert!(direct.proxy.is_none());

        let mark = home.path().join("mark");
        let exec = format!("Match exec \"touch {} # %n\"\n Port 7\n", mark.display());
        std::fs::write(&path, exec).expect("written");
        for odd in ["a$(id)", "a;b", "-oProxyCommand=x", "a b"] {
            assert_eq!(ask(&path, odd, None).expect("no answer"), None, "{odd}");
            let as_user = ask(&path, "spark-a", Some(odd));
            assert_eq!(as_user.expect("no answer"), None, "{odd}");
        }
        assert!(!mark.exists(), "nothing was run for such a name");

        std::fs::write(&path, "Bogus yes\n").expect("written");
        match ask(&path, "spark-a", None) {
            Err(ConfigError::Refused { detail }) => {
                assert!(detail.contains("bogus"), "{detail}");
            }
            other => panic!("ssh refuses it too: {other:?}"),
        }
    }
}
