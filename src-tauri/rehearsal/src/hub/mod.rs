//! A small Hub that speaks the Hugging Face Hub's protocol: listings, `resolve` with its two kinds of
//! redirect, a CDN with signed URLs on a port of its own, ranges, refusals; Xet where [`Hub::offer_xet`] asks for it.
//! The same is given below `/mirror/of/models/`, as a mirror does that is not at its host's root.
//!
//! It counts what it gives out and breaks things on request: in-process through [`Hub::faults`] and
//! [`Hub::counters`], from outside with `POST /_faults` (one [`Fault`] in JSON), `DELETE /_faults`,
//! `GET /_counters` and `DELETE /_counters`.

mod catalog;
mod content;
pub mod counters;
pub mod faults;
mod refuse;
mod routes;
mod signing;
mod xet;

pub use routes::xet_hash;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::wire::serve;
use catalog::Catalog;
use counters::Counters;
use faults::{Fault, Faults};

/// How a Hub is started.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Where it listens; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Where its CDN listens; `None` takes a free port of the same address.
    pub cdn: Option<SocketAddr>,
    /// Its repositories: `OWNER/NAME/COMMIT/files` and `OWNER/NAME/refs/BRANCH`.
    pub repos: PathBuf,
}

pub(crate) struct State {
    pub(crate) catalog: Catalog,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) secret: Vec<u8>,
    pub(crate) cdn: SocketAddr,
    pub(crate) xet: OnceLock<xet::Store>,
}

impl State {
    /// The CDN's base address for somebody who reached the Hub under this `Host`.
    fn cdn_base(&self, host: Option<&str>) -> String {
        let ip = self.cdn.ip();
        let name = match host {
            // Bound everywhere: the client knows best which of our names it can reach.
            Some(host) if ip.is_unspecified() => host
                .rsplit_once(':')
                .map_or(host, |(name, _)| name)
                .to_owned(),
            _ => match ip {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            },
        };
        format!("http://{name}:{}", self.cdn.port())
    }
}

/// A running Hub. It ends when dropped.
pub struct Hub {
    state: Arc<State>,
    address: SocketAddr,
    stopped: CancellationToken,
    _stop: DropGuard,
}

/// Listens with a small send buffer, so that bytes counted as given out have mostly arrived.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(128 * 1024)?;
    socket.bind(address)?;
    socket.listen(1024)
}

impl Hub {
    /// Starts it.
    pub async fn start(config: HubConfig) -> io::Result<Self> {
        let hub = listen(config.bind)?;
        let cdn = listen(config.cdn.unwrap_or(SocketAddr::new(config.bind.ip(), 0)))?;
        let address = hub.local_addr()?;
        let state = Arc::new(State {
            catalog: Catalog::new(config.repos),
            faults: Faults::default(),
            counters: Counters::default(),
            secret: format!("{address}-{}", std::process::id()).into_bytes(),
            cdn: cdn.local_addr()?,
            xet: OnceLock::new(),
        });
        let stop = CancellationToken::new();
        let s = state.clone();
        tokio::spawn(serve(hub, stop.clone(), move |r| routes::hub(s.clone(), r)));
        let s = state.clone();
        tokio::spawn(serve(cdn, stop.clone(), move |r| routes::cdn(s.clone(), r)));
        Ok(Self {
            state,
            address,
            stopped: stop.clone(),
            _stop: stop.drop_guard(),
        })
    }

    /// What a client is given as the Hub's address, e.g. `http://127.0.0.1:8099`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its CDN listens.
    pub fn cdn_address(&self) -> SocketAddr {
        self.state.cdn
    }

    /// The faults in force.
    pub fn faults(&self) -> &Faults {
        &self.state.faults
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        self.state.faults.add(fault);
    }

    /// What it gave out.
    pub fn counters(&self) -> &Counters {
        &self.state.counters
    }
}
