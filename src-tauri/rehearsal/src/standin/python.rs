//! In the place of `python3` with PyTorch: Tandem's own all-reduce, and no other program.
//!
//! Two ranks really send each other numbers over TCP at the addresses they are given, add them up and
//! check the sums, so that a link that is down or closed fails here as it would with PyTorch. There is no
//! GPU and no NCCL in it: it calls itself a stand-in for PyTorch, with Gloo's name for the backend.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_domain::network::verdict::perftest::STAND_IN;
use tandem_domain::step::all_reduce::PROGRAM as ALL_REDUCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::log::pace;

/// Bytes of the messages: as many as the program takes with Gloo, but smaller, for their speed means nothing.
const SIZES: [usize; 3] = [1 << 18, 1 << 20, 1 << 22];
/// The share of the time that PyTorch would take.
const SHARE: f64 = 0.1;

/// What a rank was told.
#[derive(Debug, Clone, PartialEq)]
struct PythonArgs {
    rank: usize,
    address: String,
    port: u16,
    seconds: f64,
    meet: Duration,
    limit: Duration,
}

impl PythonArgs {
    /// Reads what follows `-c PROGRAM`.
    fn parse(words: &[String]) -> Option<Self> {
        let value = |name: &str| {
            let at = words.iter().position(|w| w == name)?;
            words.get(at + 1).map(String::as_str)
        };
        let number = |name: &str| value(name)?.parse::<f64>().ok().filter(|n| *n >= 0.0);
        let time = |name: &str| Duration::try_from_secs_f64(number(name)?).ok();
        value("--nnodes").filter(|n| *n == "2")?;
        Some(Self {
            rank: value("--node-rank")?.parse().ok().filter(|r| *r < 2)?,
            address: value("--master-addr")?.to_owned(),
            port: value("--master-port")?.parse().ok()?,
            seconds: number("--seconds")?,
            meet: time("--meet-seconds")?,
            limit: time("--limit-seconds")?,
        })
    }
}

/// The whole program.
pub(super) fn main(words: &[String]) -> ExitCode {
    let [flag, program, rest @ ..] = words else {
        eprintln!("stand-in: this is no Python");
        return ExitCode::from(2);
    };
    if flag != "-c" || program != ALL_REDUCE {
        eprintln!("stand-in: this is no Python; it knows Tandem's all-reduce and nothing else");
        return ExitCode::from(2);
    }
    let Some(args) = PythonArgs::parse(rest) else {
        eprintln!("-c: error: the following arguments are required or wrong: {rest:?}");
        return ExitCode::from(2);
    };
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        return ExitCode::FAILURE;
    };
    runtime.block_on(async {
        tokio::select! {
            ended = tokio::time::timeout(args.limit, reduce(&args)) => match ended {
                Ok(Ok(())) => ExitCode::SUCCESS,
                Ok(Err(words)) => {
                    eprintln!("{words}");
                    ExitCode::FAILURE
                }
                Err(_) => {
                    eprintln!("Timeout (0:{:02}:{:02})!", args.limit.as_secs() / 60, args.limit.as_secs() % 60);
                    ExitCode::FAILURE
                }
            },
            _ = crate::stopped() => ExitCode::from(143),
        }
    })
}

fn say(what: &str, more: Value) {
    let mut line = json!({ "all-reduce": what });
    if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    println!("{line}");
}

async fn reduce(args: &PythonArgs) -> Result<(), String> {
    say("started", json!({"backend": "gloo", "torch": STAND_IN}));
    let (_store, mut other) = meet(args).await?;
    say("met", json!({}));
    let lost = |e: std::io::Error| {
        format!("RuntimeError: [stand-in for gloo] Connection closed by peer: {e}")
    };
    for size in SIZES {
        let time = Duration::from_secs_f64(args.seconds * SHARE / pace() / SIZES.len() as f64);
        let mine = vec![args.rank as f32 + 1.0; size / 4];
        let sum = exchange(&mut other, &mine).await.map_err(lost)?;
        let wrong = sum.iter().filter(|n| **n != 3.0).count();
        let began = Instant::now();
        let mut count = 0u32;
        // The head says before each whether there is another.
        loop {
            let on = u8::from(count == 0 || began.elapsed() < time);
            let on = if args.rank == 0 {
                other.write_all(&[on]).await.map(|()| on)
            } else {
                other.read_u8().await
            };
            if on.map_err(lost)? == 0 {
                break;
            }
            exchange(&mut other, &mine).await.map_err(lost)?;
            count += 1;
        }
        let seconds = began.elapsed().as_secs_f64() / f64::from(count);
        let gbps = size as f64 * 8.0 / seconds / 1e9;
        // Between two machines the bus carries as much as the algorithm.
        say(
            "measured",
            json!({
                "size": size, "count": count, "seconds": seconds,
                "algorithm_gbps": gbps, "bus_gbps": gbps, "wrong": wrong,
            }),
        );
    }
    say("done", json!({}));
    Ok(())
}

/// Sends what is here, takes what is there, and adds both up.
async fn exchange(other: &mut TcpStream, mine: &[f32]) -> std::io::Result<Vec<f32>> {
    let bytes: Vec<u8> = mine.iter().flat_map(|n| n.to_le_bytes()).collect();
    let mut theirs = vec![0; bytes.len()];
    let (mut from, mut to) = other.split();
    let (sent, read) = tokio::join!(to.write_all(&bytes), from.read_exact(&mut theirs));
    sent?;
    read?;
    let theirs = theirs.chunks_exact(4).map(|b| {
        let mut four = [0; 4];
        four.copy_from_slice(b);
        f32::from_le_bytes(four)
    });
    Ok(mine.iter().zip(theirs).map(|(a, b)| a + b).collect())
}

/// Finds the other rank, as the two sides of PyTorch's store do. The head's store listens for as long as it is held,
/// which PyTorch's program does until its end.
async fn meet(args: &PythonArgs) -> Result<(Option<TcpListener>, TcpStream), String> {
    let (address, port, meet) = (&args.address, args.port, args.meet);
    let at = (address.as_str(), port);
    if args.rank == 0 {
        let listener = TcpListener::bind(at).await.map_err(|e| {
            let code = e.raw_os_error().unwrap_or(0);
            format!("torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: {port}, useIpv6: false, code: -{code}, message: {e}")
        })?;
        return match tokio::time::timeout(meet, listener.accept()).await {
            Ok(Ok((stream, _))) => Ok((Some(listener), stream)),
            Ok(Err(e)) => Err(format!("torch.distributed.DistNetworkError: {e}")),
            Err(_) => Err(format!(
                "torch.distributed.DistStoreError: Timed out after {} seconds waiting for clients. 1/2 clients joined.",
                meet.as_secs()
            )),
        };
    }
    let reach = async {
        loop {
            if let Ok(stream) = TcpStream::connect(at).await {
                return stream;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let reached = tokio::time::timeout(meet, reach).await.map_err(|_| {
        format!("torch.distributed.DistNetworkError: The client socket has timed out after {}ms while trying to connect to ({address}, {port}).", meet.as_millis())
    })?;
    Ok((None, reached))
}

#[cfg(test)]
mod tests {
    use super::{PythonArgs, meet};
    use std::time::Duration;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    const WHOLE: &str = "--node-rank 1 --nnodes 2 --master-addr 127.0.0.1 --master-port 29501 --seconds 6 --meet-seconds 0.2 --limit-seconds 120";

    #[test]
    fn arguments_are_read_as_strictly_as_the_program_reads_them() {
        let args = PythonArgs::parse(&words(WHOLE)).expect("all are there");
        assert_eq!((args.rank, args.port, args.seconds), (1, 29501, 6.0));
        for (of, to) in [
            ("--nnodes 2", "--nnodes 3"),
            ("--node-rank 1", "--node-rank 2"),
            ("29501", "no-port"),
            (" --limit-seconds 120", ""),
        ] {
            assert_eq!(
                PythonArgs::parse(&words(&WHOLE.replace(of, to))),
                None,
                "{to}"
            );
        }
    }

    #[tokio::test]
    async fn a_rank_alone_gives_up_with_pytorchs_words() {
        let mut args = PythonArgs::parse(&words(WHOLE)).expect("all are there");
        // Bound and let go, so that nobody listens there.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        args.port = free.expect("a port").port();
        args.meet = Duration::from_millis(200);
        let told = meet(&args).await.expect_err("nobody is there");
        assert!(
            told.contains("client socket has timed out after 200ms"),
            "{told}"
        );
        args.rank = 0;
        let told = meet(&args).await.expect_err("nobody comes");
        assert!(told.contains("1/2 clients joined"), "{told}");
    }
}
