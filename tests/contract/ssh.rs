//! The SSH machine against a real sshd: the contract, logins, host keys, lost links, tunnels.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_adapters::docker::SshContainers;
use tandem_adapters::ssh::config::{AgentChoice, ConfigHost};
use tandem_adapters::ssh::keys::OwnKey;
use tandem_adapters::ssh::known_hosts::KnownHosts;
use tandem_adapters::ssh::{Auth, HostPin, SshMachine, SshTarget, SshTunnels, probe};
use tandem_domain::ports::{
    ApiError, Command, Machine, MachineError, PassedOver, RemoteFile, Tunnels,
};
use tandem_domain::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::machine::machine_contract;
use crate::relay::Relay;
use crate::sshd::{Sshd, free_port, run};

fn target(sshd: &Sshd) -> SshTarget {
    SshTarget {
        name: "spark-a".into(),
        address: "127.0.0.1".into(),
        port: sshd.port,
        user: sshd.user.clone(),
        host_key: HostPin::parse(&sshd.fingerprint()).unwrap(),
        auth: vec![Auth::KeyFile(sshd.key())],
        sudo_password: None,
        environment: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_holds_its_contract() {
    let sshd = Sshd::start("");
    machine_contract(&SshMachine::new(target(&sshd))).await;
}

#[tokio::test]
async fn the_host_key_is_read_without_logging_in_and_pins() {
    let mut sshd = Sshd::start("LogLevel VERBOSE");
    let key = probe("127.0.0.1", sshd.port, &KnownHosts::default())
        .await
        .unwrap();
    assert_eq!(key.fingerprint, sshd.fingerprint());
    assert_eq!(key.algorithm, "ssh-ed25519");
    let log = std::fs::read_to_string(sshd.folder().join("log")).unwrap();
    assert!(
        !log.contains("Accepted") && !log.contains("Failed"),
        "nobody tried to log in: {log}"
    );

    let mut pinned = target(&sshd);
    pinned.host_key = HostPin::from(&key);
    SshMachine::new(pinned.clone())
        .connect()
        .await
        .expect("the line pins the key");
    sshd.change_host_key();
    let shown = probe("127.0.0.1", sshd.port, &KnownHosts::default())
        .await
        .unwrap()
        .fingerprint;
    let error = SshMachine::new(pinned)
        .connect()
        .await
        .expect_err("another key");
    let address = "127.0.0.1".to_owned();
    assert_eq!(
        error,
        MachineError::HostKeyChanged {
            address,
            pinned: key.fingerprint,
            shown
        }
    );
    let log = std::fs::read_to_string(sshd.folder().join("log")).unwrap();
    assert!(
        !log.contains("Accepted"),
        "nothing was sent to the stranger: {log}"
    );
}

#[tokio::test]
async fn our_own_key_is_enough_once_it_is_installed() {
    let sshd = Sshd::start("");
    let own =
        Arc::new(OwnKey::load_or_make(&sshd.folder().join("app"), "tandem@test", None).unwrap());
    let mut with_own = target(&sshd);
    with_own.auth = vec![Auth::OwnKey(Arc::clone(&own))];
    let error = SshMachine::new(with_own.clone())
        .connect()
        .await
        .expect_err("not installed yet");
    assert_eq!(
        error,
        MachineError::KeyRefused {
            user: sshd.user.clone(),
            address: "127.0.0.1".into(),
            tried: 1,
            passed_over: Vec::new(),
        }
    );
    std::fs::write(
        sshd.folder().join("authorized_keys"),
        own.public_line() + "\n",
    )
    .unwrap();
    SshMachine::new(with_own).connect().await.expect("let in");
}

#[tokio::test]
async fn an_rsa_key_file_is_taken_and_a_locked_one_passed_over() {
    let sshd = Sshd::start("");
    let make = |name: &str, phrase: &str| {
        let file = sshd.folder().join(name);
        let path = file.to_str().unwrap();
        run(
            "ssh-keygen",
            &["-q", "-t", "rsa", "-b", "2048", "-N", phrase, "-f", path],
        );
        file
    };
    let (open, locked) = (make("rsa", ""), make("locked", "a phrase"));
    std::fs::copy(
        open.with_extension("pub"),
        sshd.folder().join("authorized_keys"),
    )
    .unwrap();
    let mut with_files = target(&sshd);
    with_files.auth = vec![Auth::KeyFile(locked.clone())];
    let error = SshMachine::new(with_files.clone())
        .connect()
        .await
        .expect_err("locked");
    let path = locked.display().to_string();
    assert_eq!(
        error,
        MachineError::KeyRefused {
            user: sshd.user.clone(),
            address: "127.0.0.1".into(),
            tried: 0,
            passed_over: vec![PassedOver::LockedKey { path }],
        }
    );
    let fix = error.problem("spark-a").fix.expect("a way");
    assert!(fix.command.is_some_and(|c| c.starts_with("ssh-add ")));
    with_files.auth.push(Auth::KeyFile(open));
    SshMachine::new(with_files)
        .connect()
        .await
        .expect("let in by the RSA key");
}

#[tokio::test]
async fn an_agents_keys_are_offered() {
    let sshd = Sshd::start("");
    let socket = sshd.folder().join("agent");
    let mut agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a", socket.to_str().unwrap()])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !socket.exists() {
        assert!(start.elapsed() < Duration::from_secs(10), "no agent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    run_agent(&socket, sshd.key().to_str().unwrap());
    // More keys than the server's patience, in front of the one that it takes.
    for n in 0..8 {
        let other = sshd.folder().join(format!("other{n}"));
        let path = other.to_str().unwrap();
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", path]);
    }
    let mut by_agent = target(&sshd);
    let agent_at = |path: &std::path::Path| AgentChoice::Socket(path.to_owned());
    by_agent.auth = vec![
        Auth::Agent(agent_at("/no/agent/here".as_ref())),
        Auth::Agent(agent_at(&socket)),
    ];
    let all = SshMachine::new(by_agent.clone()).connect().await;
    run_agent(&socket, "-D");
    for n in 0..8 {
        let other = sshd.folder().join(format!("other{n}"));
        run_agent(&socket, other.to_str().unwrap());
    }
    run_agent(&socket, sshd.key().to_str().unwrap());
    let full = SshMachine::new(by_agent.clone()).connect().await;
    let host = ConfigHost {
        identity_files: vec![sshd.key()],
        agent: agent_at(&socket),
        ..ConfigHost::plain("spark-a")
    };
    by_agent.auth = Auth::of_person(&host, &[]);
    // The file itself is not needed where the agent holds the key.
    by_agent.auth.truncate(1);
    let named = SshMachine::new(by_agent).connect().await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    all.expect("let in by the agent's key");
    assert!(
        matches!(full, Err(MachineError::KeyRefused { .. })),
        "the one that fits comes too late: {full:?}"
    );
    named.expect("the key that the configuration names comes first");
}

/// Has the agent at this socket take a key, or forget all (`-D`).
fn run_agent(socket: &std::path::Path, what: &str) {
    let done = std::process::Command::new("ssh-add")
        .arg(what)
        .env("SSH_AUTH_SOCK", socket)
        .output();
    assert!(done.unwrap().status.success(), "ssh-add {what}");
}

/// A user with a password, for as long as a test needs one.
struct ShadowUser(String);

impl ShadowUser {
    fn add(name: &str, password: &str) -> Self {
        let hash = std::process::Command::new("openssl")
            .args(["passwd", "-6", password])
            .output()
            .unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        run(
            "useradd",
            &["-M", "-d", "/tmp", "-s", "/bin/sh", "-p", hash.trim(), name],
        );
        Self(name.to_owned())
    }
}

impl Drop for ShadowUser {
    fn drop(&mut self) {
        let _ = std::process::Command::new("userdel")
            .args(["-f", &self.0])
            .output();
    }
}

#[tokio::test]
async fn a_password_is_taken_or_refused() {
    let sshd = Sshd::start("");
    let mut by_password = target(&sshd);
    by_password.auth.clear();
    let refused = |user: &str| MachineError::WrongPassword {
        user: user.into(),
        address: "127.0.0.1".into(),
    };
    by_password.auth = vec![Auth::Password(Secret::new("surely not this one"))];
    let error = SshMachine::new(by_password.clone())
        .connect()
        .await
        .expect_err("wrong");
    assert_eq!(error, refused(&sshd.user));
    if sshd.user != "root" {
        return;
    }
    let user = ShadowUser::add(&format!("tandem{}", std::process::id()), "it's a secret");
    by_password.user.clone_from(&user.0);
    // Keys that are not accepted do not use up the attempts that the password needs.
    let mut auth = vec![Auth::KeyFile("/no/such/key".into())];
    for n in 0..8 {
        auth.push(Auth::OwnKey(Arc::new(
            OwnKey::load_or_make(&sshd.folder().join(n.to_string()), "x", None).unwrap(),
        )));
    }
    auth.push(Auth::Password(Secret::new("it's a secret")));
    std::fs::write(sshd.folder().join("authorized_keys"), "").unwrap();
    by_password.auth = auth;
    SshMachine::new(by_password.clone())
        .connect()
        .await
        .expect("let in by the password");
    by_password.auth = vec![Auth::Password(Secret::new("it's a secre"))];
    let error = SshMachine::new(by_password)
        .connect()
        .await
        .expect_err("wrong");
    assert_eq!(error, refused(&user.0));
}

#[tokio::test]
async fn addresses_that_lead_nowhere_are_told_apart() {
    let error = probe("127.0.0.1", free_port(), &KnownHosts::default())
        .await
        .expect_err("nothing listens");
    assert!(
        matches!(&error, MachineError::Unreachable { detail, .. } if detail.contains("refused")),
        "{error:?}"
    );
    let error = probe("no-such-host.invalid", 22, &KnownHosts::default())
        .await
        .expect_err("no such name");
    assert!(
        matches!(error, MachineError::Unreachable { .. }),
        "{error:?}"
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 64];
        let _ = stream.read(&mut greeting).await;
        let _ = stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            .await;
    });
    let error = probe("127.0.0.1", port, &KnownHosts::default())
        .await
        .expect_err("a web server");
    assert!(matches!(error, MachineError::NotSsh { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_link_is_a_loss_and_the_next_call_connects_again() {
    let sshd = Sshd::start("");
    let relay = Relay::to(sshd.port).await;
    let mut through = target(&sshd);
    through.port = relay.port;
    let machine = Arc::new(SshMachine::new(through));
    machine.connect().await.unwrap();
    let mark = sshd.folder().join("pid");
    let script = format!("echo $$ >{}; sleep 7777", mark.display());
    let running = tokio::spawn({
        let machine = Arc::clone(&machine);
        async move {
            machine
                .exec(&Command::new("sh", ["-c", &script]).timeout(None))
                .await
        }
    });
    let pid = written(&mark).await;
    relay.cut();
    let error = running.await.unwrap().expect_err("the link is cut");
    assert!(matches!(error, MachineError::Lost { .. }), "{error:?}");
    let error = machine
        .exec(&Command::new("true", [""; 0]))
        .await
        .expect_err("still cut");
    assert!(
        matches!(
            error,
            MachineError::Lost { .. }
                | MachineError::NotSsh { .. }
                | MachineError::Unreachable { .. }
        ),
        "{error:?}"
    );
    relay.mend();
    let ended = Command::new(
        "sh",
        [
            "-c".to_owned(),
            format!("while kill -0 {pid} 2>/dev/null; do sleep 0.1; done"),
        ],
    );
    assert!(
        machine.exec(&ended).await.expect("a new connection").ok(),
        "the command ended with its link"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_falls_silent_is_noticed() {
    let sshd = Sshd::start("");
    let relay = Relay::to(sshd.port).await;
    let mut through = target(&sshd);
    through.port = relay.port;
    let machine = SshMachine::new(through);
    machine.connect().await.unwrap();
    let start = Instant::now();
    relay.freeze();
    let error = machine
        .exec(&Command::new("true", [""; 0]))
        .await
        .expect_err("silent");
    assert!(matches!(error, MachineError::Lost { .. }), "{error:?}");
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "after {:?}",
        start.elapsed()
    );
    relay.mend();
    assert!(
        machine
            .exec(&Command::new("true", [""; 0]))
            .await
            .expect("a new connection")
            .ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_from_other_failures() {
    let sshd = Sshd::start("");
    if sshd.user != "root" {
        return;
    }
    let disk = sshd.folder().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let disk = disk.to_str().unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]);
    let machine = SshMachine::new(target(&sshd));
    let path = format!("{disk}/big");
    let file = RemoteFile {
        path: path.clone(),
        content: vec![1; 3 << 20],
        mode: 0o644,
        sudo: false,
    };
    let outcome = machine.write(&file).await;
    // The failed file goes away by itself, a moment later.
    let left = Command::new(
        "sh",
        [
            "-c".to_owned(),
            format!(
                "for n in $(seq 100); do [ -z \"$(ls -A {disk})\" ] && exit 0; sleep 0.1; done; ls -A {disk}; exit 1"
            ),
        ],
    );
    let left = machine.exec(&left).await;
    run("umount", &[disk]);
    assert_eq!(outcome, Err(MachineError::DiskFull { path }));
    assert!(
        left.as_ref().is_ok_and(tandem_domain::ports::Output::ok),
        "left behind: {left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_at_once_share_one_connection() {
    let sshd = Sshd::start("LogLevel VERBOSE");
    let machine = SshMachine::new(target(&sshd));
    let echo = |n: usize| {
        let machine = &machine;
        async move {
            machine
                .exec(&Command::new("echo", [n.to_string()]))
                .await
                .unwrap()
                .text()
        }
    };
    let all = futures::future::join_all((0..60).map(echo)).await;
    assert!(
        all.iter()
            .enumerate()
            .all(|(n, text)| *text == format!("{n}\n")),
        "{all:?}"
    );
    let log = std::fs::read_to_string(sshd.folder().join("log")).unwrap();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_reaches_a_server_of_the_machine_and_opens_no_port_here() {
    let sshd = Sshd::start("");
    let machine = Arc::new(SshMachine::new(target(&sshd)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let body = r#"{"data":[{"id":"step-3.7-flash","max_model_len":4096}]}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    });
    let containers = Arc::new(SshContainers::new(machine.clone()));
    let tunnels = SshTunnels::new(machine, containers);
    let models = tunnels.api(port).models().await.unwrap();
    assert_eq!(models[0].id, "step-3.7-flash");
    let error = tunnels
        .api(free_port())
        .health()
        .await
        .expect_err("nothing listens");
    assert!(matches!(error, ApiError::NotListening { .. }), "{error:?}");
}

/// Docker's socket is opened by its path, which not every option of a key's line lets through.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_opens_by_its_path_under_the_options_of_tandems_key() {
    let sshd = Sshd::start("");
    let socket = sshd.folder().join("socket");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"hello").await;
        }
    });
    let port = free_port();
    let mut forward = std::process::Command::new("ssh");
    forward
        .args(["-F", "none", "-N", "-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"])
        .arg("-i")
        .arg(sshd.folder().join("client"))
        .args(["-p", &sshd.port.to_string()])
        .arg("-L")
        .arg(format!("127.0.0.1:{port}:{}", socket.display()))
        .arg(format!("{}@127.0.0.1", sshd.user));
    let mut forward = forward.spawn().expect("openssh-client is installed");
    let start = Instant::now();
    let mut heard = String::new();
    while heard.is_empty() && start.elapsed() < Duration::from_secs(10) {
        if let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
            let _ = stream.read_to_string(&mut heard).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    forward.kill().unwrap();
    forward.wait().unwrap();
    assert_eq!(heard, "hello");
}

/// Waits until a file has a line in it.
async fn written(path: &std::path::Path) -> String {
    let start = Instant::now();
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => assert!(
                start.elapsed() < Duration::from_secs(10),
                "never written: {}",
                path.display()
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
