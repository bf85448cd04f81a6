//! One measurement from one machine to the other: by `ib_write_bw`, or by the node program over TCP.
//!
//! Whoever waits for the other end is bounded by time on its own machine, so that nothing listens there
//! afterwards even if this computer is gone.

use std::sync::Mutex;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{Either, select};

use crate::network::verdict::perftest::{self, Perftest};
use crate::node::{Carried, Listening, PROGRAM, Refused};
use crate::ports::{Clock, Command, Machine, MachineError, Output};

/// How long each measurement by RDMA takes.
const RDMA_SECONDS: u32 = 5;
/// And by TCP, which shows the same number sooner.
const TCP_SECONDS: u32 = 3;
/// One stream does not fill a rail.
const TCP_STREAMS: u32 = 8;
/// After this many seconds the tool is ended on its own machine, whatever it waits for.
const RDMA_LIMIT: &str = "25";
/// How often the client looks whether the other end waits for it yet, and how long between.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(300);

/// One end of a rail.
#[derive(Clone)]
pub(super) struct LinkEnd<'a> {
    pub machine: &'a dyn Machine,
    pub address: String,
    /// The RDMA device on it.
    pub device: Option<String>,
    /// The GID with its address; left to the tool where it is not known.
    pub gid: Option<u32>,
}

/// Why there is no number.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum MeasureError {
    /// The machine itself.
    Machine(String, MachineError),
    /// Nothing came over the link, for this reason.
    Nothing(String),
}

impl LinkEnd<'_> {
    fn lost(&self, error: MachineError) -> MeasureError {
        match error {
            // It waited for what never came.
            MachineError::TimedOut { program, seconds } => {
                MeasureError::Nothing(format!("`{program}` did not end within {seconds} s"))
            }
            error => MeasureError::Machine(self.machine.name().to_owned(), error),
        }
    }
}

/// Whether the tool is on a machine.
pub(super) async fn has_tool(machine: &dyn Machine) -> Result<bool, MachineError> {
    let asked = machine
        .exec(&Command::new("ib_write_bw", ["--version"]))
        .await?;
    // Its versions do not agree on how asking for the version ends; the shell's words are fixed.
    Ok(!matches!(asked.status, 126 | 127))
}

/// The tool's command at one end; the sender names the other.
pub(super) fn rdma_command(end: &LinkEnd<'_>, to: Option<&str>, port: u16) -> Command {
    let mut words: Vec<String> = ["--kill-after=2", RDMA_LIMIT, "ib_write_bw"]
        .map(str::to_owned)
        .to_vec();
    if let Some(device) = &end.device {
        words.extend(["-d".to_owned(), device.clone()]);
    }
    if let Some(gid) = end.gid {
        words.extend(["-x".to_owned(), gid.to_string()]);
    }
    words.extend(["-D".to_owned(), RDMA_SECONDS.to_string()]);
    words.extend(["-F", "--report_gbits", "-p"].map(str::to_owned));
    words.push(port.to_string());
    words.extend(["--bind_source_ip".to_owned(), end.address.clone()]);
    words.extend(to.map(str::to_owned));
    Command::new("timeout", words)
}

/// Measures by RDMA. `port` is one that no other measurement uses, so that none meets a leftover.
pub(super) async fn rdma(
    from: &LinkEnd<'_>,
    to: &LinkEnd<'_>,
    port: u16,
    clock: &dyn Clock,
) -> Result<Perftest, MeasureError> {
    let (server, client) = (
        rdma_command(to, None, port),
        rdma_command(from, Some(&to.address), port),
    );
    let read = |output: &Output| {
        perftest::parse(&output.text()).ok_or_else(|| {
            MeasureError::Nothing(perftest::complaint(&output.text(), &output.error_text()))
        })
    };
    let waiting = to.machine.exec(&server);
    let sending = async {
        let mut tries = 1;
        loop {
            let output = from.machine.exec(&client).await;
            let result = read(&output.map_err(|e| from.lost(e))?);
            // The tool does not say when it waits, so the client tries until it does.
            match &result {
                Err(MeasureError::Nothing(why)) if why.contains("connect") && tries < TRIES => {
                    tries += 1;
                }
                _ => return result,
            }
            clock.wait(BETWEEN).await;
        }
    };
    futures::pin_mut!(waiting, sending);
    match select(waiting, sending).await {
        // The numbers are the sender's; the other end is only waited for.
        Either::Right((Ok(sent), waiting)) => {
            waiting.await.map_err(|e| to.lost(e))?;
            Ok(sent)
        }
        Either::Right((Err(miss), _)) => Err(miss),
        Either::Left((waited, sending)) => {
            read(&waited.map_err(|e| to.lost(e))?)?;
            sending.await
        }
    }
}

/// Measures by the node program. Gives Gb/s.
pub(super) async fn tcp(from: &LinkEnd<'_>, to: &LinkEnd<'_>) -> Result<f64, MeasureError> {
    let (seconds, streams) = (TCP_SECONDS.to_string(), TCP_STREAMS.to_string());
    let extent = ["--seconds", &seconds, "--streams", &streams];
    let server = ["bandwidth", "serve", "--listen", &to.address];
    let server = Command::new(PROGRAM, server.into_iter().chain(extent));
    let (tell, told) = oneshot::channel::<Listening>();
    let tell = Mutex::new(Some(tell));
    let refusal = Mutex::new(None::<String>);
    let mut on_line = |line: &str| {
        if let Ok(at) = serde_json::from_str::<Listening>(line) {
            let tell = tell.lock().ok().and_then(|mut t| t.take());
            // Nobody waits for it when the measurement was given up.
            let _ = tell.map(|t| t.send(at));
        } else if let (Ok(words), Ok(mut kept)) =
            (serde_json::from_str::<Refused>(line), refusal.lock())
        {
            *kept = Some(reason(&words));
        }
    };
    let waiting = to.machine.lines(&server, &mut on_line);
    let sending = async {
        let Ok(at) = told.await else {
            return Err(MeasureError::Nothing("the other end did not listen".into()));
        };
        let to = format!("{}:{}", to.address, at.port);
        let client = ["bandwidth", "send", "--to", &to];
        let client = Command::new(PROGRAM, client.into_iter().chain(extent));
        let output = from.machine.exec(&client.stdin(at.token)).await;
        let output = output.map_err(|e| from.lost(e))?;
        let text = output.text();
        let line = text.lines().next().unwrap_or_default();
        serde_json::from_str::<Carried>(line)
            .map(|c| c.gbps)
            .map_err(|_| {
                let refused = serde_json::from_str::<Refused>(line);
                MeasureError::Nothing(refused.map_or_else(|_| output.error_text(), |r| reason(&r)))
            })
    };
    futures::pin_mut!(waiting, sending);
    match select(waiting, sending).await {
        Either::Right((sent, _)) => sent,
        Either::Left((waited, sending)) => {
            let waited = waited.map_err(|e| to.lost(e))?;
            if !waited.ok() {
                let why = refusal.lock().ok().and_then(|mut r| r.take());
                return Err(MeasureError::Nothing(why.unwrap_or_else(|| {
                    waited.error_text().trim_end_matches('.').to_owned()
                })));
            }
            sending.await
        }
    }
}

fn reason(refused: &Refused) -> String {
    let cause = refused.problem.cause.as_ref();
    cause
        .unwrap_or(&refused.problem.message)
        .trim_end_matches('.')
        .to_owned()
}

#[cfg(test)]
#[path = "measure_tests.rs"]
mod tests;
