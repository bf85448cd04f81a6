//! Proxies for tests: one that takes HTTP requests for others, and one that speaks SOCKS 5.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A proxy that runs until the test's process ends.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    used: Arc<AtomicU32>,
}

impl Proxy {
    /// One for HTTP.
    pub(crate) fn http() -> Self {
        Self::start(http)
    }

    /// One for SOCKS 5.
    pub(crate) fn socks() -> Self {
        Self::start(socks)
    }

    fn start(serve: fn(TcpStream) -> std::io::Result<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let used = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&used);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                // A client that goes away ends its own connection only.
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address, used }
    }

    /// Connections so far.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

/// Reads the first request's head, which names the host, and hands everything on as it is.
fn http(mut client: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let url = text.split(' ').nth(1).unwrap_or_default();
    let host = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next())
        .ok_or_else(|| std::io::Error::other("only whole addresses are for a proxy"))?;
    let mut server = TcpStream::connect(host)?;
    server.write_all(&head)?;
    both_ways(client, server)
}

/// No password, connections to an IPv4 address or a name.
fn socks(mut client: TcpStream) -> std::io::Result<()> {
    let mut two = [0; 2];
    client.read_exact(&mut two)?;
    let mut methods = vec![0; usize::from(two[1])];
    client.read_exact(&mut methods)?;
    client.write_all(&[5, 0])?;
    let mut ask = [0; 4];
    client.read_exact(&mut ask)?;
    let host = if ask[3] == 1 {
        let mut ip = [0; 4];
        client.read_exact(&mut ip)?;
        std::net::Ipv4Addr::from(ip).to_string()
    } else {
        let mut len = [0];
        client.read_exact(&mut len)?;
        let mut name = vec![0; usize::from(len[0])];
        client.read_exact(&mut name)?;
        String::from_utf8_lossy(&name).into_owned()
    };
    let mut port = [0; 2];
    client.read_exact(&mut port)?;
    let server = TcpStream::connect((host, u16::from_be_bytes(port)))?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    both_ways(client, server)
}

fn both_ways(client: TcpStream, server: TcpStream) -> std::io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    std::io::copy(&mut from_server, &mut to_client)?;
    to_client.shutdown(Shutdown::Both)
}
