//! A proxy on the box that takes HTTP requests for others, as one of a company does, and passes no `Range` on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tandem_tests::BOX_ADDRESS;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Listens until it is dropped.
pub(crate) struct Proxy {
    address: String,
    ranges: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    listening: JoinHandle<()>,
}

impl Proxy {
    /// On a free port of the box, where the machines reach it.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((BOX_ADDRESS, 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (ranges, connections) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let counts = (Arc::clone(&ranges), Arc::clone(&connections));
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counts.1.fetch_add(1, Ordering::Relaxed);
                // A client that goes away ends its own connection only.
                tokio::spawn(pass(client, Arc::clone(&counts.0)));
            }
        });
        Self {
            address,
            ranges,
            connections,
            listening,
        }
    }

    /// As a request names it.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Ranges that were asked for and not passed on.
    pub(crate) fn ranges(&self) -> u64 {
        self.ranges.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// One request and its answer; the connection ends with it.
async fn pass(mut client: TcpStream, ranges: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let no_address = || std::io::Error::other("only whole addresses are for a proxy");
    let (method, rest) = head.split_once(" http://").ok_or_else(no_address)?;
    let (host, rest) = rest.split_once('/').ok_or_else(no_address)?;
    let mut passed = format!("{method} /");
    for line in rest.trim_end().split("\r\n") {
        let name = line.split(':').next().unwrap_or_default().to_lowercase();
        match name.as_str() {
            "range" => {
                ranges.fetch_add(1, Ordering::Relaxed);
            }
            "connection" | "proxy-connection" => {}
            _ => passed += &format!("{line}\r\n"),
        }
    }
    passed += "Connection: close\r\n\r\n";
    let mut server = TcpStream::connect(host).await?;
    server.write_all(passed.as_bytes()).await?;
    tokio::io::copy(&mut server, &mut client).await?;
    client.shutdown().await
}
