//! The other rank: found over TCP at the master's address, asked at every step of the engine.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use super::args::Args;
use super::log::{Failure, Part};

/// What a rank says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    rank: u64,
    world: u64,
    engine: String,
    model: String,
}

/// A connection to the other rank.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Mutex<BufReader<TcpStream>>,
    /// Set when a step took longer than the engine waits: it never recovers.
    dead: AtomicBool,
}

async fn say(stream: &mut BufReader<TcpStream>, text: &str) -> io::Result<()> {
    stream
        .get_mut()
        .write_all(format!("{text}\n").as_bytes())
        .await
}

async fn hear(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

async fn address(args: &Args) -> Result<SocketAddr, Failure> {
    let (host, port) = (
        args.value("--master-addr").unwrap_or("127.0.0.1"),
        args.number("--master-port", 29501),
    );
    let found = tokio::net::lookup_host((host, port as u16)).await;
    found.ok().and_then(|mut all| all.next()).ok_or_else(|| Failure::Worker(format!("torch.distributed.DistNetworkError: The client socket has failed to connect to any network address of ({host}, {port}).")))
}

impl Link {
    fn new(stream: BufReader<TcpStream>) -> Self {
        let _ = stream.get_ref().set_nodelay(true);
        Self {
            stream: Mutex::new(stream),
            dead: AtomicBool::new(false),
        }
    }

    /// Meets the other rank, or waits for it in silence until the time is up.
    pub(crate) async fn meet(args: &Args, rank: u64, fingerprint: &str) -> Result<Self, Failure> {
        let limit = args.number("--distributed-timeout-seconds", 600);
        let here = Hello {
            rank,
            world: args.number("--nnodes", 1),
            engine: args.engine(),
            model: fingerprint.to_owned(),
        };
        let at = address(args).await?;
        let meeting = async {
            if rank == 0 {
                Self::wait_for_worker(at, &here).await
            } else {
                Ok(Self::reach_head(at, &here).await)
            }
        };
        match tokio::time::timeout(Duration::from_secs(limit), meeting).await {
            Ok(met) => met,
            Err(_) if rank == 0 => Err(Failure::Worker(format!(
                "torch.distributed.DistStoreError: Timed out after {} seconds waiting for clients. 1/{} clients joined.",
                limit + 1,
                here.world
            ))),
            Err(_) => Err(Failure::Worker(format!(
                "torch.distributed.DistNetworkError: The client socket has timed out after {}ms while trying to connect to ({}, {}).",
                limit * 1000,
                at.ip(),
                at.port()
            ))),
        }
    }

    async fn wait_for_worker(at: SocketAddr, here: &Hello) -> Result<Self, Failure> {
        // As PyTorch's store, on every interface, whatever address the ranks were given; but not in a rehearsal,
        // which opens nothing beyond this computer.
        let everywhere = SocketAddr::from(([0, 0, 0, 0], at.port()));
        let on = if at.ip().is_loopback() {
            at
        } else {
            everywhere
        };
        let listener = TcpListener::bind(on).await.map_err(|error| {
            let (code, name) = match error.kind() {
                io::ErrorKind::AddrNotAvailable => (-99, "EADDRNOTAVAIL"),
                _ => (-98, "EADDRINUSE"),
            };
            Failure::Worker(format!(
                "torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: {}, useIpv6: false, code: {code}, name: {name}, message: {}",
                at.port(),
                if code == -98 { "address already in use" } else { "cannot assign requested address" }
            ))
        })?;
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            let mut stream = BufReader::new(stream);
            let hello = hear(&mut stream)
                .await
                .ok()
                .and_then(|line| serde_json::from_str::<Hello>(&line).ok());
            let Some(there) = hello else {
                continue;
            };
            if there.engine != here.engine || there.model != here.model {
                Part::Worker.warn("stand-in: the two ranks were given different arguments or checkpoints. The real server hangs here without a word; so does this one.");
                let _kept_open = stream;
                std::future::pending::<()>().await;
                unreachable!("a pending future never ends");
            }
            if say(&mut stream, "joined").await.is_ok() {
                // The store listens for as long as it serves.
                tokio::spawn(async move { while listener.accept().await.is_ok() {} });
                return Ok(Self::new(stream));
            }
        }
    }

    async fn reach_head(at: SocketAddr, here: &Hello) -> Self {
        let hello = serde_json::to_string(here).expect("a hello is plain data");
        loop {
            if let Ok(stream) = TcpStream::connect(at).await {
                let mut stream = BufReader::new(stream);
                if say(&mut stream, &hello).await.is_ok()
                    && hear(&mut stream).await.is_ok_and(|word| word == "joined")
                {
                    return Self::new(stream);
                }
            }
            // The head may start minutes later; the store's client tries again in the same way.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until both are here. On the head it is one exchange; on the worker the answer to it.
    pub(crate) async fn step(&self, limit: Duration) {
        if self.dead.load(Ordering::Relaxed) {
            return;
        }
        let exchange = async {
            let mut stream = self.stream.lock().await;
            if say(&mut stream, "step").await.is_ok() && hear(&mut stream).await.is_ok() {
                return;
            }
            // The worker is gone. NCCL does not notice: the step never ends.
            std::future::pending::<()>().await;
        };
        if tokio::time::timeout(limit, exchange).await.is_err() {
            self.dead.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the engine gave up.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// The worker's life: answers every step until the head goes away.
    pub(crate) async fn follow(&self) {
        let mut stream = self.stream.lock().await;
        while hear(&mut stream).await.is_ok() {
            if say(&mut stream, "done").await.is_err() {
                return;
            }
        }
    }
}
