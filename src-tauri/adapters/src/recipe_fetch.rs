//! Recipes as others publish them: a file of text, or the list of a repository's files, over https from known hosts alone.
//!
//! Nothing that is fetched is run, and nobody's login is sent. Every redirect is looked at before it is followed, and a
//! name that leads to an address of a private network is not asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use tandem_domain::foreign_text::visible;
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_domain::recipe::import::address::may_be_asked;

/// Redirects that are followed at most.
const REDIRECTS: usize = 5;

/// How long a host may take for all of an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the environment calls a proxy for https.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// A text, and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedText {
    /// The text.
    pub text: String,
    /// The addresses that were asked, the last of which gave it.
    pub way: Vec<String>,
}

/// See the module.
pub struct RecipeFetch {
    client: reqwest::Client,
    may_be_asked: fn(&str) -> bool,
    patience: Duration,
}

impl RecipeFetch {
    /// For the addresses that [`may_be_asked`] allows.
    pub fn new() -> Result<Self, Problem> {
        let builder = reqwest::Client::builder().https_only(true);
        let by_proxy = PROXIES
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        // Behind a proxy it is the proxy that looks names up.
        let builder = match by_proxy {
            true => builder,
            false => builder.dns_resolver(Arc::new(PublicOnly)),
        };
        Self::of(builder, may_be_asked, PATIENCE)
    }

    fn of(
        builder: reqwest::ClientBuilder,
        may_be_asked: fn(&str) -> bool,
        patience: Duration,
    ) -> Result<Self, Problem> {
        let client = builder
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("tandem/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| refused(format!("This computer has no https: {e}.")))?;
        Ok(Self {
            client,
            may_be_asked,
            patience,
        })
    }

    /// The text at an address, of at most so many bytes.
    pub async fn text(&self, address: &str, most: usize) -> Result<FetchedText, Problem> {
        tokio::time::timeout(self.patience, self.follow(address, most))
            .await
            .map_err(|_| {
                let seconds = self.patience.as_secs();
                refused(format!("It took longer than {seconds} s.")).retry(Retry::Now)
            })?
    }

    async fn follow(&self, address: &str, most: usize) -> Result<FetchedText, Problem> {
        let mut way = vec![address.to_owned()];
        loop {
            let now = way.last().cloned().unwrap_or_default();
            let shown = visible(&now, 200);
            if !(self.may_be_asked)(&now) {
                return Err(refused(format!(
                    "It leads to `{shown}`, which is no https address at GitHub or the Hub."
                )));
            }
            let asked = self.client.get(&now).send().await;
            let answer = asked.map_err(|e| {
                refused(format!("`{shown}` did not answer: {}.", root(&e))).retry(Retry::Now)
            })?;
            let status = answer.status();
            if status.is_redirection() {
                let to = answer
                    .headers()
                    .get(LOCATION)
                    .and_then(|to| to.to_str().ok());
                let to = to.and_then(|to| answer.url().join(to).ok());
                let to = to.ok_or_else(|| refused(format!("`{shown}` leads nowhere.")))?;
                if way.len() > REDIRECTS {
                    return Err(refused(format!("It leads on more than {REDIRECTS} times.")));
                }
                way.push(to.into());
                continue;
            }
            if !status.is_success() {
                return Err(refused(match status.as_u16() {
                    401 | 403 => format!("`{shown}` is not public, or was asked too often."),
                    404 => format!("Nothing is at `{shown}`, or it is not public."),
                    code => format!("`{shown}` answered with status {code}."),
                }));
            }
            let text = body(answer, most).await?;
            return Ok(FetchedText { text, way });
        }
    }
}

/// The text of an answer, which is let go of once it is too long.
async fn body(answer: reqwest::Response, most: usize) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    let mut stream = answer.bytes_stream();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|e| {
            refused(format!("The answer broke off: {}.", root(&e))).retry(Retry::Now)
        })?;
        if bytes.len() + part.len() > most {
            return Err(refused(format!(
                "It is larger than {} KiB, and a recipe is smaller.",
                most / 1024
            )));
        }
        bytes.extend_from_slice(&part);
    }
    String::from_utf8(bytes).map_err(|_| refused("It is no text.".into()))
}

/// The innermost reason.
fn root(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    visible(inner.to_string().trim_end_matches('.'), 200)
}

fn refused(cause: String) -> Problem {
    Problem::new(Code::BadInput, "Nothing was fetched from this address.")
        .cause(cause)
        .fix("Give the address of a public file, or paste the text.")
}

/// Looks names up, and knows no address of a private network.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|at| is_public(at.ip())).collect();
            if public.is_empty() {
                let why = format!("{} leads to no public address", name.as_str());
                return Err(std::io::Error::other(why).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the internet, by the IANA registries of special-purpose addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let first = address.segments()[0];
    // Of the internet is what begins with 001; within it 2001:db8 is for documents, 2002 and 2001:0 hold an IPv4 address.
    let special = first == 0x2002 || first == 0x2001 && [0, 0xdb8].contains(&address.segments()[1]);
    first & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that gives each request the answer for its path.
    async fn server(answer: fn(&str, &str) -> Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = format!("http://{}", listener.local_addr().expect("it is bound"));
        let own = at.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move {
                    let mut request = vec![0; 4096];
                    let n = stream.read(&mut request).await.unwrap_or(0);
                    let text = String::from_utf8_lossy(&request[..n]).into_owned();
                    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                    let _ = stream.write_all(&answer(&path, &own)).await;
                });
            }
        });
        at
    }

    fn answer(path: &str, own: &str) -> Vec<u8> {
        let said = |status: &str, headers: &str, body: &[u8]| {
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
                body.len()
            );
            [head.as_bytes(), body].concat()
        };
        let led = |to: String| said("302 Found", &format!("location: {to}\r\n"), b"");
        match path {
            "/recipe.yaml" => said("200 OK", "", b"model: o/n\n"),
            "/moved" => led("/recipe.yaml".into()),
            "/away" => led("http://192.0.2.1/recipe.yaml".into()),
            "/file" => led("file:///etc/passwd".into()),
            "/round" => led(format!("{own}/round")),
            "/large" => said("200 OK", "", &[b'a'; 4096]),
            "/binary" => said("200 OK", "", &[0xff, 0xfe, 0]),
            "/endless" => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nmodel".to_vec(),
            "/closed" => said("403 Forbidden", "", b""),
            _ => said("404 Not Found", "", b""),
        }
    }

    fn of_this_computer(address: &str) -> bool {
        address.starts_with("http://127.0.0.1:")
    }

    async fn fetched(path: &str) -> Result<FetchedText, Problem> {
        let at = server(answer).await;
        let fetch = RecipeFetch::of(
            reqwest::Client::builder().no_proxy(),
            of_this_computer,
            Duration::from_secs(2),
        )
        .expect("a client");
        fetch.text(&format!("{at}{path}"), 1024).await
    }

    #[tokio::test]
    async fn a_text_comes_with_the_way_to_it() {
        let here = fetched("/recipe.yaml").await.expect("it is there");
        assert_eq!((here.text.as_str(), here.way.len()), ("model: o/n\n", 1));
        let moved = fetched("/moved").await.expect("it leads there");
        assert_eq!(moved.text, here.text);
        assert_eq!(moved.way.len(), 2);
        assert!(moved.way[1].ends_with("/recipe.yaml"));
    }

    #[tokio::test]
    async fn no_way_leads_elsewhere_nor_round_and_round() {
        for (path, says) in [
            ("/away", "192.0.2.1"),
            ("/file", "file:///etc/passwd"),
            ("/round", "more than 5 times"),
            ("/large", "larger than 1 KiB"),
            ("/binary", "no text"),
            ("/closed", "not public"),
            ("/nothing", "Nothing is at"),
        ] {
            let problem = fetched(path).await.expect_err(path);
            let cause = problem.cause.unwrap_or_default();
            assert!(cause.contains(says), "{path}: {cause}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_to_its_end_ends_in_words() {
        let problem = fetched("/endless").await.expect_err("it broke off");
        assert!(problem.cause.is_some_and(|c| c.contains("broke off")));
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = silent.local_addr().expect("it is bound");
        let fetch = RecipeFetch::of(
            reqwest::Client::builder().no_proxy(),
            of_this_computer,
            Duration::from_millis(100),
        )
        .expect("a client");
        let asked = fetch.text(&format!("http://{at}/"), 1024).await;
        let cause = asked.expect_err("nobody answers").cause;
        assert!(cause.is_some_and(|c| c.contains("took longer")));
    }

    #[tokio::test]
    async fn what_is_shipped_asks_known_hosts_alone_and_no_private_address() {
        let fetch = RecipeFetch::new().expect("a client");
        for address in [
            "http://github.com/o/n",
            "https://127.0.0.1/",
            "https://example.org/",
        ] {
            let problem = fetch.text(address, 1024).await.expect_err(address);
            assert!(
                problem
                    .cause
                    .is_some_and(|c| c.contains("no https address"))
            );
        }
        let name: Name = "localhost".parse().expect("a name");
        assert!(PublicOnly.resolve(name).await.is_err());
    }

    #[test]
    fn addresses_of_the_internet_are_told_from_others() {
        let public = |text: &str| is_public(text.parse().expect("an address"));
        for address in ["140.82.121.4", "8.8.8.8", "2606:50c0:8000::154"] {
            assert!(public(address), "{address}");
        }
        for address in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "ff02::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }
}
