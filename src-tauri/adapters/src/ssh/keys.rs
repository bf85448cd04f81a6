//! The key that Tandem makes for itself, once, so that passwords are not needed again.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};

use crate::data_folder::{FolderError, close_file};

/// The file in the app's data folder.
const FILE: &str = "id_ed25519";

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
    pub fn load_or_make(folder: &Path, comment: &str) -> Result<Self, KeyError> {
        let path = folder.join(FILE);
        if let Some(key) = Self::load(&path)? {
            return Ok(key);
        }
        Self::make(&path, comment)?;
        // Whoever was first, this is the key that is on disk.
        let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
        Self::load(&path)?.ok_or_else(|| KeyError::Read {
            path,
            source: gone(),
        })
    }

    /// The key in this file; `None` where there is no file.
    fn load(path: &Path) -> Result<Option<Self>, KeyError> {
        close_file(path).map_err(|source| KeyError::Open { source })?;
        match std::fs::read_to_string(path) {
            Ok(text) => match PrivateKey::from_openssh(&text) {
                Ok(key) => Ok(Some(Self(Arc::new(key)))),
                Err(source) => Err(KeyError::Parse {
                    path: path.to_owned(),
                    source,
                }),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Puts a new key into this file, unless one is there by then.
    fn make(path: &Path, comment: &str) -> Result<(), KeyError> {
        let make = |source| KeyError::Make { source };
        let mut key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
            .map_err(make)?;
        key.set_comment(comment);
        let text = key.to_openssh(LineEnding::LF).map_err(make)?;
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
            // A link, unlike a rename, leaves alone what is there.
            .and_then(|()| std::fs::hard_link(&beside, path));
        let _ = std::fs::remove_file(&beside);
        match written {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(write(e)),
            _ => Ok(()),
        }
    }

    /// The line for `authorized_keys`, without a line end.
    pub fn public_line(&self) -> String {
        self.0.public_key().to_openssh().unwrap_or_default()
    }

    pub(super) fn private(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.0)
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
    use super::OwnKey;

    #[test]
    fn the_key_is_made_once_and_belongs_to_the_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("tandem");
        let made = OwnKey::load_or_make(&data, "tandem@here").expect("made");
        let again = OwnKey::load_or_make(&data, "tandem@there").expect("read");
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
                            let key = OwnKey::load_or_make(folder.path(), "tandem");
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
        let made = OwnKey::load_or_make(folder.path(), "tandem").expect("made");
        let file = folder.path().join("id_ed25519");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&file, open).expect("set");
        let again = OwnKey::load_or_make(folder.path(), "tandem").expect("read");
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
        assert!(OwnKey::load_or_make(folder.path(), "x").is_err());
        let kept = std::fs::read_to_string(folder.path().join("id_ed25519")).expect("read");
        assert_eq!(kept, "not a key");
    }
}
