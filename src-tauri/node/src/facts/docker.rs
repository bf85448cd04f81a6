//! The Docker engine: whether it is open to the user, which one it is and where it came from.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tandem_domain::machine::DockerAccess;

use super::parse;

/// An engine that does not say its version in this time says none.
const PATIENCE: Duration = Duration::from_secs(3);

/// How the user stands to the engine, and its version. Tries the door rather than reading who may pass it.
pub(super) fn engine(socket: &Path) -> (DockerAccess, Option<String>) {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    match UnixStream::connect(socket) {
        Ok(stream) => (DockerAccess::Open, version(stream)),
        Err(e) if e.kind() == PermissionDenied => (DockerAccess::Denied, None),
        Err(e) if e.kind() == ConnectionRefused => (DockerAccess::NotRunning, None),
        Err(e) if e.kind() == NotFound && program().is_some() => (DockerAccess::NotRunning, None),
        Err(_) => (DockerAccess::Missing, None),
    }
}

/// Whether the `docker` that a user gets is snap's.
pub(super) fn from_snap() -> bool {
    program().is_some_and(|path| is_snap(&path))
}

/// HTTP/1.0, so that the answer comes whole and the engine closes the connection after it.
fn version(mut stream: UnixStream) -> Option<String> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    stream
        .write_all(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n")
        .ok()?;
    let mut answer = Vec::new();
    // The answer has some kilobytes; more than this is no engine.
    stream.take(1 << 20).read_to_end(&mut answer).ok()?;
    parse::docker_version(&answer)
}

/// The `docker` that comes first on the path.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/local/bin", "/snap/bin"].map(Into::into))
        .map(|folder| folder.join("docker"))
        .find(|path| path.is_file())
}

/// A program of snap's lies below `/snap` or leads to snap's own starter.
fn is_snap(path: &Path) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.starts_with("/snap")
        || real.starts_with("/snap")
        || real.file_name().is_some_and(|name| name == "snap")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_engine_says_its_version_and_a_closed_one_none() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let n = stream.read(&mut request).unwrap();
            assert!(request[..n].starts_with(b"GET /version HTTP/1.0\r\n"));
            let body = "{\"Version\":\"29.2.1\",\"ApiVersion\":\"1.53\"}\n";
            write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}"
            )
            .unwrap();
        });
        let (access, version) = engine(&socket);
        assert_eq!(access, DockerAccess::Open);
        assert_eq!(version.as_deref(), Some("29.2.1"));
        server.join().unwrap();
        assert_eq!(
            engine(&socket),
            (DockerAccess::NotRunning, None),
            "nobody listens any more"
        );
    }

    #[test]
    fn snap_is_told_by_where_its_program_leads() {
        let dir = tempfile::tempdir().unwrap();
        let starter = dir.path().join("snap");
        let own = dir.path().join("docker");
        std::fs::write(&starter, "").unwrap();
        std::fs::write(&own, "").unwrap();
        let link = dir.path().join("bin-docker");
        std::os::unix::fs::symlink(&starter, &link).unwrap();
        assert!(is_snap(&link));
        assert!(is_snap(Path::new("/snap/bin/docker")));
        assert!(!is_snap(&own));
    }
}
