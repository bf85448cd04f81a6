//! A rail between two machines that something happens to.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tandem_domain::node::Serving;

/// Whether nothing listens any more.
pub fn closed(serving: &Serving) -> bool {
    let refused = |a: &String| TcpStream::connect(a).is_err();
    serving.addresses.iter().all(refused)
}

/// A rail with a fault: what the serving end sends passes up to a byte, which is spoilt or held up.
pub struct Relay {
    /// Where it is reached, with the same key.
    pub serving: Serving,
    /// Bytes that came from the serving end.
    pub passed: Arc<AtomicU64>,
    /// Whether it holds what comes after its byte.
    pub held: Arc<AtomicBool>,
}

impl Relay {
    /// Spoils the byte `at` of what comes from there, once; or holds everything from it on.
    pub fn new(serving: &Serving, at: u64, hold: bool) -> Self {
        let to: SocketAddr = serving.addresses[0].parse().unwrap();
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let relayed = Serving {
            addresses: vec![door.local_addr().unwrap().to_string()],
            token: serving.token.clone(),
        };
        let relay = Self {
            serving: relayed,
            passed: Arc::default(),
            held: Arc::new(AtomicBool::new(hold)),
        };
        let (passed, held) = (Arc::clone(&relay.passed), Arc::clone(&relay.held));
        std::thread::spawn(move || {
            for near in door.incoming() {
                let (near, Ok(far)) = (near.unwrap(), TcpStream::connect(to)) else {
                    return;
                };
                let (mut asks, mut ahead) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut asks, &mut ahead);
                    let _ = ahead.shutdown(std::net::Shutdown::Both);
                });
                let (passed, held) = (Arc::clone(&passed), Arc::clone(&held));
                std::thread::spawn(move || pass(far, near, at, hold, &passed, &held));
            }
        });
        relay
    }
}

fn pass(
    mut far: TcpStream,
    mut near: TcpStream,
    at: u64,
    hold: bool,
    passed: &AtomicU64,
    held: &AtomicBool,
) {
    let mut block = vec![0; 64 << 10];
    while let Ok(n @ 1..) = far.read(&mut block) {
        let before = passed.fetch_add(n as u64, Ordering::SeqCst);
        if !hold && (before..before + n as u64).contains(&at) {
            block[(at - before) as usize] ^= 1;
        }
        while before + n as u64 > at && held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if near.write_all(&block[..n]).is_err() {
            return;
        }
    }
    let _ = near.shutdown(std::net::Shutdown::Both);
}
