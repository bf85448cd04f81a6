//! The Hub's storage for large files, as far as a download meets it: leave to read, lists of chunks from a
//! front on a port of its own, and the objects that hold the chunks, with signed addresses on the CDN.
//!
//! Cutting, packing and listing are done by the storage's own crates (`xet-data` puts files in as an upload
//! does, `xet-client`'s local store lists them), so what a download is tested against is not our idea of it.
//! Ours are the ports, the tokens, the signatures and the faults.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;
use xet_client::cas_client::LocalClient;
use xet_client::cas_types::FileRange;
use xet_core_structures::merklehash::MerkleHash;
use xet_data::processing::configurations::TranslatorConfig;
use xet_data::processing::{FileUploadSession, Sha256Policy};
use xet_runtime::core::XetContext;

use super::catalog::Entry;
use super::content::{give, range};
use super::faults::{FaultKind, Side};
use super::refuse::{access, refuse};
use super::{Hub, State, listen, signing};
use crate::wire::{Answer, json as answer_json, query, serve};

/// Files in chunks.
pub(crate) struct Store {
    client: Arc<LocalClient>,
    objects: PathBuf,
    /// The files' names here, by their sha256.
    names: BTreeMap<String, String>,
    front: SocketAddr,
    /// How often leave was taken back.
    ended: AtomicU32,
    /// The leave that is good.
    leave: Mutex<String>,
}

impl Store {
    /// What a file is called here.
    pub(crate) fn name(&self, sha256: &str) -> Option<&str> {
        self.names.get(sha256).map(String::as_str)
    }

    fn leave(&self) -> String {
        let leave = self.leave.lock().unwrap_or_else(PoisonError::into_inner);
        leave.clone()
    }
}

impl Hub {
    /// Puts the large files of a revision into chunks below `folder` and offers them so from now on, once
    /// in a Hub's life. It takes a while: they are cut and packed as for an upload.
    pub async fn offer_xet(&self, repo: &str, revision: &str, folder: &Path) -> io::Result<()> {
        let found = self.state.catalog.revision(repo, revision);
        let found = found.map_err(|_| io::Error::other("there is no such revision"))?;
        let large: Vec<&Entry> = found.files.iter().filter(|f| f.lfs.is_some()).collect();
        let context = XetContext::default().map_err(io::Error::other)?;
        let config = TranslatorConfig::local_config(&context, folder).map_err(io::Error::other)?;
        let session = FileUploadSession::new(Arc::new(config))
            .await
            .map_err(io::Error::other)?;
        let files = large.iter().map(|f| (&f.path, Sha256Policy::Skip));
        let put = session
            .upload_files(files)
            .await
            .map_err(io::Error::other)?;
        session.finalize().await.map_err(io::Error::other)?;
        let names = large.iter().zip(put);
        let names = names.filter_map(|(file, put)| Some((file.lfs.clone()?, put.hash)));
        let base = folder.join("xet/xorbs");
        let client = LocalClient::new(context, &base)
            .await
            .map_err(io::Error::other)?;
        let front = listen(SocketAddr::new(self.address.ip(), 0))?;
        let store = Store {
            client,
            objects: base.join("xorbs"),
            names: names.collect(),
            front: front.local_addr()?,
            ended: AtomicU32::new(0),
            leave: Mutex::new("leave-0".into()),
        };
        if self.state.xet.set(store).is_err() {
            return Err(io::Error::other("it is offered already"));
        }
        let state = Arc::clone(&self.state);
        tokio::spawn(serve(front, self.stopped.clone(), move |r| {
            answer(Arc::clone(&state), r)
        }));
        Ok(())
    }

    /// Takes back all leave that was given; a new question gets another.
    pub fn end_leave(&self) {
        if let Some(store) = self.state.xet.get() {
            let n = store.ended.fetch_add(1, Ordering::Relaxed) + 1;
            *store.leave.lock().unwrap_or_else(PoisonError::into_inner) = format!("leave-{n}");
        }
    }
}

/// `/api/models/OWNER/NAME/xet-read-token/COMMIT`: leave to read.
pub(crate) fn leave(state: &State, repo: &str, token: Option<&str>) -> Answer {
    let key = format!("{repo}/xet-read-token");
    if let Some(refused) = access(state, Side::Api, repo, &key, token) {
        return refused;
    }
    let Some(store) = state.xet.get() else {
        return refuse(404, None, "Not Found");
    };
    answer_json(
        StatusCode::OK,
        &json!({
            "casUrl": format!("http://{}", store.front),
            "accessToken": store.leave(),
            "exp": signing::now() + 900,
        }),
    )
}

/// Answers on the front's port: `/v1/reconstructions/NAME` with a range of the file.
async fn answer(state: Arc<State>, request: Request<Incoming>) -> Answer {
    state.counters.request();
    let path = request.uri().path().to_owned();
    let (Some(store), Some(name)) = (state.xet.get(), path.strip_prefix("/v1/reconstructions/"))
    else {
        return refuse(404, None, "Not Found");
    };
    let text = |name| request.headers().get(name).and_then(|v| v.to_str().ok());
    let shown = text(header::AUTHORIZATION).and_then(|t| t.strip_prefix("Bearer "));
    if shown.is_some_and(|t| !t.starts_with("leave-")) {
        let what = "The Hub's token was shown to the storage's front.";
        state.counters.violation(what.to_owned());
    }
    if *request.method() != Method::GET {
        return refuse(405, None, "Method Not Allowed");
    }
    if let Some(refused) = access(&state, Side::Front, "", &path, None) {
        return refused;
    }
    if shown != Some(store.leave().as_str()) {
        return refuse(401, None, "Unauthorized");
    }
    let Ok(hash) = MerkleHash::from_hex(name) else {
        return refuse(400, None, "Bad Request");
    };
    let Ok(part) = range(text(header::RANGE), u64::MAX) else {
        return refuse(416, None, "Range Not Satisfiable");
    };
    let part = part.map(|(from, to)| FileRange::new(from, to));
    let Ok(Some(mut list)) = store.client.get_reconstruction_v1(&hash, part).await else {
        return refuse(404, None, "Not Found");
    };
    let expired = state.faults.strike(Side::Front, &path, |k| {
        matches!(k, FaultKind::ExpiredUrls).then_some(())
    });
    let base = state.cdn_base(None);
    for (object, places) in &mut list.fetch_info {
        let path = format!("/xorbs/default/{}", object.0.hex());
        let signed = state.signed(&path, signing::until(expired.is_some(), None));
        for place in places {
            place.url = format!("{base}{signed}");
        }
    }
    answer_json(StatusCode::OK, &list)
}

/// Gives a stretch of an object, whose address was found good.
pub(crate) fn object<B>(state: &Arc<State>, request: &Request<B>, name: &str) -> Answer {
    let gone = || refuse(403, None, "AccessDenied");
    let (Some(store), Ok(hash)) = (state.xet.get(), MerkleHash::from_hex(name)) else {
        return gone();
    };
    let key = format!("xorbs/{name}");
    if let Some(refused) = access(state, Side::Cdn, "xorbs", &key, None) {
        return refused;
    }
    let path = store.objects.join(format!("default.{hash:?}"));
    let Ok(meta) = std::fs::metadata(&path) else {
        return gone();
    };
    if query(request, "Signature").is_none() || !request.headers().contains_key(header::RANGE) {
        return gone();
    }
    let entry = Entry {
        name: key.clone(),
        path,
        size: meta.len(),
        oid: name.to_owned(),
        lfs: None,
    };
    give(state, request, Side::Cdn, &key, &entry)
}
