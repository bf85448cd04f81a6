//! One file on the Hub: its size and hash by HEAD, and its bytes by GET.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Response, StatusCode, Url};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::repository::refuses_file;
use tandem_domain::sizes::FileSize;
use tokio::sync::Mutex;

use super::error::{retry_after, short};
use super::{Asked, Fault, Hub};
use crate::digest::Hasher;
use crate::hub_error::HubError;
use crate::stop::Stop;

/// The longest refusal that is read, in bytes.
const LONGEST_REFUSAL: u64 = 16 << 10;

/// What a HEAD says about a file.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Its size.
    pub size: FileSize,
    /// Its name as a blob: sha256 of an LFS file, git's sha1 of a small one.
    pub etag: String,
    /// Where the bytes are.
    pub url: Url,
    /// Its name in the Hub's other way of storage, by which a cache may share it between repositories.
    pub xet: Option<String>,
    /// Where the Hub gives leave to read it from there, with the Hub's own token.
    pub leave: Option<Url>,
}

impl Remote {
    /// Whether the Hub offers to give it as chunks from its storage.
    pub fn is_in_chunks(&self) -> bool {
        self.leave.is_some() && self.xet.as_deref().is_some_and(crate::shared::is_xet_name)
    }
}

/// A file whose bytes are fetched, by many connections at once.
pub struct Source {
    /// The repository.
    pub repo: String,
    /// The commit.
    pub commit: String,
    /// The file.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// See [`Remote::etag`].
    pub etag: String,
    place: Mutex<(u64, Url)>,
    /// Its name in Xet and where leave is given, where it may be read from there.
    xet: Option<(String, Url)>,
    in_chunks: AtomicBool,
    /// Held by the one connection that reads all of it, where the server ignores ranges.
    pub(crate) whole: Mutex<bool>,
}

impl Source {
    /// Wraps what a HEAD said.
    pub fn new(repo: &str, commit: &str, name: &str, remote: Remote) -> Arc<Self> {
        Arc::new(Self {
            repo: repo.to_owned(),
            commit: commit.to_owned(),
            name: name.to_owned(),
            size: remote.size.bytes(),
            etag: remote.etag,
            place: Mutex::new((0, remote.url)),
            xet: remote.xet.zip(remote.leave),
            in_chunks: AtomicBool::new(false),
            whole: Mutex::new(false),
        })
    }

    /// Lets its bytes come as chunks, where the Hub offers that, or by ranges alone.
    pub fn come_in_chunks(&self, chunks: bool) {
        self.in_chunks.store(chunks, Ordering::Relaxed);
    }

    /// Its name in Xet and where leave is given, while its bytes come as chunks.
    pub(crate) fn chunks(&self) -> Option<(&str, &Url)> {
        let (name, leave) = self.xet.as_ref()?;
        (self.in_chunks.load(Ordering::Relaxed)).then_some((name, leave))
    }

    /// What to name in a problem.
    pub fn asked(&self) -> Asked<'_> {
        Asked {
            repo: &self.repo,
            revision: &self.commit,
            file: Some(&self.name),
        }
    }

    /// The address in use and its generation.
    pub(crate) async fn place(&self) -> (u64, Url) {
        self.place.lock().await.clone()
    }

    /// Asks the Hub for another address, unless somebody else already has.
    pub(crate) async fn refresh(&self, hub: &Hub, generation: u64) -> Result<(), Stop> {
        let mut place = self.place.lock().await;
        if place.0 == generation {
            let remote = hub.head(&self.repo, &self.commit, &self.name).await?;
            if remote.etag != self.etag || remote.size.bytes() != self.size {
                return Err(Problem::new(
                    Code::HashMismatch,
                    format!("{} changed on the Hub while it was fetched.", self.name),
                )
                .cause("The same commit named another content before.")
                .fix("Start again.")
                .into());
            }
            *place = (generation + 1, remote.url);
        }
        Ok(())
    }
}

impl Hub {
    /// Why the Hub refused; where no header says it, the answer's own words.
    pub(super) async fn refusal(&self, answer: Response, asked: Asked<'_>) -> Fault {
        #[derive(serde::Deserialize)]
        struct Said {
            error: String,
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        let said = limited(answer, LONGEST_REFUSAL).await.ok();
        let said = said.and_then(|text| serde_json::from_slice::<Said>(&text).ok());
        let said = said.map(|said| short(&said.error));
        Fault::of_headers(status, &headers, said, asked, self.has_token())
    }

    /// Asks for size, hash and place of a file.
    pub async fn head(&self, repo: &str, commit: &str, file: &str) -> Result<Remote, Stop> {
        let asked = Asked {
            repo,
            revision: commit,
            file: Some(file),
        };
        self.patiently(asked, || self.head_once(asked, file)).await
    }

    async fn head_once(&self, asked: Asked<'_>, file: &str) -> Result<Remote, Fault> {
        // An index, too, names files, and was read from the Hub.
        if let Some(why) = refuses_file(file) {
            let repo = asked.repo.to_owned();
            let cause = format!("It names a file “{}”, and {why}.", file.escape_debug());
            return Err(HubError::NotUsable { repo, cause }.into());
        }
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(asked.repo.split('/'))
                .push("resolve")
                .push(asked.revision)
                .extend(file.split('/'));
        }
        let mut size = None;
        let mut etag = None;
        let mut xet = None;
        let mut leave = None;
        // Where the address of the Hub led, once it led away from itself.
        let mut away: Option<Url> = None;
        for _ in 0..8 {
            let request = self
                .client
                .head(url.clone())
                .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let response = self
                .authorised(request, &url)
                .send()
                .await
                .map_err(|e| Fault::of_transport(&e))?;
            let status = response.status();
            let may_pass = || Fault::of_response(&response, asked, self.has_token());
            let leads_on =
                status.is_redirection() && header(response.headers(), "x-linked-etag").is_none();
            if let Some(away) = away.as_ref().filter(|_| !leads_on)
                && let Some(what) = no_hub(&response, asked)
                && !matches!(may_pass(), Fault::Again { .. })
            {
                return Err(led_away(asked, away, &what).into());
            }
            if !(status.is_success() || status.is_redirection()) {
                return Err(may_pass());
            }
            let headers = response.headers();
            size = size.or_else(|| header(headers, "x-linked-size")?.parse::<u64>().ok());
            etag = etag.or_else(|| header(headers, "x-linked-etag").map(plain));
            xet = xet.or_else(|| {
                let name = header(headers, "x-xet-hash")?;
                crate::shared::is_xet_name(name).then(|| name.to_owned())
            });
            leave = leave.or_else(|| self.leave(headers));
            if status.is_redirection() {
                let to = self.redirected(&response, &url, asked)?;
                // The storage's answer would describe the storage's object, so whoever leads there has to
                // say what the file is. The Hub's own answer at another place describes the file.
                let is_known = size.is_some() && etag.is_some();
                let is_own = to.origin() == url.origin();
                if is_own && (!is_known || is_relative(&response)) {
                    url = to;
                    continue;
                }
                // A mirror that has not the file itself may lead to the Hub, which then says it. The token does not
                // go there: it is for the address that the person gave.
                if !is_known {
                    away = Some(to.clone());
                    url = to;
                    continue;
                }
                return Self::remote(asked, size, etag, (xet, leave), to);
            }
            // Without a redirect, the answer itself describes the file.
            size = size.or_else(|| header(headers, "content-length")?.parse::<u64>().ok());
            etag = etag.or_else(|| header(headers, "etag").map(plain));
            return Self::remote(asked, size, etag, (xet, leave), url);
        }
        Err(nameless(asked, "one redirect after the other").into())
    }

    fn remote(
        asked: Asked<'_>,
        size: Option<u64>,
        etag: Option<String>,
        (xet, leave): (Option<String>, Option<Url>),
        url: Url,
    ) -> Result<Remote, Fault> {
        let (Some(size), Some(etag)) = (size, etag) else {
            return Err(nameless(asked, "no size or no ETag").into());
        };
        let is_name = !etag.is_empty()
            && etag.len() <= 128
            && etag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !is_name {
            return Err(nameless(asked, "an ETag that cannot name a file").into());
        }
        let size = FileSize::told(size).map_err(|why| HubError::NotUsable {
            repo: asked.repo.to_owned(),
            cause: format!("Of {}: {why}.", asked.file.unwrap_or("a file")),
        })?;
        Ok(Remote {
            size,
            etag,
            url,
            xet,
            leave,
        })
    }

    /// Reads one range into memory. The answer is exactly that range or a fault.
    pub async fn range(&self, source: &Source, from: u64, to: u64) -> Result<Vec<u8>, Stop> {
        self.patiently(source.asked(), || async move {
            let (generation, url) = source.place().await;
            let answer = self.get(&url, Some((from, to))).await?;
            let taken = self.expect(&answer, source, &url, from, to);
            if let Err(Fault::Expired { why }) = taken {
                return match source.refresh(self, generation).await {
                    Ok(()) => Err(Fault::Expired { why }),
                    Err(Stop::Hub(error)) => Err(Fault::Fatal(error)),
                    Err(Stop::Problem(problem)) => Err(HubError::Other(problem).into()),
                    Err(Stop::Cancelled) => Err(Fault::Expired { why }),
                };
            }
            if taken? == Body::Whole {
                return Err(no_ranges(source).into());
            }
            let bytes = limited(answer, to - from).await?;
            if bytes.len() as u64 == to - from {
                Ok(bytes)
            } else {
                Err(Fault::Again {
                    why: "fewer bytes arrived than were announced".into(),
                    after: None,
                })
            }
        })
        .await
    }

    /// Reads a small file into memory and checks it against its hash.
    pub async fn read(
        &self,
        repo: &str,
        commit: &str,
        file: &str,
        longest: u64,
    ) -> Result<Vec<u8>, Stop> {
        let remote = self.head(repo, commit, file).await?;
        if remote.size.bytes() > longest {
            return Err(Problem::new(
                Code::GraftUnknownShape,
                format!("{file} of {repo} is larger than such a file can be."),
            )
            .cause(format!("It has {} bytes.", remote.size.bytes()))
            .into());
        }
        let source = Source::new(repo, commit, file, remote);
        self.patiently(source.asked(), || async {
            let (_, url) = source.place().await;
            let answer = self.get(&url, None).await?;
            if answer.status() != StatusCode::OK {
                return Err(Fault::of_response(
                    &answer,
                    source.asked(),
                    self.has_token(),
                ));
            }
            let bytes = limited(answer, source.size).await?;
            let good = Hasher::of_etag(&source.etag, source.size).is_none_or(|mut hasher| {
                hasher.update(&bytes);
                hasher.hex() == source.etag
            });
            if good && bytes.len() as u64 == source.size {
                Ok(bytes)
            } else {
                Err(Fault::Again {
                    why: format!("{file} arrived with another hash than announced"),
                    after: None,
                })
            }
        })
        .await
    }

    /// Looks whether an answer is the range that was asked for.
    pub(crate) fn expect(
        &self,
        answer: &Response,
        source: &Source,
        url: &Url,
        from: u64,
        to: u64,
    ) -> Result<Body, Fault> {
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {
                let wanted = format!("bytes {from}-{}/", to - 1);
                let given = header(answer.headers(), "content-range").unwrap_or_default();
                let total = given.strip_prefix(&wanted);
                if total.is_some_and(|t| t == "*" || t == source.size.to_string()) {
                    Ok(Body::Range)
                } else {
                    Err(Fault::Again {
                        why: format!("the server sent the range “{given}” instead"),
                        after: None,
                    })
                }
            }
            StatusCode::OK if is_all_of(answer, source) => Ok(Body::Whole),
            StatusCode::OK => Err(Fault::Again {
                why: "something else came instead of the file, as a login page would".into(),
                after: None,
            }),
            status
                if url.origin() != self.endpoint.origin()
                    && matches!(status.as_u16(), 400 | 401 | 403 | 404 | 410) =>
            {
                Err(Fault::Expired {
                    why: format!("the storage answered {}", status.as_u16()),
                })
            }
            status if status.is_redirection() => Err(Fault::Expired {
                why: "the file moved".into(),
            }),
            StatusCode::RANGE_NOT_SATISFIABLE => Err(Fault::Again {
                why: "the server has a shorter file than announced".into(),
                after: retry_after(answer.headers()),
            }),
            _ => Err(Fault::of_response(answer, source.asked(), self.has_token())),
        }
    }
}

/// Whether an answer to a range is the whole file: it has its length, or, where none is announced, its name.
fn is_all_of(answer: &Response, source: &Source) -> bool {
    match header(answer.headers(), "content-length") {
        Some(length) => length.parse() == Ok(source.size),
        None => header(answer.headers(), "etag").map(plain).as_deref() == Some(&*source.etag),
    }
}

/// What an answer's body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// The range.
    Range,
    /// The file from its first byte: the server ignored the range.
    Whole,
}

/// The server cannot give a part of a file.
pub(crate) fn no_ranges(source: &Source) -> HubError {
    HubError::NoRanges {
        file: source.name.clone(),
    }
}

/// What shows that whoever answered for another address is no Hub that has this commit; `None` where it is one.
fn no_hub(answer: &Response, asked: Asked<'_>) -> Option<String> {
    let status = answer.status();
    if !(status.is_success() || status.is_redirection()) {
        return Some(format!("the answer there is {}", status.as_u16()));
    }
    match header(answer.headers(), "x-repo-commit") {
        Some(commit) if commit == asked.revision => None,
        Some(_) => Some("what answers there has another commit".to_owned()),
        None => Some("what answers there names no commit, as a Hub does".to_owned()),
    }
}

fn led_away(asked: Asked<'_>, to: &Url, what: &str) -> HubError {
    let mut shown = to.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Neither fails for an address of the web.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    HubError::LedAway {
        file: asked.file.unwrap_or("a file").to_owned(),
        repo: asked.repo.to_owned(),
        to: short(shown.as_str()),
        what: what.to_owned(),
    }
}

/// Whether a redirect names a place on the same host, as the Hub does for its own.
fn is_relative(answer: &Response) -> bool {
    header(answer.headers(), LOCATION.as_str()).is_some_and(|to| Url::parse(to).is_err())
}

/// A body of at most `longest` bytes.
pub(crate) async fn limited(mut answer: Response, longest: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| Fault::of_transport(&e))? {
        if (bytes.len() + chunk.len()) as u64 > longest {
            return Err(Fault::Again {
                why: "more bytes arrived than were announced".into(),
                after: None,
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An etag without its weakness mark and quotes.
fn plain(etag: &str) -> String {
    etag.trim()
        .trim_start_matches("W/")
        .trim_matches('"')
        .to_owned()
}

fn nameless(asked: Asked<'_>, what: &str) -> HubError {
    HubError::NoPlace {
        file: asked.file.unwrap_or("a file").to_owned(),
        repo: asked.repo.to_owned(),
        what: what.to_owned(),
    }
}
