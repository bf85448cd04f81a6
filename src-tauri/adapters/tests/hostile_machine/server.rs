//! An SSH server that lets everybody in and then misbehaves.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey};
use russh::server::{self, Auth, ChannelOpenHandle, Handle, Msg, Session};
use russh::{Channel, ChannelId};
use russh_sftp::protocol::{
    Data, File, FileAttributes, Handle as FileHandle, Name, OpenFlags, Status, StatusCode,
};
use tandem_adapters::ssh::{Auth as Login, HostPin, SshMachine, SshTarget};
use tandem_domain::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the server does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// The command runs in a real shell whose start file prints first.
    ShellThatPrints,
    /// The marks are printed, then this without an end.
    Endless(Stream, &'static [u8]),
    /// The same before the marks.
    EndlessBefore(Stream),
    /// One byte a second after the marks.
    Drip,
    /// Nothing at all, and the channel stays open.
    Silence,
    /// The prompt of sudo again and again.
    AsksAlways,
    /// These words, an exit status, and never a mark.
    Says(&'static str),
    /// The channel is closed without a status.
    Closes,
    /// Half an answer, and the connection is cut.
    CutHalfWay,
    /// The status comes at once, and output without an end after it.
    EndlessAfterStatus,
    /// Commands are refused.
    RefusesCommands,
    /// The channel is not opened and not refused.
    NeverOpens,
    /// Every channel is refused.
    RefusesChannels,
    /// A third output without an end, which no command has.
    ThirdOutput,
    /// The end of the output, and never a status.
    EndsWithoutStatus,
    /// File transfers are refused.
    RefusesSftp,
    /// A login without an end of questions.
    AsksForEver,
    /// The connection is cut at the login.
    CutsLogin,
    /// SFTP after the words of a start file.
    SftpAfterWords,
    /// Words without an end in place of SFTP.
    SftpWords,
    /// A file without an end.
    SftpEndlessFile,
    /// A file whose parts have no bytes.
    SftpEmptyParts,
    /// A packet that says to be 4 GB long.
    SftpHugePacket,
}

/// One of a command's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// Starts a server and gives back a machine that leads to it.
pub(crate) async fn machine(behaviour: Behaviour, password: Option<&str>) -> SshMachine {
    let (port, pin) = server(behaviour).await;
    reached(port, &pin, password)
}

/// A machine that does what it should, whose connection is cut once it has sent so many bytes.
pub(crate) async fn cut_after(bytes: u64) -> SshMachine {
    let (port, pin) = server(Behaviour::ShellThatPrints).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let between = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut app, _)) = listener.accept().await {
            let mut machine = tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .expect("the server listens");
            tokio::spawn(async move {
                let (from, mut to) = machine.split();
                let (mut says, mut hears) = app.split();
                let mut first = from.take(bytes);
                // Whichever ends first, both connections end with it.
                tokio::select! {
                    _ = tokio::io::copy(&mut first, &mut hears) => {}
                    _ = tokio::io::copy(&mut says, &mut to) => {}
                }
            });
        }
    });
    reached(between, &pin, None)
}

/// Starts a server: its port and the line of its key.
async fn server(behaviour: Behaviour) -> (u16, String) {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519)
        .expect("a key is made");
    let pin = key.public_key().to_openssh().expect("a line");
    let config = Arc::new(server::Config {
        keys: vec![key],
        auth_rejection_time: Duration::ZERO,
        ..server::Config::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = Connection {
                behaviour,
                channels: Vec::new(),
            };
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = server::run_stream(config, stream, connection).await {
                    let _ = session.await;
                }
            });
        }
    });
    (port, pin)
}

fn reached(port: u16, pin: &str, password: Option<&str>) -> SshMachine {
    SshMachine::new(SshTarget {
        name: "spark-a".into(),
        address: "127.0.0.1".into(),
        port,
        user: "owner".into(),
        host_key: HostPin::parse(pin).expect("a key line"),
        auth: vec![Login::Password(Secret::new("any".to_owned()))],
        sudo_password: password.map(|p| Secret::new(p.to_owned())),
        environment: Vec::new(),
    })
}

/// What a server does before it is one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Greeting {
    /// Nothing, and the connection stays open.
    Silence,
    /// Lines without an end in front of its version, which a server may send some of.
    EndlessLines,
    /// Its version, and then bytes without an end that are no packets.
    Noise,
    /// Its version and nothing more.
    VersionAlone,
    /// The connection is closed at once.
    Closes,
}

/// Starts something that greets like this, and gives back its port.
pub(crate) async fn greeter(greeting: Greeting) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let (first, then): (&[u8], &[u8]) = match greeting {
            Greeting::Silence => (b"", b""),
            Greeting::EndlessLines => (b"", b"welcome\r\n"),
            Greeting::Noise => (b"SSH-2.0-x\r\n", &[0xff; 1024]),
            Greeting::VersionAlone => (b"SSH-2.0-x\r\n", b""),
            Greeting::Closes => return,
        };
        let _ = stream.write_all(first).await;
        if then.is_empty() {
            // Until the other side has had enough.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            return;
        }
        while stream.write_all(then).await.is_ok() {}
    });
    port
}

struct Connection {
    behaviour: Behaviour,
    channels: Vec<Channel<Msg>>,
}

impl server::Handler for Connection {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        match self.behaviour {
            Behaviour::CutsLogin => Err(russh::Error::Disconnect),
            Behaviour::AsksForEver => Ok(Auth::Reject {
                proceed_with_methods: Some((&[russh::MethodKind::KeyboardInteractive][..]).into()),
                partial_success: false,
            }),
            _ => Ok(Auth::Accept),
        }
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        _: Option<server::Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        Ok(Auth::Partial {
            name: "".into(),
            instructions: "".into(),
            prompts: vec![("One more question".into(), true)].into(),
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.push(channel);
        if self.behaviour == Behaviour::RefusesChannels {
            // Dropped, it is a refusal.
            drop(reply);
            return Ok(());
        }
        if self.behaviour == Behaviour::NeverOpens {
            // Dropped, it would be a refusal.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                drop(reply);
            });
        } else {
            reply.accept().await;
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.behaviour == Behaviour::RefusesCommands {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)?;
        let line = String::from_utf8_lossy(line).into_owned();
        if self.behaviour == Behaviour::ShellThatPrints {
            let own = self.channels.pop().expect("the channel of this request");
            tokio::spawn(in_a_shell(own, line));
        } else {
            let act = act(self.behaviour, session.handle(), channel, line);
            tokio::spawn(act);
        }
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.behaviour == Behaviour::RefusesSftp {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)?;
        let own = self.channels.pop().expect("the channel of this request");
        let behaviour = self.behaviour;
        tokio::spawn(async move {
            let mut stream = own.into_stream();
            let begin: &[u8] = match behaviour {
                Behaviour::SftpAfterWords => {
                    b"Welcome to spark-a\n\x1b[33m(base) is active\x1b[0m\n"
                }
                Behaviour::SftpHugePacket => {
                    &[0, 0, 0, 5, 2, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff, 101]
                }
                _ => b"",
            };
            if stream.write_all(begin).await.is_err() {
                return;
            }
            if behaviour == Behaviour::SftpWords {
                while stream.write_all(b"Welcome to spark-a\n").await.is_ok() {}
                return;
            }
            russh_sftp::server::run(stream, Files(behaviour)).await;
        });
        Ok(())
    }
}

/// Runs the line as sshd does, in a session of its own, after what a start file prints.
async fn in_a_shell(channel: Channel<Msg>, line: String) {
    let printed = "echo Welcome to spark-a; printf '\\033[33m(base) is active\\033[0m\\n' | tee /dev/stderr; ";
    let child = tokio::process::Command::new("setsid")
        .args(["--wait", "sh", "-c", &format!("{printed}{line}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child.expect("a shell starts");
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
    let (mut out, mut err) = ([0; 4096], [0; 4096]);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        tokio::select! {
            n = stdout.read(&mut out), if out_open => {
                let n = n.expect("read");
                out_open = n > 0;
                let _ = write.data_bytes(out[..n].to_vec()).await;
            }
            n = stderr.read(&mut err), if err_open => {
                let n = n.expect("read");
                err_open = n > 0;
                let _ = write.extended_data_bytes(1, err[..n].to_vec()).await;
            }
        }
    }
    let status = child.wait().await.expect("it ended").code().unwrap_or(255);
    let _ = write
        .exit_status(u32::try_from(status).unwrap_or(255))
        .await;
    let _ = write.eof().await;
    let _ = write.close().await;
}

/// The text between two signs, such as a mark in the line of a command.
fn mark(line: &str, name: &str) -> String {
    let Some(at) = line.find(&format!("<{name} ")) else {
        return String::new();
    };
    let rest = &line[at..];
    rest[..=rest.find('>').expect("a mark ends")].to_owned()
}

async fn act(behaviour: Behaviour, to: Handle, channel: ChannelId, line: String) {
    let marks = [mark(&line, "begun"), mark(&line, "root")].concat();
    let say = async |stream: Stream, bytes: &[u8]| match stream {
        Stream::Out => to.data(channel, bytes.to_vec()).await,
        Stream::Err => to.extended_data(channel, 1, bytes.to_vec()).await,
    };
    let begin = async || {
        let _ = say(Stream::Out, marks.as_bytes()).await;
        let _ = say(Stream::Err, marks.as_bytes()).await;
    };
    let endless = async |stream: Stream, bytes: &[u8]| {
        let block = bytes.repeat(16 * 1024 / bytes.len());
        while say(stream, &block).await.is_ok() {}
    };
    match behaviour {
        Behaviour::Endless(stream, bytes) => {
            begin().await;
            endless(stream, bytes).await;
        }
        Behaviour::EndlessBefore(stream) => endless(stream, b"motd\n").await,
        Behaviour::Drip => {
            begin().await;
            while say(Stream::Out, b".").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Behaviour::AsksAlways => {
            let _ = say(Stream::Out, mark(&line, "begun").as_bytes()).await;
            let _ = say(Stream::Err, mark(&line, "begun").as_bytes()).await;
            endless(Stream::Err, mark(&line, "sudo").as_bytes()).await;
        }
        Behaviour::Says(words) => {
            let _ = say(Stream::Out, words.as_bytes()).await;
            let _ = to.exit_status_request(channel, 1).await;
            let _ = to.close(channel).await;
        }
        Behaviour::Closes => {
            let _ = to.close(channel).await;
        }
        Behaviour::CutHalfWay => {
            begin().await;
            let _ = say(Stream::Out, b"{\"hostname\":\"spa").await;
            let bye = (String::new(), String::new());
            let _ = to
                .disconnect(russh::Disconnect::ByApplication, bye.0, bye.1)
                .await;
        }
        Behaviour::ThirdOutput => {
            begin().await;
            while to
                .extended_data(channel, 7, vec![b'x'; 16 * 1024])
                .await
                .is_ok()
            {}
        }
        Behaviour::EndsWithoutStatus => {
            begin().await;
            let _ = to.eof(channel).await;
        }
        Behaviour::EndlessAfterStatus => {
            begin().await;
            let _ = to.exit_status_request(channel, 0).await;
            endless(Stream::Out, b"more\n").await;
        }
        _ => {}
    }
}

/// The files of a server that lies about them.
struct Files(Behaviour);

impl russh_sftp::server::Handler for Files {
    type Error = StatusCode;

    fn unimplemented(&self) -> Self::Error {
        StatusCode::OpUnsupported
    }

    async fn realpath(&mut self, id: u32, _: String) -> Result<Name, Self::Error> {
        let files = vec![File::dummy("/home/owner")];
        Ok(Name { id, files })
    }

    async fn open(
        &mut self,
        id: u32,
        handle: String,
        _: OpenFlags,
        _: FileAttributes,
    ) -> Result<FileHandle, Self::Error> {
        Ok(FileHandle { id, handle })
    }

    async fn read(&mut self, id: u32, _: String, at: u64, len: u32) -> Result<Data, Self::Error> {
        let data = match self.0 {
            Behaviour::SftpEndlessFile => vec![b'x'; len as usize],
            Behaviour::SftpEmptyParts => Vec::new(),
            _ if at > 0 => return Err(StatusCode::Eof),
            _ => b"kept".to_vec(),
        };
        Ok(Data { id, data })
    }

    async fn close(&mut self, id: u32, _: String) -> Result<Status, Self::Error> {
        Ok(Status {
            id,
            status_code: StatusCode::Ok,
            error_message: String::new(),
            language_tag: String::new(),
        })
    }
}
