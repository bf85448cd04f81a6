//! An SSH server that lets one password in and runs what it is told in a real shell and OpenSSH's own file server.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// OpenSSH's, where Debian has it.
const SFTP: &str = "/usr/lib/openssh/sftp-server";

/// Starts the server and gives back its port. A shell's home and first folder of programs are these.
pub(crate) async fn start(password: String, home: PathBuf, programs: PathBuf) -> u16 {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519);
    let config = Arc::new(server::Config {
        keys: vec![key.expect("a key is made")],
        auth_rejection_time: Duration::ZERO,
        ..server::Config::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", programs.display());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = Connection {
                password: password.clone(),
                home: home.clone(),
                path: path.clone(),
                channels: HashMap::new(),
            };
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = server::run_stream(config, stream, connection).await {
                    let _ = session.await;
                }
            });
        }
    });
    port
}

struct Connection {
    password: String,
    home: PathBuf,
    path: String,
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Connection {
    fn run(&mut self, id: ChannelId, program: &str, arguments: &[&str]) {
        let Some(channel) = self.channels.remove(&id) else {
            return;
        };
        let mut command = Command::new("setsid");
        command
            .arg("--wait")
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", &self.path)
            .current_dir(&self.home);
        tokio::spawn(carry(channel, command));
    }
}

impl server::Handler for Connection {
    type Error = russh::Error;

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(if password == self.password {
            Auth::Accept
        } else {
            Auth::reject()
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        self.run(channel, "sh", &["-c", &String::from_utf8_lossy(line)]);
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        self.run(channel, SFTP, &[]);
        Ok(())
    }
}

/// Carries a program's three streams over a channel until it ends.
async fn carry(channel: Channel<Msg>, mut command: Command) {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.expect("it starts");
    let (mut stdin, mut stdout, mut stderr) = (
        child.stdin.take().expect("piped"),
        child.stdout.take().expect("piped"),
        child.stderr.take().expect("piped"),
    );
    let (mut read, write) = channel.split();
    tokio::spawn(async move {
        while let Some(message) = read.wait().await {
            if let russh::ChannelMsg::Data { data } = message
                && stdin.write_all(&data).await.is_err()
            {
                break;
            }
        }
    });
    let (mut out, mut err) = ([0; 32 * 1024], [0; 4096]);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        tokio::select! {
            n = stdout.read(&mut out), if out_open => {
                let n = n.unwrap_or(0);
                out_open = n > 0;
                let _ = write.data_bytes(out[..n].to_vec()).await;
            }
            n = stderr.read(&mut err), if err_open => {
                let n = n.unwrap_or(0);
                err_open = n > 0;
                let _ = write.extended_data_bytes(1, err[..n].to_vec()).await;
            }
        }
    }
    let status = child.wait().await.ok().and_then(|s| s.code());
    let status = status.and_then(|s| u32::try_from(s).ok()).unwrap_or(255);
    let _ = write.exit_status(status).await;
    let _ = write.eof().await;
    let _ = write.close().await;
}

/// A `sudo` that wants this password each time, as Ubuntu's does after `-k`. The file holds its hash alone.
pub(crate) fn write_sudo(folder: &Path, password_sha256: &str) {
    use std::os::unix::fs::PermissionsExt;
    let text = format!(
        "#!/bin/sh\n\
         # sudo -S -k -p PROMPT -- COMMAND, or sudo -n -- COMMAND\n\
         [ \"$1\" = -S ] || {{ echo 'sudo: a password is required' >&2; exit 1; }}\n\
         printf %s \"$4\" >&2\n\
         IFS= read -r word\n\
         sum=$(printf %s \"$word\" | sha256sum)\n\
         unset word\n\
         [ \"${{sum%% *}}\" = {password_sha256} ] || {{ echo 'sudo: 1 incorrect password attempt' >&2; exit 1; }}\n\
         shift 5\n\
         exec \"$@\"\n"
    );
    std::fs::create_dir_all(folder).expect("a folder");
    let path = folder.join("sudo");
    std::fs::write(&path, text).expect("written");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, open).expect("set");
}
