//! The Hub's address as a person gives it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether what is sent to this address can be read on the way: `http`, and not to this computer itself.
pub fn is_readable_on_the_way(endpoint: &str) -> bool {
    let endpoint = endpoint.trim().to_ascii_lowercase();
    let Some(rest) = endpoint.strip_prefix("http://") else {
        return false;
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let v4 = host.parse().is_ok_and(|ip: Ipv4Addr| ip.is_loopback());
    let v6 = host.parse().is_ok_and(|ip: Ipv6Addr| ip.is_loopback());
    !(host == "localhost" || v4 || v6)
}

#[cfg(test)]
mod tests {
    use super::is_readable_on_the_way;

    #[test]
    fn only_https_and_this_computer_are_private() {
        for private in [
            "https://huggingface.co",
            "HTTPS://mirror.lan",
            "http://127.0.0.1:8080",
            "http://localhost/hub",
            "http://[::1]:80",
            "http://me@127.0.0.1",
        ] {
            assert!(!is_readable_on_the_way(private), "{private}");
        }
        for open in [
            "http://huggingface.co",
            "HTTP://mirror.lan:80/",
            "http://localhost.evil.com",
            "http://127.0.0.1.evil.com",
            "http://localhost@evil.com",
            "http://evil.com#@localhost",
            "http://evil.com?@localhost",
            "http://evil.com\\@localhost",
            "http://192.168.1.5",
        ] {
            assert!(is_readable_on_the_way(open), "{open}");
        }
    }
}
