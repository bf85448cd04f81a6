//! The key that Tandem makes for itself, once, so that passwords are not needed again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::ssh_key::{Cipher, Kdf, LineEnding};
use russh::keys::{Algorithm, PrivateKey};
use tandem_domain::secret::Secret;

use crate::data_folder::{FolderError, close_file};

/// The file in the app's data folder.
const FILE: &str = "id_ed25519";

/// Rounds of the passphrase's derivation. They make a short passphrase dear to guess; this one has 256 random bits.
const ROUNDS: u32 = 1;

/// Our own ed25519 key.
#[derive(Clone)]
pub struct OwnKey(Arc<PrivateKey>);

/// Why there is no key of our own.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key's file could not be read.
    #[error("could not read the key `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        #[source]
        source: std::io::Error,
    },
    /// The key's file is not ours alone, and cannot be made so.
    #[error("the key cannot be trusted to be Tandem's alone")]
    Open {
        /// Which file, and why.
        #[source]
        source: FolderError,
    },
    /// The file holds something else.
    #[error("`{path}` is not a private key that Tandem can use")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        #[source]
        source: russh::keys::ssh_key::Error,
    },
    /// The key's file is locked, and what should open it is not there or does not.
    #[error("`{path}` is locked")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The key could not be made.
    #[error("could not make a key")]
    Make {
        /// What the system or the parser said.
        #[source]
        source: russh::keys::ssh_key::Error,
    },
    /// The key's file could not be written.
    #[error("could not write the key `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        #[source]
        source: std::io::Error,
    },
}

impl OwnKey {
    /// The key kept in this folder; made there, readable by the user alone, if there is none. Of several that
    /// make it at once all get the same. A key that others could read is closed to them; one that belongs to
    /// another user is refused. The comment tells a reader of `authorized_keys` whose it is.
    ///
    /// With a `passphrase` the file is locked by it, also one that lay there open. Without one a new file is open, and
    /// a locked one is an error that changes nothing.
    pub fn load_or_make(
        folder: &Path,
        comment: &str,
        passphrase: Option<&Secret>,
    ) -> Result<Self, KeyError> {
        let path = folder.join(FILE);
        if let Some(key) = Self::load(&path, passphrase)? {
            return Ok(key);
        }
        let make = |source| KeyError::Make { source };
        let mut key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
            .map_err(make)?;
        key.set_comment(comment);
        // A link, unlike a rename, leaves alone what is there.
        put(&path, &key, passphrase, |beside| {
            std::fs::hard_link(beside, &path)
        })?;
        // Whoever was first, this is the key that is on disk.
        let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
        Self::load(&path, passphrase)?.ok_or_else(|| KeyError::Read {
            path,
            source: gone(),
        })
    }

    /// The key in this file; `None` where there is no file.
    fn load(path: &Path, passphrase: Option<&Secret>) -> Result<Option<Self>, KeyError> {
        close_file(path).map_err(|source| KeyError::Open { source })?;
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(KeyError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let parse = |source| KeyError::Parse {
            path: path.to_owned(),
            source,
        };
        let key = PrivateKey::from_openssh(&text).map_err(parse)?;
        let key = match passphrase {
            None if !key.is_encrypted() => key,
            Some(passphrase) if !key.is_encrypted() => {
                put(path, &key, Some(passphrase), |beside| {
                    std::fs::rename(beside, path)
                })?;
                key
            }
            passphrase => passphrase
                .and_then(|passphrase| key.decrypt(passphrase.reveal()).ok())
                .ok_or_else(|| KeyError::Locked {
                    path: path.to_owned(),
                })?,
        };
        Ok(Some(Self(Arc::new(key))))
    }

    /// The line for `authorized_keys`, without a line end.
    pub fn public_line(&self) -> String {
        self.0.public_key().to_openssh().unwrap_or_default()
    }

    pub(super) fn private(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.0)
    }
}

/// Writes the key beside its file and has it `placed`. A file that is there by then is none of its business.
fn put(
    path: &Path,
    key: &PrivateKey,
    passphrase: Option<&Secret>,
    placed: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), KeyError> {
    let make = |source| KeyError::Make { source };
    let text = match passphrase {
        None => key.to_openssh(LineEnding::LF),
        Some(passphrase) => {
            let kdf = Kdf::Bcrypt {
                salt: rand::random::<[u8; 16]>().to_vec(),
                rounds: ROUNDS,
            };
            key.encrypt_with(Cipher::Aes256Ctr, kdf, rand::random(), passphrase.reveal())
                .and_then(|locked| locked.to_openssh(LineEnding::LF))
        }
    }
    .map_err(make)?;
    let write = |source| KeyError::Write {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(write)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let beside = folder.join(format!(".{FILE}.{:016x}", rand::random::<u64>()));
    let written = options
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| placed(&beside));
    let _ = std::fs::remove_file(&beside);
    match written {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(write(e)),
        _ => Ok(()),
    }
}

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "OwnKey({})",
            self.0
                .public_key()
                .fingerprint(russh::keys::HashAlg::Sha256)
        )
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::secret::Secret;

    use super::{KeyError, OwnKey};

    #[test]
    fn with_a_passphrase_it_lies_locked_also_where_it_lay_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("id_ed25519");
        let load = |passphrase: Option<&str>| {
            let passphrase = passphrase.map(Secret::new);
            OwnKey::load_or_make(folder.path(), "tandem", passphrase.as_ref())
        };
        let open = load(None).expect("made");
        let lies = std::fs::read(&file).expect("read");
        let locked = load(Some("one")).expect("locked").public_line();
        assert_eq!(locked, open.public_line(), "it stays the same key");
        assert_ne!(std::fs::read(&file).expect("read"), lies);

        let lies = std::fs::read(&file).expect("read");
        for wrong in [None, Some("another")] {
            let refused = load(wrong).expect_err("it is locked");
            assert!(matches!(refused, KeyError::Locked { .. }), "{refused}");
        }
        assert_eq!(load(Some("one")).expect("opened").public_line(), locked);
        assert_eq!(std::fs::read(&file).expect("read"), lies, "as it lay");

        std::fs::remove_file(&file).expect("removed");
        let other = load(Some("two")).expect("made").public_line();
        assert_ne!(other, locked);
        assert!(load(None).is_err(), "a new one is locked from the start");
        let files = std::fs::read_dir(folder.path()).expect("listed").count();
        assert_eq!(files, 1, "nothing is left beside the key");
    }

    #[test]
    fn the_key_is_made_once_and_belongs_to_the_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("tandem");
        let made = OwnKey::load_or_make(&data, "tandem@here", None).expect("made");
        let again = OwnKey::load_or_make(&data, "tandem@there", None).expect("read");
        assert_eq!(
            made.public_line(),
            again.public_line(),
            "the second call reads the first's key"
        );
        assert!(made.public_line().starts_with("ssh-ed25519 AAAA"));
        assert!(made.public_line().ends_with(" tandem@here"));
        let files: Vec<_> = std::fs::read_dir(&data).expect("listed").collect();
        assert_eq!(files.len(), 1, "nothing is left beside the key");
        let meta = std::fs::metadata(data.join("id_ed25519")).expect("there");
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777,
            0o600
        );
        assert!(
            !format!("{made:?}").contains("PRIVATE"),
            "Debug shows the fingerprint only"
        );
    }

    #[test]
    fn all_that_make_it_at_once_hold_the_same_key() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().expect("a folder");
            let start = std::sync::Barrier::new(4);
            let lines: Vec<String> = std::thread::scope(|scope| {
                let makers: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            start.wait();
                            let key = OwnKey::load_or_make(folder.path(), "tandem", None);
                            key.expect("made or read").public_line()
                        })
                    })
                    .collect();
                let made = makers.into_iter().map(|m| m.join().expect("no panic"));
                made.collect()
            });
            assert!(lines.iter().all(|line| *line == lines[0]), "{lines:?}");
            let files = std::fs::read_dir(folder.path()).expect("listed").count();
            assert_eq!(files, 1, "nothing is left beside the key");
        }
    }

    #[test]
    fn a_key_that_others_could_read_is_closed_to_them() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let made = OwnKey::load_or_make(folder.path(), "tandem", None).expect("made");
        let file = folder.path().join("id_ed25519");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&file, open).expect("set");
        let again = OwnKey::load_or_make(folder.path(), "tandem", None).expect("read");
        assert_eq!(again.public_line(), made.public_line());
        let mode = std::fs::metadata(&file)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_key_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("id_ed25519"), "not a key").expect("written");
        assert!(OwnKey::load_or_make(folder.path(), "x", None).is_err());
        let kept = std::fs::read_to_string(folder.path().join("id_ed25519")).expect("read");
        assert_eq!(kept, "not a key");
    }
}
