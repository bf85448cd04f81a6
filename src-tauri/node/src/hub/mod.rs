//! The Hugging Face Hub as a downloader needs it: what a revision holds, where a file's bytes are,
//! and the bytes of a range.
//!
//! The listing is asked through `hf-hub`. Metadata and bytes are asked by ourselves, because that
//! crate follows a redirect to the storage when asked for metadata, and neither resumes nor checks.

mod error;

mod remote;
mod xet;

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT_ENCODING, HeaderValue};
use reqwest::{Client, Url};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tokio_util::sync::CancellationToken;

use crate::stop::Stop;

pub use crate::hub_error::HubError;
pub use error::Fault;
pub(crate) use remote::{Body, no_ranges};
pub use remote::{Remote, Source};
pub(crate) use xet::{Leaves, Part};

/// The commit and file names of a revision.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The commit that the revision means.
    pub commit: String,
    /// Names of its files.
    pub files: Vec<String>,
}

/// A connection to a Hub.
pub struct Hub {
    endpoint: Url,
    token: Option<Secret>,
    client: Client,
    listing: hf_hub::HFClient,
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
        let unusable = |e: &dyn std::fmt::Display| {
            Problem::new(Code::HubUnreachable, "The Hub cannot be asked from here.")
                .cause(format!("The HTTPS client did not start: {e}."))
                .fix_with(
                    "Install the root certificates.",
                    "sudo apt-get install ca-certificates",
                )
        };
        let proxy = way.proxy.as_deref().map(proxy).transpose()?;
        // One stream per connection: a second stream on the same one would share its speed.
        let builder = || {
            let builder = Client::builder()
                .http1_only()
                .connect_timeout(Duration::from_secs(10))
                .read_timeout(way.silence)
                .user_agent(concat!("tandem-node/", env!("CARGO_PKG_VERSION")));
            match &proxy {
                Some(proxy) => builder.proxy(proxy.clone()),
                None => builder,
            }
        };
        let client = builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| unusable(&e))?;
        // Without a token hf-hub would look for one in the environment and the home folder, and send
        // it to whatever address is asked. A token that cannot stand in a header is left out.
        let listing = hf_hub::HFClient::builder()
            .endpoint(endpoint)
            .token(token.as_ref().map_or("\n", Secret::reveal))
            .client(builder().build().map_err(|e| unusable(&e))?)
            .cache_enabled(false)
            .retry_max_attempts(1)
            .build()
            .map_err(|e| unusable(&e))?;
        Ok(Self {
            endpoint: url,
            token,
            client,
            listing,
            patience: way.patience,
            cancel,
        })
    }

    /// Whether questions carry a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Asks what a revision holds.
    pub async fn revision(&self, repo: &str, revision: &str) -> Result<Listing, Stop> {
        let asked = Asked {
            repo,
            revision,
            file: None,
        };
        let (owner, name) = hf_hub::split_id(repo);
        let info = self
            .patiently(asked, || async {
                self.listing
                    .model(owner, name)
                    .info()
                    .revision(revision)
                    .send()
                    .await
                    .map_err(|e| error::of_listing(&e, asked, self.has_token()))
            })
            .await?;
        let unusable = |cause: String| {
            let repo = repo.to_owned();
            Stop::from(HubError::NotUsable { repo, cause })
        };
        let (Some(commit), Some(siblings)) = (info.sha, info.siblings) else {
            return Err(unusable("The answer names no commit or no files.".into()));
        };
        let mut files: Vec<String> = siblings.into_iter().map(|s| s.rfilename).collect();
        files.sort();
        if let Some(bad) = files.iter().find(|f| !crate::cache::is_inside(f)) {
            return Err(unusable(format!(
                "It has a file named “{bad}”, which would be written outside of its folder."
            )));
        }
        let plain = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
        if !plain {
            return Err(unusable(format!("“{commit}” is not a commit.")));
        }
        Ok(Listing { commit, files })
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
                }) if started.elapsed() + after > self.patience => {
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
