//! What is asked at which address.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::State;
use super::catalog::{Entry, Revision, pointer};
use super::content::give;
use super::faults::{Fault, FaultKind, Side};
use super::refuse::{absent, access, no_entry, refuse};
use super::signing::{now, until};
use super::xet;
use crate::wire::{Answer, empty, json as answer_json, pieces, query, set, unescape};

fn token<B>(request: &Request<B>) -> Option<String> {
    let text = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    text.strip_prefix("Bearer ").map(str::to_owned)
}

/// Answers on the Hub's own port.
pub(crate) async fn hub(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let path = unescape(request.uri().path(), false);
    let mut response = answered(Arc::clone(&state), request).await;
    if path.contains("/resolve") {
        other_header(&state, Side::Resolve, &path, &mut response);
    }
    response
}

/// Gives an answer the header that a fault wants.
fn other_header(state: &State, side: Side, path: &str, response: &mut Answer) {
    let header = state.faults.strike(side, path, |k| match k {
        FaultKind::Header { name, value } => Some((name.clone(), value.clone())),
        _ => None,
    });
    if let Some((name, value)) = header
        && let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
    {
        response.headers_mut().insert(name, value);
    }
}

async fn answered(state: Arc<State>, request: Request<Incoming>) -> Answer {
    let path = unescape(request.uri().path(), false);
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if let ["_faults"] | ["_counters"] = parts.as_slice() {
        return control(&state, request, parts[0] == "_faults").await;
    }
    state.counters.request();
    // A mirror often lies below a path of its own.
    let parts = parts
        .strip_prefix(&["mirror", "of", "models"])
        .unwrap_or(&parts);
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    match parts {
        ["api", "whoami-v2"] if read => whoami(&state, &request),
        ["api", "models", owner, name] if read => {
            info(&state, &request, &format!("{owner}/{name}"), "main").await
        }
        ["api", "models", owner, name, "revision", rev @ ..] if read => {
            info(&state, &request, &format!("{owner}/{name}"), &rev.join("/")).await
        }
        ["api", "models", owner, name, "xet-read-token", _] if read => xet::leave(
            &state,
            &format!("{owner}/{name}"),
            token(&request).as_deref(),
        ),
        ["api", "models", owner, name, "tree", rev, below @ ..] if read => {
            let repo = format!("{owner}/{name}");
            let recursive = query(&request, "recursive").is_some_and(|v| v != "false" && v != "0");
            listing(&state, &request, &repo, rev, |found| {
                Value::Array(tree(found, &below.join("/"), recursive))
            })
            .await
        }
        ["api", "models", owner, name, "paths-info", rev] if *request.method() == Method::POST => {
            paths_info(
                &state,
                request,
                format!("{owner}/{name}"),
                (*rev).to_owned(),
            )
            .await
        }
        [
            "api",
            "resolve-cache",
            "models",
            owner,
            name,
            commit,
            file @ ..,
        ] if read => {
            let repo = format!("{owner}/{name}");
            resolve(&state, &request, &repo, commit, &file.join("/"), true).await
        }
        [owner, name, "resolve", rev, file @ ..] if read && !file.is_empty() => {
            let repo = format!("{owner}/{name}");
            resolve(&state, &request, &repo, rev, &file.join("/"), false).await
        }
        _ => refuse(
            404,
            None,
            "Sorry, we can't find the page you are looking for.",
        ),
    }
}

/// Reads and sets faults, reads and resets counters.
async fn control(state: &Arc<State>, request: Request<Incoming>, faults: bool) -> Answer {
    let method = request.method().clone();
    let show = || {
        if faults {
            answer_json(StatusCode::OK, &state.faults.list())
        } else {
            answer_json(StatusCode::OK, &state.counters.read())
        }
    };
    match method {
        Method::GET => show(),
        Method::DELETE => {
            if faults {
                state.faults.clear();
            } else {
                state.counters.reset();
            }
            show()
        }
        Method::POST if faults => {
            let Ok(body) = request.into_body().collect().await else {
                return refuse(400, None, "the fault did not arrive");
            };
            match serde_json::from_slice::<Fault>(&body.to_bytes()) {
                Ok(fault) => {
                    state.faults.add(fault);
                    show()
                }
                Err(error) => refuse(400, None, &format!("not a fault: {error}")),
            }
        }
        _ => empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

fn whoami(state: &State, request: &Request<Incoming>) -> Answer {
    let token = token(request);
    if let Some(refused) = access(state, Side::Api, "", "", token.as_deref()) {
        return refused;
    }
    match token {
        Some(_) => answer_json(
            StatusCode::OK,
            &json!({"type": "user", "name": "rehearsal", "auth": {"type": "access_token"}}),
        ),
        None => refuse(401, None, "Invalid username or password."),
    }
}

/// Looks a revision up off the async threads, since it may have to hash a file.
async fn find(
    state: &Arc<State>,
    repo: &str,
    rev: &str,
    token: Option<&str>,
) -> Result<Revision, Answer> {
    let (catalog, repo_, rev_) = (state.clone(), repo.to_owned(), rev.to_owned());
    tokio::task::spawn_blocking(move || catalog.catalog.revision(&repo_, &rev_))
        .await
        .map_err(|_| refuse(500, None, "the listing failed"))?
        .map_err(|what| absent(what, rev, token))
}

async fn listing<B>(
    state: &Arc<State>,
    request: &Request<B>,
    repo: &str,
    rev: &str,
    shape: impl FnOnce(&Revision) -> Value,
) -> Answer {
    let token = token(request);
    if let Some(refused) = access(state, Side::Api, repo, repo, token.as_deref()) {
        return refused;
    }
    if let Some(response) = other_listing(state, repo) {
        return response;
    }
    match find(state, repo, rev, token.as_deref()).await {
        Ok(found) => {
            let mut response = answer_json(StatusCode::OK, &shape(&found));
            set(&mut response, "x-repo-commit", &found.commit);
            response
        }
        Err(refused) => refused,
    }
}

/// The list of files that a fault wants.
fn other_listing(state: &State, repo: &str) -> Option<Answer> {
    let (first, piece) = state.faults.strike(Side::Api, repo, |k| match k {
        FaultKind::Listing { text } => Some((text.clone(), None)),
        FaultKind::EndlessListing { first, piece } => Some((first.clone(), Some(piece.clone()))),
        _ => None,
    })?;
    let mut response = empty(StatusCode::OK);
    set(&mut response, "content-type", "application/json");
    let first = futures::stream::iter([Ok(Bytes::from(first))]);
    // Some kilobytes at a time, as a fast server sends them.
    let again = piece.map(|piece| Bytes::from(piece.repeat((64 << 10) / piece.len().max(1) + 1)));
    let again =
        futures::stream::iter(again).flat_map(|piece| futures::stream::repeat(piece).map(Ok));
    *response.body_mut() = pieces(first.chain(again));
    Some(response)
}

async fn info(state: &Arc<State>, request: &Request<Incoming>, repo: &str, rev: &str) -> Answer {
    let blobs = query(request, "blobs").is_some_and(|v| v != "false" && v != "0");
    listing(state, request, repo, rev, |found| {
        let siblings: Vec<Value> = found.files.iter().map(|f| sibling(f, blobs)).collect();
        json!({
            "_id": "66a1f0c0ffee0d15ea5e0000",
            "id": repo,
            "modelId": repo,
            "author": repo.split('/').next(),
            "sha": found.commit,
            "private": false,
            "gated": false,
            "disabled": false,
            "downloads": 0,
            "likes": 0,
            "createdAt": "2026-05-28T00:00:00.000Z",
            "lastModified": "2026-06-01T00:00:00.000Z",
            "library_name": "transformers",
            "tags": ["transformers", "safetensors", "step3p7", "license:apache-2.0"],
            "siblings": siblings,
        })
    })
    .await
}

fn lfs(entry: &Entry) -> Option<Value> {
    let sha = entry.lfs.as_ref()?;
    Some(json!({
        "sha256": sha, "oid": sha, "size": entry.size,
        "pointerSize": pointer(sha, entry.size).len(),
    }))
}

fn sibling(entry: &Entry, blobs: bool) -> Value {
    let mut value = json!({"rfilename": entry.name});
    if blobs && let Some(map) = value.as_object_mut() {
        map.insert("blobId".into(), json!(entry.oid));
        map.insert("size".into(), json!(entry.size));
        if let Some(lfs) = lfs(entry) {
            map.insert("lfs".into(), lfs);
        }
    }
    value
}

fn tree_entry(entry: &Entry) -> Value {
    let mut value =
        json!({"type": "file", "oid": entry.oid, "size": entry.size, "path": entry.name});
    if let (Some(map), Some(lfs)) = (value.as_object_mut(), lfs(entry)) {
        map.insert("lfs".into(), lfs);
    }
    value
}

fn tree(found: &Revision, below: &str, recursive: bool) -> Vec<Value> {
    let prefix = if below.is_empty() {
        String::new()
    } else {
        format!("{below}/")
    };
    let mut folders = std::collections::BTreeSet::new();
    let mut out = Vec::new();
    for entry in &found.files {
        let Some(rest) = entry.name.strip_prefix(&prefix) else {
            continue;
        };
        match rest.split_once('/') {
            Some((folder, _)) if !recursive => {
                if folders.insert(folder.to_owned()) {
                    out.push(json!({"type": "directory", "oid": entry.oid, "size": 0, "path": format!("{prefix}{folder}")}));
                }
            }
            _ => out.push(tree_entry(entry)),
        }
    }
    out
}

async fn paths_info(
    state: &Arc<State>,
    request: Request<Incoming>,
    repo: String,
    rev: String,
) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return refuse(400, None, "the list of paths did not arrive");
    };
    let wanted: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let request = Request::from_parts(head, ());
    listing(state, &request, &repo, &rev, |found| {
        let wanted: Vec<&str> = wanted["paths"]
            .as_array()
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let hits = found
            .files
            .iter()
            .filter(|f| wanted.contains(&f.name.as_str()));
        Value::Array(hits.map(tree_entry).collect())
    })
    .await
}

/// `/resolve/`: small files by a relative redirect to this host, large ones by an absolute one to the CDN.
async fn resolve(
    state: &Arc<State>,
    request: &Request<Incoming>,
    repo: &str,
    rev: &str,
    file: &str,
    cached: bool,
) -> Answer {
    let token = token(request);
    let key = format!("{repo}/{file}");
    if let Some(refused) = access(state, Side::Resolve, repo, &key, token.as_deref()) {
        return refused;
    }
    let found = match find(state, repo, rev, token.as_deref()).await {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    let Some(entry) = found.files.iter().find(|f| f.name == file) else {
        let mut refused = no_entry();
        set(&mut refused, "x-repo-commit", &found.commit);
        return refused;
    };
    let mut response = match (&entry.lfs, cached) {
        (None, true) => give(state, request, Side::Resolve, &key, entry),
        (None, false) => {
            let mut response = empty(StatusCode::TEMPORARY_REDIRECT);
            let to = format!(
                "/api/resolve-cache/models/{repo}/{}/{file}?etag=%22{}%22",
                found.commit, entry.oid
            );
            set(&mut response, "location", to);
            response
        }
        (Some(sha), _) => {
            let mut response = empty(StatusCode::FOUND);
            let host = request
                .headers()
                .get(header::HOST)
                .and_then(|h| h.to_str().ok());
            let expired = state.faults.strike(Side::Resolve, &key, |k| {
                matches!(k, FaultKind::ExpiredUrls).then_some(())
            });
            let short = state.faults.strike(Side::Resolve, &key, |k| match k {
                FaultKind::SignedFor { seconds } => Some(*seconds),
                _ => None,
            });
            let path = format!("/{repo}/{}/{file}", found.commit);
            let signed = state.signed(&path, until(expired.is_some(), short));
            let to = format!("{}{signed}", state.cdn_base(host));
            set(&mut response, "location", to);
            set(&mut response, "x-linked-size", entry.size.to_string());
            let other = state.faults.strike(Side::Resolve, &key, |k| {
                matches!(k, FaultKind::OtherContent).then(|| "0".repeat(64))
            });
            let name = other.as_ref().unwrap_or(sha);
            set(&mut response, "x-linked-etag", format!("\"{name}\""));
            let xet = state.faults.strike(Side::Resolve, &key, |k| {
                matches!(k, FaultKind::XetNames).then_some(())
            });
            if xet.is_some() {
                set(&mut response, "x-xet-hash", xet_hash(sha));
            }
            if let Some(name) = state.xet.get().and_then(|x| x.name(sha)) {
                set(&mut response, "x-xet-hash", name);
                let at = format!("/api/models/{repo}/xet-read-token/{}", found.commit);
                let hub = host.unwrap_or_default();
                set(
                    &mut response,
                    "link",
                    format!(
                        "<http://{hub}{at}>; rel=\"xet-auth\", <http://storage.invalid/v1/reconstructions/{name}>; rel=\"xet-reconstruction-info\""
                    ),
                );
            }
            set(&mut response, "etag", format!("\"{}\"", entry.oid));
            response
        }
    };
    set(&mut response, "x-repo-commit", &found.commit);
    response
}

/// Stands for the name that Xet gives to a file: as long, and another one than the sha256.
pub fn xet_hash(sha256: &str) -> String {
    hex::encode(Sha256::digest(format!("xet {sha256}")))
}

/// Answers on the CDN's port.
pub(crate) async fn cdn(state: Arc<State>, request: Request<Incoming>) -> Answer {
    state.counters.request();
    let path = unescape(request.uri().path(), false);
    let denied = |why: &str| {
        let mut response = refuse(403, None, why);
        set(&mut response, "content-type", "application/xml");
        response
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return empty(StatusCode::METHOD_NOT_ALLOWED);
    }
    if request.headers().contains_key(header::AUTHORIZATION) {
        state.counters.violation(format!(
            "A token was shown to the CDN with {} {path}.",
            request.method()
        ));
        return refuse(400, None, "Only one auth mechanism allowed");
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let [owner, name, commit, file @ ..] = parts.as_slice() else {
        return denied("AccessDenied");
    };
    let until: u64 = query(&request, "Expires")
        .and_then(|t| t.parse().ok())
        .unwrap_or(0);
    if query(&request, "Signature").as_deref() != Some(state.sign(&path, until).as_str()) {
        return denied("SignatureDoesNotMatch");
    }
    if until < now() {
        state.counters.expired();
        return denied("Request has expired");
    }
    if let ["xorbs", "default", object] = parts.as_slice() {
        return xet::object(&state, &request, object);
    }
    let (repo, file) = (format!("{owner}/{name}"), file.join("/"));
    let key = format!("{repo}/{file}");
    if let Some(refused) = access(&state, Side::Cdn, &repo, &key, None) {
        return refused;
    }
    match find(&state, &repo, commit, None).await {
        Ok(found) => match found.files.iter().find(|f| f.name == file) {
            Some(entry) => give(&state, &request, Side::Cdn, &key, entry),
            None => denied("NoSuchKey"),
        },
        Err(_) => denied("NoSuchKey"),
    }
}
