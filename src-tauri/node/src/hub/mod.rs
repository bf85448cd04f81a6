//! The Hugging Face Hub as a downloader needs it: what a revision holds, where a file's bytes are,
//! and the bytes of a range.
//!
//! Everything is asked by ourselves and not through `hf-hub`: that crate reads a whole listing into memory,
//! however long it is, follows a redirect to the storage when asked for metadata, and neither resumes nor
//! checks.

mod error;
mod listing;
mod remote;
mod xet;

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT_ENCODING, HeaderValue, LOCATION};
use reqwest::{Client, Url};
use tandem_domain::node::hub_address::is_readable_on_the_way;
use tandem_domain::node::told::CERTIFICATES;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::stop::Stop;

pub use crate::hub_error::HubError;
pub use error::Fault;
pub use listing::Listing;
pub(crate) use remote::{Body, limited, no_ranges};
pub use remote::{Remote, Source};
pub(crate) use xet::{Leaves, Part};

/// The longest address that is followed or kept, in bytes. A signed one has some two thousand.
const LONGEST_ADDRESS: usize = 8 << 10;

/// A connection to a Hub.
pub struct Hub {
    endpoint: Url,
    token: Option<Secret>,
    client: Client,
    patience: Duration,
    cancel: CancellationToken,
}

/// How a Hub is reached.
#[derive(Debug, Clone)]
pub struct Way {
    /// How long a question is repeated.
    pub patience: Duration,
    /// How long a connection may say nothing before it is made again.
    pub silence: Duration,
    /// A proxy; `None` means what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say.
    pub proxy: Option<String>,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(20),
            silence: Duration::from_secs(30),
            proxy: None,
        }
    }
}

/// What was asked for, to be named in a problem.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The repository.
    pub repo: &'a str,
    /// The revision or commit.
    pub revision: &'a str,
    /// The file, where it is about one.
    pub file: Option<&'a str>,
}

impl Hub {
    /// Makes the connection's client, by the environment's proxy; nothing is sent yet.
    pub fn new(
        endpoint: &str,
        token: Option<Secret>,
        patience: Duration,
        cancel: CancellationToken,
    ) -> Result<Self, Problem> {
        let way = Way {
            patience,
            ..Way::default()
        };
        Self::with(endpoint, token, way, cancel)
    }

    /// As [`Hub::new`], reached in this way.
    pub fn with(
        endpoint: &str,
        token: Option<Secret>,
        way: Way,
        cancel: CancellationToken,
    ) -> Result<Self, Problem> {
        let url = Url::parse(endpoint)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.host().is_some())
            .ok_or_else(|| {
                Problem::new(Code::BadInput, "The Hub's address cannot be used.")
                    .cause(format!("It is given as “{endpoint}”."))
                    .fix("Give an address such as https://huggingface.co.")
            })?;
        let token = token.filter(|t| !t.is_empty());
        if token.is_some() && is_readable_on_the_way(url.as_str()) {
            return Err(
                Problem::new(Code::HubToken, "The token was not sent.")
                    .cause(format!("“{endpoint}” is reached without encryption, and everybody on the way could read the token."))
                    .fix("Give the Hub's address with https://, or remove the token in Settings if this Hub needs none."),
            );
        }
        let unusable = |e: &dyn std::fmt::Display| {
            Problem::new(Code::HubUnreachable, "The Hub cannot be asked from here.")
                .cause(format!("The HTTPS client did not start: {e}."))
                .fix_with("Install the root certificates.", CERTIFICATES)
        };
        let proxy = way.proxy.as_deref().map(proxy).transpose()?;
        // One stream per connection: a second stream on the same one would share its speed.
        let builder = Client::builder()
            .http1_only()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(way.silence)
            .user_agent(concat!("tandem-node/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none());
        let client = match proxy {
            Some(proxy) => builder.proxy(proxy),
            None => builder,
        };
        let client = client.build().map_err(|e| unusable(&e))?;
        Ok(Self {
            endpoint: url,
            token,
            client,
            patience: way.patience,
            cancel,
        })
    }

    /// Whether questions carry a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Sends a GET for a range, or for everything. The token goes to the Hub itself and to nobody
    /// else: a storage's address carries its own signature.
    pub(crate) async fn get(
        &self,
        url: &Url,
        range: Option<(u64, u64)>,
    ) -> Result<reqwest::Response, Fault> {
        let mut request = self
            .client
            .get(url.clone())
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some((from, to)) = range {
            request = request.header("Range", format!("bytes={from}-{}", to - 1));
        }
        self.authorised(request, url)
            .send()
            .await
            .map_err(|e| Fault::of_transport(&e))
    }

    /// Where a redirect leads. Never from encryption to none.
    pub(crate) fn redirected(
        &self,
        answer: &reqwest::Response,
        from: &Url,
        asked: Asked<'_>,
    ) -> Result<Url, Fault> {
        let unusable = |cause: String| HubError::NotUsable {
            repo: asked.repo.to_owned(),
            cause,
        };
        let location = answer.headers().get(LOCATION).and_then(|v| v.to_str().ok());
        let to = location
            .filter(|l| l.len() <= LONGEST_ADDRESS)
            .and_then(|l| from.join(l).ok())
            .filter(|to| matches!(to.scheme(), "http" | "https") && to.host().is_some())
            .ok_or_else(|| unusable("It answers with a redirect to no web address.".into()))?;
        if from.scheme() == "https" && to.scheme() != "https" {
            let host = to.host_str().unwrap_or_default();
            return Err(unusable(format!(
                "It redirects from https to {host} without encryption."
            ))
            .into());
        }
        Ok(to)
    }

    fn authorised(&self, request: reqwest::RequestBuilder, url: &Url) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) if url.origin() == self.endpoint.origin() => {
                request.bearer_auth(token.reveal())
            }
            _ => request,
        }
    }

    /// Repeats a question while its fault is one that passes and patience lasts.
    pub(crate) async fn patiently<T, F>(
        &self,
        asked: Asked<'_>,
        mut question: impl FnMut() -> F,
    ) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let started = Instant::now();
        let mut attempt = 0;
        loop {
            let answer = tokio::select! {
                () = self.cancel.cancelled() => return Err(Stop::Cancelled),
                answer = question() => answer,
            };
            match answer {
                Ok(value) => return Ok(value),
                Err(Fault::Fatal(error)) => return Err(Stop::from(*error)),
                Err(Fault::Expired { why })
                | Err(Fault::Again {
                    why, after: None, ..
                }) if started.elapsed() >= self.patience => {
                    return Err(gave_up(asked, &why, None).into());
                }
                Err(Fault::Again {
                    why,
                    after: Some(after),
                }) if started.elapsed().saturating_add(after) > self.patience => {
                    return Err(gave_up(asked, &why, Some(after)).into());
                }
                Err(Fault::Again { after, .. }) => {
                    self.pause(after.unwrap_or_else(|| backoff(attempt)))
                        .await?;
                }
                Err(Fault::Expired { .. }) => self.pause(backoff(attempt)).await?,
            }
            attempt += 1;
        }
    }

    async fn pause(&self, time: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(Stop::Cancelled),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

/// The proxy that a request names, for every address that `NO_PROXY` does not except.
fn proxy(address: &str) -> Result<reqwest::Proxy, Problem> {
    let refuse = |cause: String| {
        Problem::new(Code::BadInput, "The proxy's address cannot be used.")
            .cause(cause)
            .fix("Give it as http://HOST:PORT or socks5h://HOST:PORT.")
    };
    let url = Url::parse(address)
        .ok()
        .filter(|u| u.host().is_some())
        .filter(|u| matches!(u.scheme(), "http" | "https" | "socks5" | "socks5h"))
        .ok_or_else(|| refuse("It is no address of an HTTP or SOCKS proxy.".into()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "It holds a user or a password, and a request is kept on the machine's disk.".into(),
        )
        .fix("Set HTTPS_PROXY in the machine's /etc/environment instead."));
    }
    reqwest::Proxy::all(url)
        .map(|p| p.no_proxy(reqwest::NoProxy::from_env()))
        .map_err(|e| refuse(format!("{e}.")))
}

/// The pause before another attempt: doubling, at most half a minute.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(250 << attempt.min(7)).min(Duration::from_secs(30))
}

/// The Hub stayed silent or busy for longer than is waited.
pub(crate) fn gave_up(asked: Asked<'_>, why: &str, after: Option<Duration>) -> HubError {
    let about = match asked.file {
        Some(file) => format!("{file} of {}", asked.repo),
        None => asked.repo.to_owned(),
    };
    let why = why.to_owned();
    match after {
        Some(after) => HubError::Busy { about, why, after },
        None => HubError::Silent { about, why },
    }
}
