//! The Hub's storage as it is asked for chunks: leave to read from the Hub, the list of chunks of a
//! stretch from the storage's front, and addresses of the objects that hold them.
//!
//! The questions are asked with our own client, so that the proxy, the time-outs and the cancelling are the
//! same as for ranges. What the answers look like is `xet-client`'s knowledge. Its own download is not used:
//! it holds all that it has asked for, 200 MiB of a file as it comes and 87 MiB with the smallest buffer, and
//! is only small where it asks MiB by MiB over one connection; nor has it a place for our proxy, our rate and
//! our pause.
//!
//! Three tokens never meet: the Hub's goes to the Hub, the leave it gives goes to the front that it names,
//! and the objects' addresses carry their own signature.

use std::sync::Arc;

use reqwest::header::HeaderMap;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use tandem_domain::secret::Secret;
use tandem_domain::sizes::FileSize;
use tokio::sync::Mutex;
use xet_client::cas_types::QueryReconstructionResponse;

use super::error::retry_after;
use super::remote::{header, limited};
use super::{Fault, Hub, Source};

/// The longest answer of the Hub to a question for leave.
const LONGEST_LEAVE: u64 = 64 << 10;
/// The longest list of chunks that is read, in bytes of JSON. A stretch of 64 MiB whose list is longer lies
/// in more than a hundred places.
const LONGEST_LIST: u64 = 256 << 10;
/// The Hub's own name, which a mirror that passes headers on gives in its answers.
const HUB: &str = "huggingface.co";

/// Leave to read from the storage, for as long as it is good.
#[derive(Default)]
pub(crate) struct Leaves(Mutex<Option<Arc<Leave>>>);

struct Leave {
    /// Where it was given.
    at: Url,
    /// The storage's front.
    front: Url,
    token: Secret,
}

/// Chunks of one object that follow each other in the file, and lie in one stretch of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// Where the object is.
    pub(crate) url: Url,
    /// First byte of the stretch in the object, and the one after the last.
    pub(crate) bytes: (u64, u64),
    /// Chunks at the beginning of the stretch that are not wanted.
    pub(crate) before: u32,
    /// Chunks that are.
    pub(crate) chunks: u32,
    /// Bytes of the file that they are.
    pub(crate) len: u64,
}

/// How a stretch of a file is made of chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkPlan {
    /// Bytes of the first chunk that lie before the stretch.
    pub(crate) skip: u64,
    /// In order of place in the file.
    pub(crate) parts: Vec<Part>,
}

impl ChunkPlan {
    /// Bytes that cross the line for it, at most.
    pub(crate) fn cost(&self) -> u64 {
        self.parts.iter().map(|p| p.bytes.1 - p.bytes.0).sum()
    }

    /// Reads it from the storage's answer to a question for `wanted` bytes.
    fn of(answer: &QueryReconstructionResponse, wanted: u64) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        // The object and the chunk after the last one of the part before.
        let mut last = None;
        for term in &answer.terms {
            let chunks = term
                .range
                .end
                .checked_sub(term.range.start)
                .filter(|n| *n > 0)
                .ok_or("it lists a stretch without chunks")?;
            let info = answer
                .fetch_info
                .get(&term.hash)
                .and_then(|all| {
                    all.iter().find(|i| {
                        i.range.start <= term.range.start && term.range.end <= i.range.end
                    })
                })
                .ok_or("it lists chunks and not where they are")?;
            let len = u64::from(term.unpacked_length);
            let url = Url::parse(&info.url).map_err(|_| "it names no address")?;
            match parts.last_mut() {
                // They lie one behind the other: the same answer goes on.
                Some(part)
                    if last == Some((term.hash, term.range.start))
                        && part.url == url
                        && part.bytes.0 == info.url_range.start =>
                {
                    part.chunks = part
                        .chunks
                        .checked_add(chunks)
                        .ok_or("it lists too many chunks")?;
                    part.len += len;
                }
                _ => parts.push(Part {
                    url,
                    bytes: (
                        info.url_range.start,
                        info.url_range
                            .end
                            .checked_add(1)
                            .filter(|end| {
                                *end > info.url_range.start && FileSize::told(*end).is_ok()
                            })
                            .ok_or("it names an empty or endless stretch")?,
                    ),
                    before: term.range.start - info.range.start,
                    chunks,
                    len,
                }),
            }
            last = Some((term.hash, term.range.end));
        }
        let skip = answer.offset_into_first_range;
        let first = parts.first().map_or(0, |p| p.len);
        let whole: u64 = parts.iter().map(|p| p.len).sum();
        if skip >= first || whole - skip < wanted {
            return Err("it lists other chunks than were asked for".into());
        }
        Ok(Self { skip, parts })
    }
}

impl Hub {
    /// Where leave is given for a file, as the Hub's answer about it says. The Hub's token will be shown
    /// there, so it has to be the Hub itself: an address of another host is not taken.
    pub(super) fn leave(&self, headers: &HeaderMap) -> Option<Url> {
        let said =
            linked(headers, "xet-auth").or_else(|| header(headers, "x-xet-refresh-route"))?;
        let url = self.endpoint.join(said).ok()?;
        if url.origin() == self.endpoint.origin() {
            return Some(url);
        }
        // A mirror gives the same answers at a place of its own.
        (url.host_str() == Some(HUB)).then(|| {
            let mut own = self.endpoint.clone();
            own.set_path(&format!(
                "{}{}",
                own.path().trim_end_matches('/'),
                url.path()
            ));
            own.set_query(url.query());
            own
        })
    }

    /// Asks of which chunks `from..to` of a file is made. `None` where they lie in so many places that the
    /// list alone is long.
    pub(crate) async fn chunks(
        &self,
        leaves: &Leaves,
        source: &Source,
        from: u64,
        to: u64,
    ) -> Result<Option<ChunkPlan>, Fault> {
        let again = |why: String| Fault::Again { why, after: None };
        let Some((name, at)) = source.chunks() else {
            return Ok(None);
        };
        let leave = self.leave_of(leaves, source, at).await?;
        let mut url = leave.front.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "reconstructions", name]);
        }
        let answer = self
            .client
            .get(url)
            .header("Range", format!("bytes={from}-{}", to - 1))
            .bearer_auth(leave.token.reveal())
            .send()
            .await
            .map_err(|e| Fault::of_transport(&e))?;
        let status = answer.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            // It ended, which is not held against this machine's clock: that may be wrong.
            leaves.forget(&leave).await;
        }
        if status != StatusCode::OK {
            return Err(Fault::Again {
                why: format!("the storage's front answered {}", status.as_u16()),
                after: retry_after(answer.headers()),
            });
        }
        if answer.content_length().is_some_and(|n| n > LONGEST_LIST) {
            return Ok(None);
        }
        let text = limited(answer, LONGEST_LIST).await?;
        let said: QueryReconstructionResponse = serde_json::from_slice(&text).map_err(|_| {
            again("the storage's front gave something else than a list of chunks".into())
        })?;
        let plan = ChunkPlan::of(&said, to - from).map_err(|why| {
            again(format!(
                "the storage's list of chunks cannot be used: {why}"
            ))
        })?;
        if !plan.parts.iter().all(|p| self.trusts(&p.url)) {
            return Err(again("the storage names addresses without HTTPS".into()));
        }
        Ok(Some(plan))
    }

    /// Leave to read a file, from the Hub where there is none yet.
    async fn leave_of(
        &self,
        leaves: &Leaves,
        source: &Source,
        at: &Url,
    ) -> Result<Arc<Leave>, Fault> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Given {
            cas_url: String,
            access_token: String,
        }
        // Connections that come together wait for one question.
        let mut held = leaves.0.lock().await;
        if let Some(leave) = held.as_ref().filter(|l| l.at == *at) {
            return Ok(Arc::clone(leave));
        }
        let answer = self.get(at, None).await?;
        if answer.status() != StatusCode::OK {
            return Err(Fault::of_response(
                &answer,
                source.asked(),
                self.has_token(),
            ));
        }
        let text = limited(answer, LONGEST_LEAVE).await?;
        let unusable = || Fault::Again {
            why: "the Hub's leave to read from its storage cannot be used".into(),
            after: None,
        };
        let given: Given = serde_json::from_slice(&text).map_err(|_| unusable())?;
        let front = Url::parse(&given.cas_url)
            .ok()
            .filter(|u| u.has_host() && self.trusts(u))
            .ok_or_else(unusable)?;
        let leave = Arc::new(Leave {
            at: at.clone(),
            front,
            token: Secret::new(given.access_token),
        });
        *held = Some(Arc::clone(&leave));
        Ok(leave)
    }

    /// Whether an address is as safe as the Hub's own.
    fn trusts(&self, url: &Url) -> bool {
        url.scheme() == "https" || (url.scheme() == "http" && self.endpoint.scheme() == "http")
    }
}

impl Leaves {
    /// Forgets a leave, unless another one was given meanwhile.
    async fn forget(&self, leave: &Arc<Leave>) {
        let mut held = self.0.lock().await;
        if held.as_ref().is_some_and(|l| Arc::ptr_eq(l, leave)) {
            *held = None;
        }
    }
}

/// The address with this relation in `Link: <…>; rel="…", <…>; rel="…"`.
fn linked<'a>(headers: &'a HeaderMap, relation: &str) -> Option<&'a str> {
    let quoted = format!("rel=\"{relation}\"");
    let bare = format!("rel={relation}");
    let values = headers.get_all("link").into_iter();
    values
        .filter_map(|v| v.to_str().ok())
        .flat_map(|text| text.split('<').skip(1))
        .find_map(|link| {
            let (url, about) = link.split_once('>')?;
            let mut about = about.trim_end_matches([',', ' ']).split(';').map(str::trim);
            about.any(|p| p == quoted || p == bare).then_some(url)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn term(hash: &str, chunks: (u32, u32), len: u32) -> Value {
        json!({"hash": hash, "unpacked_length": len, "range": {"start": chunks.0, "end": chunks.1}})
    }

    fn info(chunks: (u32, u32), bytes: (u64, u64), url: &str) -> Value {
        json!({"range": {"start": chunks.0, "end": chunks.1}, "url": url,
               "url_range": {"start": bytes.0, "end": bytes.1}})
    }

    fn plan(skip: u64, terms: &[Value], at: Value, wanted: u64) -> Result<ChunkPlan, String> {
        let text = json!({"offset_into_first_range": skip, "terms": terms, "fetch_info": at});
        ChunkPlan::of(&serde_json::from_value(text).unwrap(), wanted)
    }

    #[test]
    fn chunks_that_lie_behind_each_other_come_in_one_answer() {
        let at = json!({
            A: [info((2, 9), (100, 899), "https://s.example/a?x=1")],
            B: [info((0, 1), (0, 49), "https://s.example/b?x=1")],
        });
        let terms = [
            term(A, (3, 5), 200),
            term(A, (5, 7), 210),
            term(B, (0, 1), 70),
            term(A, (7, 9), 190),
            term(A, (3, 4), 100),
        ];
        let plan = plan(20, &terms, at, 740).unwrap();
        let seen: Vec<_> = plan
            .parts
            .iter()
            .map(|p| (p.url.path(), p.before, p.chunks, p.len))
            .collect();
        let a = "/a";
        assert_eq!(
            seen,
            [
                (a, 1, 4, 410),
                ("/b", 0, 1, 70),
                (a, 5, 2, 190),
                (a, 1, 1, 100)
            ]
        );
        assert_eq!(plan.skip, 20);
        assert_eq!(plan.cost(), 3 * 800 + 50, "what lies between comes along");
    }

    #[test]
    fn a_list_of_other_chunks_is_no_list() {
        let at = json!({A: [info((0, 4), (0, 399), "https://s.example/a")]});
        let good = [term(A, (0, 4), 400)];
        assert!(plan(0, &good, at.clone(), 400).is_ok());
        for (skip, terms, wanted) in [
            (0, vec![], 400),
            (0, vec![term(A, (0, 4), 399)], 400),
            (1, good.to_vec(), 400),
            (400, good.to_vec(), 0),
            (0, vec![term(A, (0, 5), 400)], 400),
            (0, vec![term(A, (2, 2), 400)], 400),
            (0, vec![term(B, (0, 4), 400)], 400),
        ] {
            assert!(plan(skip, &terms, at.clone(), wanted).is_err(), "{terms:?}");
        }
        let backwards = json!({A: [info((0, 4), (400, 3), "https://s.example/a")]});
        assert!(plan(0, &good, backwards, 400).is_err());
    }

    fn leave(endpoint: &str, name: &'static str, value: &str) -> Option<String> {
        let hub = Hub::new(
            endpoint,
            Some(Secret::new("hf_x")),
            std::time::Duration::from_secs(1),
            CancellationToken::new(),
        )
        .unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        hub.leave(&headers).map(String::from)
    }

    #[test]
    fn leave_is_asked_of_the_hub_itself_and_of_nobody_else() {
        let route = "/api/models/o/n/xet-read-token/abc";
        let own = format!("https://huggingface.co{route}");
        let link = format!(
            "<{own}>; rel=\"xet-auth\", <https://cas.example/v1/r>; rel=\"xet-reconstruction-info\""
        );
        let hub = "https://huggingface.co";
        assert_eq!(leave(hub, "link", &link), Some(own.clone()));
        assert_eq!(leave(hub, "x-xet-refresh-route", &own), Some(own.clone()));
        assert_eq!(leave(hub, "x-xet-refresh-route", route), Some(own));
        assert_eq!(
            leave("https://m.example/hf/", "link", &link),
            Some(format!("https://m.example/hf{route}"))
        );
        let foreign = link.replace("//huggingface.co", "//elsewhere.example");
        assert_eq!(leave(hub, "link", &foreign), None);
        let other = link.replace("xet-auth", "next");
        assert_eq!(leave(hub, "link", &other), None);
    }
}
