//! Measurements against machines that answer from a table.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures::future::{BoxFuture, FutureExt};

use super::*;
use crate::ports::RemoteFile;
use crate::problem::{Code, Problem};

type Answer = dyn Fn(&Command) -> Result<Output, MachineError> + Send + Sync;

/// A machine whose commands are answered by a function; one that waits for ever answers with `None`.
struct Fake {
    name: &'static str,
    answer: Box<Answer>,
    /// Whether commands end only when they are dropped, after their lines were handed over.
    waits: bool,
    asked: Mutex<Vec<Command>>,
}

fn fake(
    name: &'static str,
    answer: impl Fn(&Command) -> Result<Output, MachineError> + Send + Sync + 'static,
) -> Fake {
    Fake {
        name,
        answer: Box::new(answer),
        waits: false,
        asked: Mutex::new(Vec::new()),
    }
}

fn printed(status: i32, stdout: &str, stderr: &str) -> Result<Output, MachineError> {
    Ok(Output {
        status,
        stdout: stdout.into(),
        stderr: stderr.into(),
    })
}

#[async_trait]
impl Machine for Fake {
    fn name(&self) -> &str {
        self.name
    }
    async fn exec(&self, command: &Command) -> Result<Output, MachineError> {
        self.asked.lock().unwrap().push(command.clone());
        let answer = (self.answer)(command);
        if self.waits {
            futures::future::pending::<()>().await;
        }
        answer
    }
    async fn lines(
        &self,
        command: &Command,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<Output, MachineError> {
        self.asked.lock().unwrap().push(command.clone());
        let answer = (self.answer)(command)?;
        answer.text().lines().for_each(on_line);
        if self.waits {
            futures::future::pending::<()>().await;
        }
        Ok(answer)
    }
    async fn read(&self, _: &str, _: bool) -> Result<Option<Vec<u8>>, MachineError> {
        unreachable!("measuring reads no file")
    }
    async fn write(&self, _: &RemoteFile) -> Result<(), MachineError> {
        unreachable!("measuring writes no file")
    }
    async fn upload(
        &self,
        _: &Path,
        _: &str,
        _: u32,
        _: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError> {
        unreachable!("measuring sends no file")
    }
    async fn reconnect(&self) {}
}

/// Counts its waits and lets nobody wait.
#[derive(Default)]
struct Waits(AtomicU32);

impl Clock for Waits {
    fn now_ms(&self) -> i64 {
        0
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn wait(&self, _: Duration) -> BoxFuture<'static, ()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        futures::future::ready(()).boxed()
    }
}

fn end<'a>(machine: &'a Fake, last: u8) -> LinkEnd<'a> {
    LinkEnd {
        machine,
        address: format!("192.168.100.{last}"),
        device: Some("rocep1s0f1".into()),
        gid: Some(3),
    }
}

const TABLE: &str = " #bytes #iterations BW peak[Gb/sec] BW average[Gb/sec] MsgRate[Mpps]\n 65536 10 0.00 109.29 0.1\n";

#[tokio::test]
async fn the_client_tries_until_the_other_end_waits() {
    let tries = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&tries);
    let a = fake("a", move |_| {
        if counted.fetch_add(1, Ordering::Relaxed) < 3 {
            return printed(1, "", "Couldn't connect to 192.168.100.11:18600\n");
        }
        printed(0, TABLE, "")
    });
    let b = fake("b", |_| printed(0, TABLE, ""));
    let clock = Waits::default();
    let read = rdma(&end(&a, 10), &end(&b, 11), 18600, &clock).await;
    assert_eq!(read.map(|p| p.gbps), Ok(109.29));
    assert_eq!(clock.0.load(Ordering::Relaxed), 3);
    let words = |m: &Fake| m.asked.lock().unwrap()[0].args.join(" ");
    assert_eq!(
        words(&b),
        "--kill-after=2 25 ib_write_bw -d rocep1s0f1 -x 3 -D 5 -F --report_gbits -p 18600 --bind_source_ip 192.168.100.11",
        "the end that listens does so on its private address and for a limited time"
    );
    assert!(words(&a).ends_with("--bind_source_ip 192.168.100.10 192.168.100.11"));
}

#[tokio::test]
async fn an_end_nobody_reaches_is_given_up_with_the_tools_words() {
    let a = fake("a", |_| {
        printed(1, "", "Couldn't connect to 192.168.100.11:18600\n")
    });
    let mut b = fake("b", |_| printed(0, TABLE, ""));
    b.waits = true;
    let missed = rdma(&end(&a, 10), &end(&b, 11), 18600, &Waits::default()).await;
    let why = "Couldn't connect to 192.168.100.11:18600".to_owned();
    assert_eq!(missed, Err(MeasureError::Nothing(why)));
    assert_eq!(a.asked.lock().unwrap().len(), TRIES as usize);
}

#[tokio::test]
async fn a_header_without_a_result_is_no_measurement_whatever_the_status() {
    let a = fake("a", |_| {
        printed(
            0,
            "header\n",
            " Unable to Connect the HCA's through the link\n",
        )
    });
    let mut b = fake("b", |_| printed(0, "", ""));
    b.waits = true;
    let missed = rdma(&end(&a, 10), &end(&b, 11), 18600, &Waits::default()).await;
    assert!(matches!(missed, Err(MeasureError::Nothing(why)) if why.contains("Unable to Connect")));
}

#[tokio::test]
async fn a_listening_end_that_fails_says_why_and_a_lost_machine_is_one() {
    let mut a = fake("a", |_| printed(0, TABLE, ""));
    a.waits = true;
    let b = fake("b", |_| printed(1, "", "IB device rocep1s0f1 not found\n"));
    let missed = rdma(&end(&a, 10), &end(&b, 11), 18600, &Waits::default()).await;
    assert_eq!(
        missed,
        Err(MeasureError::Nothing(
            "IB device rocep1s0f1 not found".into()
        ))
    );
    let lost = || MachineError::Lost {
        during: "running `timeout`".into(),
    };
    let b = fake("b", move |_| Err(lost()));
    let missed = rdma(&end(&a, 10), &end(&b, 11), 18600, &Waits::default()).await;
    assert_eq!(missed, Err(MeasureError::Machine("b".into(), lost())));
}

#[tokio::test]
async fn the_tool_is_missing_by_the_shells_word_alone() {
    for (status, there) in [(0, true), (1, true), (10, true), (127, false), (126, false)] {
        let machine = fake("a", move |_| printed(status, "Version: 6.16\n", ""));
        assert_eq!(has_tool(&machine).await, Ok(there), "{status}");
    }
}

#[tokio::test]
async fn over_tcp_the_token_goes_through_stdin_alone() {
    let mut b = fake("b", |_| {
        printed(0, "{\"port\":4242,\"token\":\"word\"}\n", "")
    });
    b.waits = true;
    let a = fake("a", |_| {
        printed(
            0,
            "{\"bytes\":1000000000,\"seconds\":1.0,\"gbps\":8.0}\n",
            "",
        )
    });
    assert_eq!(tcp(&end(&a, 10), &end(&b, 11)).await, Ok(8.0));
    let asked = a.asked.lock().unwrap();
    assert_eq!(asked[0].stdin, b"word");
    assert!(asked[0].args.iter().all(|w| !w.contains("word")));
    assert!(asked[0].args.contains(&"192.168.100.11:4242".to_owned()));
    let served = b.asked.lock().unwrap();
    assert!(
        served[0]
            .args
            .windows(2)
            .any(|w| w == ["--listen", "192.168.100.11"])
    );
}

#[tokio::test]
async fn over_tcp_a_refusal_of_either_end_is_the_reason() {
    let refused = |why: &str| {
        let problem = Problem::new(Code::LinkFails, "The bandwidth was not measured.").cause(why);
        serde_json::to_string(&Refused { problem }).unwrap() + "\n"
    };
    let line = refused("Nothing can listen on 192.168.100.11: in use.");
    let b = fake("b", move |_| printed(1, &line, ""));
    let a = fake("a", |_| unreachable!("there is nowhere to send to"));
    let missed = tcp(&end(&a, 10), &end(&b, 11)).await;
    let why = "Nothing can listen on 192.168.100.11: in use".to_owned();
    assert_eq!(missed, Err(MeasureError::Nothing(why)));

    let mut b = fake("b", |_| printed(0, "{\"port\":1,\"token\":\"word\"}\n", ""));
    b.waits = true;
    let line = refused("192.168.100.11:1 was not reached: timed out.");
    let a = fake("a", move |_| printed(1, &line, ""));
    let missed = tcp(&end(&a, 10), &end(&b, 11)).await;
    let why = "192.168.100.11:1 was not reached: timed out".to_owned();
    assert_eq!(missed, Err(MeasureError::Nothing(why)));
}
