//! What a revision holds: its commit and the names of its files.
//!
//! The answer is read as it comes and never held as a whole. It, its texts and its names have a length at which
//! they are refused, so that an answer without an end costs this machine neither its memory nor its time.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use tandem_domain::repository::{is_commit, refuses_file};
use tokio::sync::mpsc::{Receiver, channel};

use super::error::not_a_hub;
use super::{Asked, Fault, Hub};
use crate::hub_error::HubError;
use crate::stop::Stop;

/// The longest answer, in bytes. A repository of ten thousand files has one of two million.
const LONGEST: u64 = 64 << 20;
/// The longest text in it, in bytes; a model's card is the longest in a real one.
const LONGEST_TEXT: usize = 1 << 20;
/// The most files, and the most bytes of all their names. The Hub advises to stay below 100,000 files.
const MOST_FILES: (usize, usize) = (100_000, 8 << 20);
/// How long the whole answer may take.
const TIME: Duration = Duration::from_secs(120);

/// The commit and file names of a revision.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The commit that the revision means.
    pub commit: String,
    /// FileNames of its files.
    pub files: Vec<String>,
}

#[derive(Deserialize)]
struct RevisionInfo {
    sha: Option<String>,
    siblings: Option<FileNames>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// FileNames as far as there may be any.
struct FileNames {
    names: Vec<String>,
    too_many: bool,
}

impl<'de> Deserialize<'de> for FileNames {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(FileNamesVisitor)
    }
}

struct FileNamesVisitor;

impl<'de> Visitor<'de> for FileNamesVisitor {
    type Value = FileNames;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the files of a revision")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<FileNames, A::Error> {
        let (mut names, mut bytes, mut too_many) = (Vec::new(), 0, false);
        while let Some(Sibling { rfilename }) = seq.next_element()? {
            bytes += rfilename.len();
            too_many |= names.len() >= MOST_FILES.0 || bytes > MOST_FILES.1;
            if !too_many {
                names.push(rfilename);
            }
        }
        Ok(FileNames { names, too_many })
    }
}

/// The answer's bytes as they come, as far as they may go.
struct Arriving {
    chunks: Receiver<Bytes>,
    at: Bytes,
    left: u64,
    text: TextLength,
}

/// Counts the bytes of the text that is being read.
#[derive(Default)]
struct TextLength {
    inside: bool,
    escaped: bool,
    len: usize,
}

impl TextLength {
    /// Goes on; `false` where the text is too long.
    fn pass(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            match (self.inside, byte) {
                (true, _) if self.escaped => self.escaped = false,
                (true, b'\\') => self.escaped = true,
                (_, b'"') => {
                    self.inside = !self.inside;
                    self.len = 0;
                }
                _ => {}
            }
            self.len += 1;
            if self.inside && self.len > LONGEST_TEXT {
                return false;
            }
        }
        true
    }
}

impl Read for Arriving {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.at = chunk,
                None => return Ok(0),
            }
        }
        let n = into.len().min(self.at.len());
        self.at.copy_to_slice(&mut into[..n]);
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other("the answer is too long"))?;
        if self.text.pass(&into[..n]) {
            Ok(n)
        } else {
            Err(io::Error::other("a text is too long"))
        }
    }
}

impl Hub {
    /// Asks what a revision holds.
    pub async fn revision(&self, repo: &str, revision: &str) -> Result<Listing, Stop> {
        let asked = Asked {
            repo,
            revision,
            file: None,
        };
        let info = self
            .patiently(asked, || async {
                tokio::time::timeout(TIME, self.listed_once(asked))
                    .await
                    .unwrap_or_else(|_| {
                        Err(Fault::Again {
                            why: "its list of files did not end in time".into(),
                            after: None,
                        })
                    })
            })
            .await?;
        let unusable = |cause: String| {
            let repo = repo.to_owned();
            Stop::from(HubError::NotUsable { repo, cause })
        };
        let (Some(commit), Some(siblings)) = (info.sha, info.siblings) else {
            return Err(unusable("The answer names no commit or no files.".into()));
        };
        if siblings.too_many {
            return Err(unusable(format!(
                "It lists more than {} files, or names that are too long together.",
                MOST_FILES.0
            )));
        }
        let mut files = siblings.names;
        files.sort();
        let refused =
            |name: &String| refuses_file(name).map(|why| (name.escape_debug().to_string(), why));
        if let Some((bad, why)) = files.iter().find_map(refused) {
            let shown: String = bad.chars().take(200).collect();
            return Err(unusable(format!(
                "It has a file named “{shown}”, and {why}."
            )));
        }
        if !is_commit(&commit) {
            let shown: String = commit.escape_debug().take(80).collect();
            return Err(unusable(format!("“{shown}” is not a commit.")));
        }
        Ok(Listing { commit, files })
    }

    async fn listed_once(&self, asked: Asked<'_>) -> Result<RevisionInfo, Fault> {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["api", "models"])
                .extend(asked.repo.split('/'))
                .extend(["revision", asked.revision]);
        }
        for _ in 0..8 {
            let answer = self.get(&url, None).await?;
            let status = answer.status();
            if status.is_redirection() {
                url = self.redirected(&answer, &url, asked)?;
                continue;
            }
            if status != StatusCode::OK {
                return Err(self.refusal(answer, asked).await);
            }
            return read(answer, asked).await;
        }
        Err(HubError::NotUsable {
            repo: asked.repo.to_owned(),
            cause: "It answers with one redirect after the other.".into(),
        }
        .into())
    }
}

async fn read(mut answer: Response, asked: Asked<'_>) -> Result<RevisionInfo, Fault> {
    let (chunks, arriving) = channel(4);
    let arriving = Arriving {
        chunks: arriving,
        at: Bytes::new(),
        left: LONGEST,
        text: TextLength::default(),
    };
    let reading = tokio::task::spawn_blocking(move || {
        serde_json::from_reader::<_, RevisionInfo>(io::BufReader::new(arriving))
    });
    while let Some(chunk) = answer.chunk().await.map_err(|e| Fault::of_transport(&e))? {
        // Whoever reads has seen enough.
        if chunks.send(chunk).await.is_err() {
            break;
        }
    }
    drop(chunks);
    match reading.await {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(e)) if e.is_io() => Err(HubError::NotUsable {
            repo: asked.repo.to_owned(),
            cause: format!(
                "Its list of files is longer than {} MiB, or a text in it than {} MiB.",
                LONGEST >> 20,
                LONGEST_TEXT >> 20
            ),
        }
        .into()),
        _ => Err(not_a_hub(asked).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<RevisionInfo, serde_json::Error> {
        let (chunks, arriving) = channel(text.len() / 7 + 2);
        for chunk in text.chunks(7) {
            chunks.try_send(Bytes::copy_from_slice(chunk)).unwrap();
        }
        drop(chunks);
        serde_json::from_reader(Arriving {
            chunks: arriving,
            at: Bytes::new(),
            left: 4 << 20,
            text: TextLength::default(),
        })
    }

    #[test]
    fn a_listing_is_read_as_it_comes_and_refused_where_it_has_no_end() {
        let info = parse(br#"{"id":"o/n","card":{"x":[1,"a \" b"]},"sha":"c","siblings":[{"rfilename":"a"},{"rfilename":"b\n","size":7}]}"#).unwrap();
        assert_eq!(info.sha.as_deref(), Some("c"));
        let names = info.siblings.unwrap();
        assert_eq!(
            (names.names.as_slice(), names.too_many),
            (&["a".to_owned(), "b\n".to_owned()][..], false)
        );
        let long = format!("{{\"card\":\"{}\"}}", "x".repeat(LONGEST_TEXT + 1));
        assert!(parse(long.as_bytes()).is_err_and(|e| e.is_io()));
        let long = format!("{{\"card\":[{}1]}}", "1,".repeat(3 << 20));
        assert!(parse(long.as_bytes()).is_err_and(|e| e.is_io()));
        let many = format!(
            "{{\"siblings\":[{}{{\"rfilename\":\"z\"}}]}}",
            "{\"rfilename\":\"a\"},".repeat(MOST_FILES.0)
        );
        let names = parse(many.as_bytes()).unwrap().siblings.unwrap();
        assert!(names.too_many && names.names.len() == MOST_FILES.0);
        assert!(parse(b"<html>").is_err_and(|e| !e.is_io()));
    }
}
