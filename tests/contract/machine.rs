//! What every [`Machine`] must do, whoever implements it.

use std::time::Duration;

use tandem_domain::ports::{Command, Machine, MachineError, RemoteFile, TooLong};

/// How long a condition may take to come true.
const SOON: Duration = Duration::from_secs(10);

fn sh(script: &str) -> Command {
    Command::new("sh", ["-c", script])
}

/// Waits until the script succeeds on the machine.
async fn until(machine: &dyn Machine, script: &str) {
    let start = std::time::Instant::now();
    while !machine
        .exec(&sh(script))
        .await
        .expect("the machine answers")
        .ok()
    {
        assert!(start.elapsed() < SOON, "never became true: {script}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The whole contract, without sudo. Leaves nothing behind.
pub(crate) async fn machine_contract(machine: &dyn Machine) {
    let folder = machine
        .exec(&Command::new("mktemp", ["-d"]))
        .await
        .expect("a folder")
        .text()
        .trim()
        .to_owned();
    commands(machine).await;
    words(machine).await;
    streams(machine).await;
    ends(machine, &folder).await;
    files(machine, &folder).await;
    home(machine).await;
    machine.reconnect().await;
    let gone = machine.exec(&Command::new("rm", ["-rf", &folder])).await;
    assert!(gone.expect("a new connection").ok());
}

async fn commands(machine: &dyn Machine) {
    let output = machine
        .exec(&sh("echo out; echo err >&2; exit 7"))
        .await
        .expect("it ran");
    assert_eq!(output.status, 7, "the command's own status");
    assert_eq!(
        (output.text().as_str(), output.error_text().as_str()),
        ("out\n", "err")
    );
    let output = machine.exec(&sh("kill -KILL $$")).await.expect("it ran");
    assert_eq!(output.status, 137, "128 and the signal");
    let output = machine
        .exec(&Command::new("no-such-program", ["x"]))
        .await
        .expect("it ran");
    assert_eq!(output.status, 127, "no such program");
}

async fn words(machine: &dyn Machine) {
    let args = [
        "a b",
        "it's",
        "\"$HOME\" `id` \\n \\",
        "line\nbreak\n",
        "",
        "*",
        "~/x",
        "é€",
        "-n",
        "a;b&c|d>e",
    ];
    let mut command = Command::new("printf", ["%s\\0"]);
    command.args.extend(args.map(String::from));
    let output = machine.exec(&command).await.expect("it ran");
    assert_eq!(
        output.text(),
        args.join("\0") + "\0",
        "arguments arrive as they are"
    );
}

async fn streams(machine: &dyn Machine) {
    // Every byte value, in a size that fills all buffers on the way.
    let stdin: Vec<u8> = (0..5_000_000u32)
        .map(|n| (n % 251) as u8 ^ (n >> 12) as u8)
        .collect();
    let output = machine
        .exec(
            &Command::new("cat", [""; 0])
                .stdin(stdin.clone())
                .most(stdin.len()),
        )
        .await
        .expect("it ran");
    assert!(output.stdout == stdin, "5 MB of stdin come back");
    let output = machine
        .exec(&sh("exit 3").stdin(stdin))
        .await
        .expect("it ran");
    assert_eq!(
        output.status, 3,
        "a command that reads nothing ends all the same"
    );
    let output = machine.exec(&sh("cat; echo end")).await.expect("it ran");
    assert_eq!(
        output.text(),
        "end\n",
        "no stdin is the end of file at once"
    );

    let size = 64 << 20;
    let big = format!("head -c {size} /dev/zero; echo done >&2");
    let output = machine
        .exec(&sh(&big).most(size).timeout(Some(Duration::from_secs(120))))
        .await
        .expect("it ran");
    assert_eq!(
        (output.stdout.len(), output.error_text().as_str()),
        (size, "done")
    );

    for script in ["yes", "yes >&2"] {
        let endless = sh(script).most(10_000);
        let error = machine.exec(&endless).await.expect_err("it has no end");
        assert_eq!(error, MachineError::too_much(&endless, TooLong::Output));
    }
    let endless = sh("yes | tr -d '\\n'");
    let outcome = machine.lines(&endless, &mut |_| {}).await;
    let error = outcome.expect_err("the line has no end");
    assert_eq!(error, MachineError::too_much(&endless, TooLong::Line));

    let mut lines = Vec::new();
    let script = "printf 'one\\ntwo \\303\\251\\r\\n\\nlast'; echo aside >&2; exit 4";
    let mut take = |line: &str| lines.push(line.to_owned());
    let output = machine.lines(&sh(script), &mut take).await.expect("it ran");
    assert_eq!(lines, ["one", "two é", "", "last"]);
    assert_eq!(
        (
            output.status,
            output.stdout.len(),
            output.error_text().as_str()
        ),
        (4, 0, "aside")
    );
}

async fn ends(machine: &dyn Machine, folder: &str) {
    // A command whose caller goes away is ended, with its children.
    let mark = format!("{folder}/cancelled");
    let script = format!("sleep 7777 & echo $! >{mark}.child; echo $$ >{mark}; wait");
    {
        let endless = sh(&script).timeout(None);
        let mut running = machine.exec(&endless);
        let started = format!("[ -s {mark} ]");
        tokio::select! {
            outcome = &mut running => panic!("it ended by itself: {outcome:?}"),
            () = until(machine, &started) => {}
        }
    }
    until(machine, &format!("! kill -0 $(cat {mark}) 2>/dev/null")).await;
    until(
        machine,
        &format!("! kill -0 $(cat {mark}.child) 2>/dev/null"),
    )
    .await;

    // One that does not end in its time as well, even if it does not listen to TERM.
    let mark = format!("{folder}/slow");
    let script = format!("trap '' TERM; echo $$ >{mark}; while :; do sleep 1; done");
    let slow = sh(&script).timeout(Some(Duration::from_secs(2)));
    let error = machine.exec(&slow).await.expect_err("too slow");
    assert_eq!(
        error,
        MachineError::TimedOut {
            program: "sh".into(),
            seconds: 2
        }
    );
    until(machine, &format!("! kill -0 $(cat {mark}) 2>/dev/null")).await;

    // One that has ended has ended, though a child of its own holds its output.
    let start = std::time::Instant::now();
    let output = machine
        .exec(&sh("sleep 7777 & echo $!"))
        .await
        .expect("it ran");
    assert!(start.elapsed() < SOON, "it waited for the child");
    let child = output.text();
    assert!(child.trim().parse::<u32>().is_ok(), "{child:?}");
    let end = format!("kill {} 2>/dev/null; true", child.trim());
    assert!(machine.exec(&sh(&end)).await.expect("it ran").ok());

    // What has a session of its own was meant to stay.
    let mark = format!("{folder}/detached");
    let script = format!(
        "setsid sh -c 'echo $$ >{mark}; exec sleep 7777' >/dev/null 2>&1 </dev/null & while [ ! -s {mark} ]; do :; done"
    );
    assert!(machine.exec(&sh(&script)).await.expect("it ran").ok());
    let kill = format!("kill $(cat {mark})");
    assert!(
        machine.exec(&sh(&kill)).await.expect("it ran").ok(),
        "it outlived its command"
    );
}

async fn files(machine: &dyn Machine, folder: &str) {
    let path = format!("{folder}/new/deep/it's a file");
    assert_eq!(
        machine.read(&path, false).await,
        Ok(None),
        "no file is no error"
    );
    let mut file = RemoteFile {
        path: path.clone(),
        content: b"one\0\xff".to_vec(),
        mode: 0o640,
        sudo: false,
    };
    machine
        .write(&file)
        .await
        .expect("written, with its folders");
    assert_eq!(
        machine.read(&path, false).await,
        Ok(Some(file.content.clone()))
    );
    let mode = machine
        .exec(&Command::new("stat", ["-c", "%a", &path]))
        .await
        .expect("it ran");
    assert_eq!(mode.text(), "640\n");

    assert_eq!(
        machine.read(&format!("{path}/below"), false).await,
        Ok(None),
        "nor is a file where a folder would be"
    );

    // A reader that holds the old file keeps it: the new one takes its name, not its place.
    let number = || async {
        machine
            .exec(&Command::new("stat", ["-c", "%i", &path]))
            .await
            .expect("it ran")
            .text()
    };
    let before = number().await;
    file.content = vec![7; 3_000_001];
    machine.write(&file).await.expect("replaced");
    assert_ne!(
        number().await,
        before,
        "the new content has an inode of its own"
    );
    assert!(
        machine.read(&path, false).await == Ok(Some(file.content.clone())),
        "3 MB come back"
    );
    let list = machine
        .exec(&Command::new("ls", ["-A", &format!("{folder}/new/deep")]))
        .await;
    assert_eq!(
        list.expect("it ran").text(),
        "it's a file\n",
        "nothing is left beside it"
    );

    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), &file.content).unwrap();
    let target = format!("{folder}/up/program");
    let mut progress = Vec::new();
    machine
        .upload(local.path(), &target, 0o755, &mut |n| progress.push(n))
        .await
        .expect("sent");
    assert!(machine.read(&target, false).await == Ok(Some(file.content.clone())));
    assert_eq!(progress.last(), Some(&3_000_001));
    assert!(
        progress.len() > 1 && progress.is_sorted(),
        "progress goes up"
    );
    let runs = machine
        .exec(&Command::new("test", ["-x", &target]))
        .await
        .expect("it ran");
    assert!(runs.ok(), "the mode is set");
    let list = machine
        .exec(&Command::new("ls", ["-A", &format!("{folder}/up")]))
        .await;
    assert_eq!(list.expect("it ran").text(), "program\n", "nor beside it");
    let missing = machine
        .upload("/no/such/file".as_ref(), &target, 0o755, &mut |_| {})
        .await;
    assert!(
        matches!(missing, Err(MachineError::File { act: "read", .. })),
        "{missing:?}"
    );

    let error = machine
        .read(folder, false)
        .await
        .expect_err("a folder is no file");
    assert!(
        matches!(error, MachineError::File { act: "read", .. }),
        "{error:?}"
    );
    file.path = format!("{path}/below");
    let error = machine.write(&file).await.expect_err("a file is no folder");
    assert!(
        matches!(error, MachineError::File { act: "write", .. }),
        "{error:?}"
    );
    let cpus = machine
        .read("/proc/cpuinfo", false)
        .await
        .expect("read")
        .expect("there");
    assert!(
        cpus.len() > 100,
        "files whose size is a made-up 0 are read to their end"
    );
}

async fn home(machine: &dyn Machine) {
    let name = format!("tandem-contract-{}", std::process::id());
    let path = format!("~/{name}/program");
    let content = b"#!/bin/sh\necho \"here: $1\"\n".to_vec();
    machine
        .write(&RemoteFile {
            path: path.clone(),
            content: content.clone(),
            mode: 0o755,
            sudo: false,
        })
        .await
        .expect("written");
    assert_eq!(machine.read(&path, false).await, Ok(Some(content)));
    let output = machine
        .exec(&Command::new(&path, ["~/x"]))
        .await
        .expect("it ran");
    assert_eq!(
        output.text(),
        "here: ~/x\n",
        "the program's ~ is the home, an argument's is not"
    );
    let gone = machine
        .exec(&sh(&format!("rm -r \"$HOME/{name}\"")))
        .await
        .expect("it ran");
    assert!(gone.ok(), "it was in the home folder");
}
