//! Listening to the network for machines that announce themselves (mDNS and DNS-SD).
//!
//! Finding machines is a help and never a condition: whatever fails here is written to the log, and the
//! list is shorter.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::SelectAll;
use mdns_sd::{DaemonEvent, ResolvedService, ServiceDaemon, ServiceEvent};
use tandem_domain::neighbours::Sighting;

/// Where SSH is announced.
const SSH: &str = "_ssh._tcp.local.";
/// Where a host announces that it is there, whatever it offers.
const HERE: &str = "_workstation._tcp.local.";
/// The port that everybody speaks mDNS on.
pub const PORT: u16 = 5353;
/// How long one listens: the second question goes out after one second, the third after three.
pub const LONG_ENOUGH: Duration = Duration::from_millis(3200);

/// Asks on every network and gathers what answers within this time, one entry for each host and service.
pub async fn discover(port: u16, time: Duration) -> Vec<Sighting> {
    match listen(port, time).await {
        Ok(seen) => {
            tracing::debug!(hosts = seen.len(), "listened for machines");
            seen
        }
        Err(error) => {
            tracing::warn!(%error, "could not listen for machines on the network");
            Vec::new()
        }
    }
}

async fn listen(port: u16, time: Duration) -> Result<Vec<Sighting>, mdns_sd::Error> {
    let daemon = Listening(ServiceDaemon::new_with_port(port)?);
    let troubles = daemon.0.monitor()?;
    let mut events = SelectAll::new();
    for service in [SSH, HERE] {
        events.push(daemon.0.browse(service)?.into_stream());
    }
    let mut seen: HashMap<String, Sighting> = HashMap::new();
    let end = tokio::time::sleep(time);
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            () = &mut end => break,
            event = events.next() => event,
        };
        match event {
            // Names the networks it asks on: none, where the port may not be opened.
            Some(ServiceEvent::SearchStarted(what)) => {
                tracing::info!(what, "listening for machines");
            }
            // Told again whenever more becomes known: the last word holds all of it.
            Some(ServiceEvent::ServiceResolved(service)) => {
                seen.insert(service.fullname.clone(), sighting(&service));
            }
            Some(_) => {}
            None => break,
        }
    }
    for trouble in troubles.try_iter() {
        if let DaemonEvent::Error(error) = trouble {
            tracing::warn!(%error, "listening for machines met a difficulty");
        }
    }
    Ok(seen.into_values().collect())
}

fn sighting(service: &ResolvedService) -> Sighting {
    let ssh = service.ty_domain.eq_ignore_ascii_case(SSH);
    Sighting {
        host: service.host.clone(),
        ssh: ssh.then_some(service.port),
        addresses: service.addresses.iter().map(|a| a.to_ip_addr()).collect(),
    }
}

/// Ends the daemon's thread when nobody listens any more, also when the question is dropped.
struct Listening(ServiceDaemon);

impl Drop for Listening {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::debug!(%error, "the listening thread had ended");
        }
    }
}

/// Whether an address is one of this computer's own: only then can something be bound to it.
pub fn ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdns_sd::ServiceInfo;

    /// Addresses of the machines that are played here. A responder tells an address only where it belongs to
    /// the network it speaks on: these belong to the loopback, which every computer has, so that neither
    /// its other networks nor whoever lives on them has a say.
    const ADDRESSES: [&str; 2] = ["127.0.0.61", "127.0.0.161"];

    /// A port that nobody holds at this moment, so that the system's own mDNS service is not heard.
    fn free_port() -> u16 {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
        socket.local_addr().expect("bound").port()
    }

    fn announce(port: u16, service: &str, host: &str) -> Listening {
        let daemon = ServiceDaemon::new_with_port(port).expect("a responder");
        let none: &[(&str, &str)] = &[];
        let host_name = format!("{host}.local.");
        let addresses = ADDRESSES.join(",");
        let mut info =
            ServiceInfo::new(service, host, &host_name, addresses, 2222, none).expect("valid");
        info.set_requires_probe(false);
        daemon.register(info).expect("announced");
        Listening(daemon)
    }

    #[tokio::test]
    async fn a_machine_that_announces_ssh_is_found_with_its_addresses_and_port() {
        let port = free_port();
        let name = format!("spark-{:04x}", rand::random::<u16>());
        let _ssh = announce(port, SSH, &name);
        let _here = announce(port, HERE, "gx10-9641");
        let mut seen = discover(port, LONG_ENOUGH).await;
        seen.sort_by_key(|s| s.ssh);
        for sighting in &mut seen {
            sighting.addresses.sort();
        }
        let addresses: Vec<IpAddr> = ADDRESSES.map(|a| a.parse().expect("an address")).into();
        let expected = |host: &str, ssh| Sighting {
            host: format!("{host}.local."),
            ssh,
            addresses: addresses.clone(),
        };
        assert_eq!(
            seen,
            [expected("gx10-9641", None), expected(&name, Some(2222))]
        );
    }

    #[test]
    fn our_own_addresses_are_known() {
        assert!(ours("127.0.0.1".parse().expect("an address")));
        assert!(!ours("192.0.2.61".parse().expect("an address")));
    }
}
