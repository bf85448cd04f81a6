//! The programs that come with the app: the node program for each kind of machine, and the stand-in
//! server that a rehearsal needs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};
use tandem_domain::ports::{NodeBuild, NodePrograms};

use super::lock;

/// Where the programs are. Hashes are taken once, when first asked for.
pub struct Programs {
    folders: Vec<PathBuf>,
    known: Mutex<HashMap<PathBuf, String>>,
}

impl Programs {
    /// Looks beside the app, in its resources, and where `TANDEM_PROGRAMS` says.
    pub fn find(resources: Option<PathBuf>) -> Self {
        let mut folders: Vec<PathBuf> = std::env::var_os("TANDEM_PROGRAMS")
            .map(Into::into)
            .into_iter()
            .collect();
        let exe = std::env::current_exe().ok();
        if let Some(beside) = exe.as_deref().and_then(Path::parent) {
            folders.push(beside.to_owned());
            // A development build lies in `target/debug`, the programs in `target/node`.
            folders.extend(beside.parent().map(Path::to_owned));
        }
        folders.extend(resources);
        Self {
            folders,
            known: Mutex::default(),
        }
    }

    /// The stand-in server.
    pub fn standin(&self) -> Option<PathBuf> {
        let name = if cfg!(windows) {
            "tandem-standin.exe"
        } else {
            "tandem-standin"
        };
        self.folders
            .iter()
            .map(|f| f.join(name))
            .find(|p| p.is_file())
    }
}

impl NodePrograms for Programs {
    fn build(&self, arch: &str) -> Option<NodeBuild> {
        // The name comes from another machine; it must not lead out of the folder.
        if !arch.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return None;
        }
        let built = self
            .folders
            .iter()
            .map(|f| f.join("node").join(arch).join("tandem-node"));
        // The one of a development build, which a rehearsal on this computer is content with.
        let here = self
            .folders
            .iter()
            .filter(|_| arch == std::env::consts::ARCH)
            .map(|f| f.join("tandem-node"));
        let path = built.chain(here).find(|p| p.is_file())?;
        if let Some(sha256) = lock(&self.known).get(&path) {
            return Some(NodeBuild {
                sha256: sha256.clone(),
                path,
            });
        }
        let bytes = std::fs::read(&path).ok()?;
        let sha256: String = Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        lock(&self.known).insert(path.clone(), sha256.clone());
        Some(NodeBuild { path, sha256 })
    }
}
