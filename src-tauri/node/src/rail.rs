//! Listening on one end of the private link, and on nothing else.
//!
//! Linux takes what is sent to any of its addresses on every interface. So a socket that is bound to the address
//! of a rail is bound to its interface too, and who comes from outside of the rail's subnet is sent away before
//! he takes a place.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, Protocol, Socket, Type};
use tandem_domain::network::address::Network;

use crate::facts::parse::{Addressed, ip_addresses};

/// Connections that may wait for the kernel to hand them over.
const BACKLOG: i32 = 128;
/// Connections at a time that have not said the token yet.
const WAITING: usize = 64;

/// A listener on one end of the private link. Accepting does not block.
#[derive(Debug)]
pub(crate) struct RailListener {
    tcp: TcpListener,
    subnet: Network,
}

impl RailListener {
    /// Listens at this address, at a port of the kernel's choice.
    ///
    /// Fails where no interface has the address. A kernel older than 5.7 lets root alone bind to an interface;
    /// the subnet is all that is asked there.
    pub(crate) fn open(address: Ipv4Addr) -> std::io::Result<Self> {
        let found = if address.is_loopback() {
            Network::of(address, 8).map(|subnet| ("lo".to_owned(), subnet))
        } else {
            interface_of(address, &addresses()?)
        };
        let (device, subnet) =
            found.ok_or_else(|| Error::new(ErrorKind::AddrNotAvailable, "no interface has it"))?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        #[cfg(target_os = "linux")]
        match socket.bind_device(Some(device.as_bytes())) {
            Err(e) if e.kind() != ErrorKind::PermissionDenied => return Err(e),
            _ => {}
        }
        #[cfg(not(target_os = "linux"))]
        let _ = device;
        socket.bind(&SocketAddr::V4(SocketAddrV4::new(address, 0)).into())?;
        socket.listen(BACKLOG)?;
        let tcp = TcpListener::from(socket);
        tcp.set_nonblocking(true)?;
        Ok(Self { tcp, subnet })
    }

    pub(crate) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The next who comes over this rail; `None` where nobody waits.
    pub(crate) fn accept(&self) -> std::io::Result<Option<TcpStream>> {
        loop {
            match self.tcp.accept() {
                Ok((stream, from)) if self.is_of_the_rail(from) => return Ok(Some(stream)),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
                // Somebody who was gone before being let in, or a signal.
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::ConnectionAborted | ErrorKind::Interrupted
                    ) => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn is_of_the_rail(&self, from: SocketAddr) -> bool {
        match from.ip() {
            IpAddr::V4(address) => {
                Network::of(address, self.subnet.prefix()).is_some_and(|n| n == self.subnet)
            }
            IpAddr::V6(_) => false,
        }
    }
}

fn addresses() -> std::io::Result<Vec<Addressed>> {
    let said = Command::new("ip").args(["-j", "addr", "show"]).output()?;
    Ok(ip_addresses(&String::from_utf8_lossy(&said.stdout)))
}

/// The interface that has this address, with its subnet.
fn interface_of(address: Ipv4Addr, all: &[Addressed]) -> Option<(String, Network)> {
    let each = all
        .iter()
        .flat_map(|a| a.ipv4.iter().map(move |ip| (a, ip)));
    let mut parsed = each.filter_map(|(a, ip)| Some((&a.name, Network::parse(ip)?)));
    parsed.find_map(|(name, (own, subnet))| (own == address).then(|| (name.clone(), subnet)))
}

/// Those who have not said the token yet. They have places of their own, and where all are taken the one who has
/// waited longest goes, so that silent strangers cannot keep out who knows the token.
#[derive(Debug, Default)]
pub(crate) struct WaitingRoom(Mutex<(u64, VecDeque<(u64, TcpStream)>)>);

impl WaitingRoom {
    /// Takes a place, and gives back its number.
    pub(crate) fn enter(&self, stream: &TcpStream) -> std::io::Result<u64> {
        let stream = stream.try_clone()?;
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, waiting) = &mut *room;
        if waiting.len() >= WAITING
            && let Some((_, longest)) = waiting.pop_front()
        {
            // Whoever reads from it sees its end; if it has ended already, that is what was wanted.
            let _ = longest.shutdown(Shutdown::Both);
        }
        *number += 1;
        waiting.push_back((*number, stream));
        Ok(*number)
    }

    /// Gives the place back.
    pub(crate) fn leave(&self, number: u64) {
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        room.1.retain(|(n, _)| *n != number);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn addressed(name: &str, ipv4: &[&str]) -> Addressed {
        Addressed {
            name: name.into(),
            ipv4: ipv4.iter().map(|a| (*a).to_owned()).collect(),
        }
    }

    #[test]
    fn an_address_belongs_to_the_interface_that_has_it() {
        let all = [
            addressed("eth0", &["192.168.1.20/24"]),
            addressed("rail", &["192.168.100.10/30"]),
        ];
        let of = |text: &str| {
            let found = interface_of(text.parse().unwrap(), &all);
            found.map(|(name, subnet)| format!("{name} {subnet}"))
        };
        assert_eq!(
            of("192.168.100.10").as_deref(),
            Some("rail 192.168.100.8/30")
        );
        assert_eq!(of("192.168.100.9"), None, "the other end's");
    }

    #[test]
    fn who_comes_from_elsewhere_is_of_no_rail() {
        let listener = RailListener {
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            subnet: Network::parse("192.168.100.10/24").unwrap().1,
        };
        for (from, is) in [
            ("192.168.100.11:1", true),
            ("192.168.1.66:1", false),
            ("[fe80::1]:1", false),
        ] {
            assert_eq!(listener.is_of_the_rail(from.parse().unwrap()), is, "{from}");
        }
    }

    #[test]
    fn the_one_who_has_waited_longest_makes_room() {
        let listener = RailListener::open(Ipv4Addr::LOCALHOST).unwrap();
        let at = listener.local_addr().unwrap();
        let room = WaitingRoom::default();
        let mut theirs = Vec::new();
        let mut ours = Vec::new();
        for _ in 0..=WAITING {
            theirs.push(TcpStream::connect(at).unwrap());
            let stream = loop {
                if let Some(stream) = listener.accept().unwrap() {
                    break stream;
                }
            };
            room.enter(&stream).unwrap();
            ours.push(stream);
        }
        assert_eq!(theirs[0].read(&mut [0]).unwrap(), 0, "it was ended");
        theirs[1].set_nonblocking(true).unwrap();
        let second = theirs[1].read(&mut [0]).unwrap_err();
        assert_eq!(second.kind(), ErrorKind::WouldBlock, "it waits on");
        room.leave(2);
        assert_eq!(room.0.lock().unwrap().1.len(), WAITING - 1);
    }
}
