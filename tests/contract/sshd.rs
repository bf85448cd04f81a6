//! A real OpenSSH server on this computer, with throw-away keys, for the user who runs the tests.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tandem_domain::step::key::OPTIONS;

/// The server; ends with its owner.
pub(crate) struct Sshd {
    folder: tempfile::TempDir,
    child: Child,
    pub(crate) port: u16,
    pub(crate) user: String,
}

impl Sshd {
    /// Starts a server that lets in whoever has [`Sshd::key`], with these lines in its configuration.
    pub(crate) fn start(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for key in ["host", "other_host", "client"] {
            run(
                "ssh-keygen",
                &[
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-f",
                    path(&folder.path().join(key)),
                ],
            );
        }
        let public = std::fs::read_to_string(folder.path().join("client.pub")).unwrap();
        // With the options that Tandem gives its own key on a machine: all that it does must go under them.
        let line = format!("{OPTIONS} {public}");
        std::fs::write(folder.path().join("authorized_keys"), line).unwrap();
        let port = free_port();
        let child = launch(folder.path(), "host", port, extra);
        let user =
            String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        let sshd = Self {
            folder,
            child,
            port,
            user: user.trim().to_owned(),
        };
        sshd.wait();
        sshd
    }

    /// The same machine set up afresh: another host key at the same address.
    pub(crate) fn change_host_key(&mut self) {
        self.stop();
        self.child = launch(self.folder.path(), "other_host", self.port, "");
        self.wait();
    }

    /// The private key that is let in.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    /// The host key's fingerprint as OpenSSH itself prints it.
    pub(crate) fn fingerprint(&self) -> String {
        let file = self.folder.path().join("host.pub");
        let output = Command::new("ssh-keygen")
            .args(["-l", "-f", path(&file)])
            .output()
            .unwrap();
        String::from_utf8(output.stdout)
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&self) {
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "sshd did not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn launch(folder: &Path, host_key: &str, port: u16, extra: &str) -> Child {
    // sshd insists on this empty folder when it is started by root.
    if std::fs::create_dir_all("/run/sshd").is_ok() {
        let _ = std::fs::set_permissions("/run/sshd", std::fs::Permissions::from_mode(0o755));
    }
    let base = folder.display();
    let config = format!(
        "{extra}\nPort {port}\nListenAddress 127.0.0.1\nHostKey {base}/{host_key}\n\
         AuthorizedKeysFile {base}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n\
         PermitRootLogin yes\nPasswordAuthentication yes\nSubsystem sftp /usr/lib/openssh/sftp-server\n"
    );
    std::fs::write(folder.join("config"), config).unwrap();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f", path(&folder.join("config"))])
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("openssh-server is installed")
}

/// A port that nobody holds at this moment.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub(crate) fn run(program: &str, args: &[&str]) {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
