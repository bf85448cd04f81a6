//! IPv4 networks as numbers.

use std::net::Ipv4Addr;

/// A network: its first address and its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: u32,
    prefix: u8,
}

impl Network {
    /// The network that `address/prefix` lies in.
    pub fn of(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        if prefix > 32 {
            return None;
        }
        Some(Self {
            first: u32::from(address) & mask(prefix),
            prefix,
        })
    }

    /// Reads `a.b.c.d/n`.
    pub fn parse(text: &str) -> Option<(Ipv4Addr, Self)> {
        let (address, prefix) = text.split_once('/')?;
        let address: Ipv4Addr = address.parse().ok()?;
        Some((address, Self::of(address, prefix.parse().ok()?)?))
    }

    /// The bits of its network part.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is the range of addresses that machines give themselves.
    pub fn is_link_local(self) -> bool {
        self.prefix >= 16 && Ipv4Addr::from(self.first).is_link_local()
    }

    /// Whether the two share an address.
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = self.prefix.min(other.prefix);
        self.first & mask(shorter) == other.first & mask(shorter)
    }

    /// Whether the address is the network's own or its broadcast address, which no machine may have.
    pub fn is_edge(self, address: Ipv4Addr) -> bool {
        let address = u32::from(address);
        self.prefix < 31 && (address == self.first || address == self.first | !mask(self.prefix))
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

fn mask(prefix: u8) -> u32 {
    if prefix == 0 {
        0
    } else {
        u32::MAX << (32 - u32::from(prefix))
    }
}

/// Whether a machine at home may use it: RFC 1918.
pub fn is_private(address: Ipv4Addr) -> bool {
    address.is_private()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_overlap_by_the_shorter_prefix() {
        let (_, a) = Network::parse("192.168.100.10/24").unwrap();
        let (_, b) = Network::parse("192.168.0.1/16").unwrap();
        let (_, c) = Network::parse("192.168.101.10/24").unwrap();
        assert!(
            a.overlaps(b) && b.overlaps(a),
            "a /24 inside a /16 collides"
        );
        assert!(!a.overlaps(c), "neighbouring /24s do not");
        assert!(
            Network::parse("::1/64").is_none(),
            "IPv6 text is no IPv4 network"
        );
        assert!(
            Network::parse("10.0.0.1/33").is_none(),
            "33 bits do not exist"
        );
    }
}
