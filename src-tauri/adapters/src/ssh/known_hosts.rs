//! The host keys that the person's own ssh knows: `~/.ssh/known_hosts` and the other files that it is told to read.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use russh::keys::{Algorithm, HashAlg, PublicKey};
use sha1::Sha1;
use tandem_domain::pattern::wildcard;

/// A longer file is read up to here. A line of it has some hundred bytes.
const MOST: u64 = 16 << 20;

/// What the files say about a host.
#[derive(Debug, Default)]
pub struct KnownHosts(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    place: Place,
    revoked: bool,
    key: PublicKey,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
}

/// What the files say about a key that a host shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The host is not in them.
    New,
    /// The host is in them with this key.
    Known(Place),
    /// The host is in them with another key of the same kind.
    Changed {
        /// Where.
        place: Place,
        /// That key's fingerprint, `SHA256:…`.
        fingerprint: String,
    },
    /// The host is in them with keys of other kinds, of which it shows none.
    OtherKind(Place),
    /// The key must not be accepted from this host.
    Revoked(Place),
}

impl KnownHosts {
    /// What these files say about a host of this name: `spark-a`, or `[spark-a]:2222` where the port is not 22. A
    /// file that is not there says nothing; a line that cannot be read is passed over, as ssh does.
    pub fn of(files: &[PathBuf], name: &str) -> Self {
        let mut entries = Vec::new();
        for file in files {
            for (at, line) in text(file).lines().enumerate() {
                let place = || Place {
                    file: file.clone(),
                    line: at + 1,
                };
                if let Some((revoked, key)) = entry(line, name) {
                    entries.push(Entry {
                        place: place(),
                        revoked,
                        key,
                    });
                }
            }
        }
        Self(entries)
    }

    /// The kinds of keys by which the host is known; it is asked for these first.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.good().map(|e| e.key.algorithm())
    }

    fn good(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(|e| !e.revoked)
    }

    /// What they say about this key, given as an OpenSSH line. A key that cannot be read is new.
    pub fn standing(&self, openssh_line: &str) -> Standing {
        let Ok(shown) = PublicKey::from_openssh(openssh_line) else {
            return Standing::New;
        };
        let same = |e: &&Entry| e.key.key_data() == shown.key_data();
        if let Some(entry) = self.0.iter().find(|e| e.revoked && same(e)) {
            return Standing::Revoked(entry.place.clone());
        }
        if let Some(entry) = self.good().find(same) {
            return Standing::Known(entry.place.clone());
        }
        let kind = |e: &&Entry| same_kind(&e.key.algorithm(), &shown.algorithm());
        if let Some(entry) = self.good().find(kind) {
            return Standing::Changed {
                place: entry.place.clone(),
                fingerprint: entry.key.fingerprint(HashAlg::Sha256).to_string(),
            };
        }
        match self.good().next() {
            Some(entry) => Standing::OtherKind(entry.place.clone()),
            None => Standing::New,
        }
    }
}

/// Whether two keys are of one kind, whatever they sign with.
pub(super) fn same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    match one {
        Algorithm::Rsa { .. } => matches!(other, Algorithm::Rsa { .. }),
        one => one == other,
    }
}

fn text(file: &Path) -> String {
    use std::io::Read as _;
    // A pipe or a device may have no end.
    if !std::fs::metadata(file).is_ok_and(|meta| meta.is_file()) {
        return String::new();
    }
    let mut bytes = Vec::new();
    match std::fs::File::open(file).and_then(|f| f.take(MOST).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "known host keys were not read");
            String::new()
        }
    }
}

/// The key of a line that is about this host, and whether it is revoked.
fn entry(line: &str, name: &str) -> Option<(bool, PublicKey)> {
    let mut words = line.split_whitespace();
    let first = words.next().filter(|w| !w.starts_with('#'))?;
    let (revoked, hosts) = match first {
        "@revoked" => (true, words.next()?),
        // The key of an authority is no host's key, and Tandem accepts no certificates.
        marker if marker.starts_with('@') => return None,
        hosts => (false, hosts),
    };
    if !is_about(hosts, name) {
        return None;
    }
    let key = format!("{} {}", words.next()?, words.next()?);
    Some((revoked, PublicKey::from_openssh(&key).ok()?))
}

/// Whether a list of patterns, or a hashed name, means this host.
fn is_about(hosts: &str, name: &str) -> bool {
    if let Some(hashed) = hosts.strip_prefix("|1|") {
        return is_hash_of(hashed, name);
    }
    let mut hit = false;
    for pattern in hosts.split(',') {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcard(pattern, name) => return false,
            Some(_) => {}
            None => hit |= wildcard(&pattern, name),
        }
    }
    hit
}

/// Whether `salt|hash` is the name's HMAC-SHA1, which is how `HashKnownHosts` hides names.
fn is_hash_of(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return false;
    };
    Hmac::<Sha1>::new_from_slice(&salt)
        .is_ok_and(|hmac| hmac.chain_update(name).verify_slice(&hash).is_ok())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::{KnownHosts, Place, Standing};

    /// A new key of ssh-keygen's: its line without the comment.
    fn key(folder: &tempfile::TempDir, kind: &str) -> String {
        let path = folder
            .path()
            .join(format!("key{:x}", rand::random::<u64>()));
        let made = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-t", kind, "-f"])
            .arg(&path)
            .status();
        assert!(made.expect("ssh-keygen runs").success());
        let line = std::fs::read_to_string(path.with_extension("pub")).expect("its line");
        let words: Vec<&str> = line.split_whitespace().take(2).collect();
        words.join(" ")
    }

    fn place(file: &std::path::Path, line: usize) -> Place {
        let file = PathBuf::from(file);
        Place { file, line }
    }

    #[test]
    fn a_key_is_known_changed_revoked_or_new_as_ssh_sees_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("known_hosts");
        let [one, two, bad] = [0; 3].map(|_| key(&folder, "ed25519"));
        let ecdsa = key(&folder, "ecdsa");
        let text = format!(
            "# mine\nspark-a,192.168.1.20 {one} comment\n[spark-a]:2222 {two}\n*.lan,!b.lan {one}\n\
             @revoked * {bad}\n@cert-authority * {two}\nspark-e {ecdsa}\nnot a line\n"
        );
        std::fs::write(&file, text).expect("written");
        let files = [folder.path().join("none"), file.clone()];
        let standing = |name: &str, key: &str| KnownHosts::of(&files, name).standing(key);
        assert_eq!(standing("spark-a", &one), Standing::Known(place(&file, 2)));
        assert_eq!(
            standing("192.168.1.20", &one),
            Standing::Known(place(&file, 2))
        );
        assert_eq!(
            standing("[spark-a]:2222", &two),
            Standing::Known(place(&file, 3))
        );
        assert!(
            matches!(standing("spark-a", &two), Standing::Changed { place: p, .. } if p.line == 2)
        );
        assert_eq!(standing("a.lan", &one), Standing::Known(place(&file, 4)));
        assert_eq!(standing("b.lan", &one), Standing::New);
        assert_eq!(
            standing("spark-a", &bad),
            Standing::Revoked(place(&file, 5))
        );
        assert_eq!(
            standing("elsewhere", &two),
            Standing::New,
            "an authority is no host"
        );
        assert_eq!(
            standing("spark-e", &one),
            Standing::OtherKind(place(&file, 7))
        );
    }

    #[test]
    fn hashed_names_of_ssh_keygen_are_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("known_hosts");
        let one = key(&folder, "ed25519");
        std::fs::write(&file, format!("spark-a {one}\n")).expect("written");
        let hashed = Command::new("ssh-keygen")
            .args(["-q", "-H", "-f"])
            .arg(&file)
            .output();
        assert!(hashed.expect("ssh-keygen runs").status.success());
        let text = std::fs::read_to_string(&file).expect("read");
        assert!(text.starts_with("|1|"), "{text}");
        let files = [file.clone()];
        let known = KnownHosts::of(&files, "spark-a");
        assert_eq!(known.standing(&one), Standing::Known(place(&file, 1)));
        assert_eq!(
            KnownHosts::of(&files, "spark-b").standing(&one),
            Standing::New
        );
    }
}
