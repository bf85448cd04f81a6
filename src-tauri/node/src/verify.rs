//! Compares what is on the disk with what the Hub lists, and a grafted checkpoint with its manifest.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use tandem_domain::graft::index;
use tandem_domain::node::{FileFault, VerifyReceipt, VerifyRequest};
use tandem_domain::secret::Secret;

use crate::cache::{Cache, check_repo};
use crate::fetch::heads;
use crate::graft::{Manifest, local_header};
use crate::hub::{Hub, Remote};
use crate::transfer::{Meter, Reporter};
use crate::work::{Context, Stop};

/// Carries a verification out.
pub async fn verify(
    request: &VerifyRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<VerifyReceipt, Stop> {
    check_repo(&request.repo)?;
    let cache = Cache::find(request.hf_home.as_deref())?;
    let meter = Meter::new("Asking the Hub what should be there");
    let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
    let hub = Hub::new(
        &request.endpoint,
        token,
        context.settings.patience,
        context.cancel.clone(),
    )?;
    let listing = hub.revision(&request.repo, &request.commit).await?;
    let files = heads(&hub, &request.repo, &listing.commit, &listing.files).await?;
    let snapshot = cache.snapshot(&request.repo, &listing.commit);
    let mut receipt = VerifyReceipt {
        snapshot: snapshot.to_string_lossy().into_owned(),
        commit: listing.commit.clone(),
        files: 0,
        bytes: 0,
        faults: Vec::new(),
    };
    meter.set(0, files.values().map(|f| f.size).sum());
    for (name, remote) in &files {
        meter.doing(format!("Checking {name}"));
        receipt.files += 1;
        if let Err(fault) = one(&snapshot, name, remote, request.deep, &meter, context).await? {
            receipt.faults.push(FileFault {
                name: name.clone(),
                fault,
            });
        } else {
            receipt.bytes += remote.size;
        }
        if !request.deep {
            meter.add(remote.size);
        }
    }
    receipt.faults.extend(of_index(&snapshot, &files));
    let overlay = cache.overlay(&request.repo, &listing.commit);
    if let Some(manifest) = Manifest::read(&overlay) {
        meter.doing("Checking the grafted checkpoint");
        let deep = request.deep;
        let faults = tokio::task::spawn_blocking({
            let (manifest, overlay) = (manifest.clone(), overlay.clone());
            move || manifest.faults(&overlay, deep)
        })
        .await
        .unwrap_or_default();
        receipt.files += manifest.written.len() as u32;
        receipt.bytes += manifest.written.iter().map(|w| w.size).sum::<u64>();
        receipt
            .faults
            .extend(faults.into_iter().map(|(name, fault)| FileFault {
                name: format!("{} (grafted)", name),
                fault,
            }));
    }
    Ok(receipt)
}

/// Looks at one file; the inner error is what is wrong with it.
async fn one(
    snapshot: &Path,
    name: &str,
    remote: &Remote,
    deep: bool,
    meter: &Arc<Meter>,
    context: &Context,
) -> Result<Result<(), String>, Stop> {
    let path = snapshot.join(name);
    let size = match std::fs::metadata(&path) {
        Ok(meta) => meta.len(),
        Err(_) => return Ok(Err("It is not there.".into())),
    };
    if size != remote.size {
        return Ok(Err(format!(
            "It has {size} bytes and should have {}.",
            remote.size
        )));
    }
    if name.ends_with(".safetensors")
        && let Err(problem) = local_header(&path, name)
    {
        return Ok(Err(problem.cause.unwrap_or(problem.message)));
    }
    if !deep {
        return Ok(Ok(()));
    }
    let (etag, cancel, meter) = (
        remote.etag.clone(),
        context.cancel.clone(),
        Arc::clone(meter),
    );
    let found = tokio::task::spawn_blocking(move || {
        let file = File::open(&path)?;
        let mut hasher = crate::digest::Hasher::of_etag(&etag, size);
        crate::digest::read_through(&file, |_, bytes| {
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            meter.add(bytes.len() as u64);
            !cancel.is_cancelled()
        })?;
        Ok::<_, std::io::Error>(hasher.map(|h| h.hex() == etag))
    })
    .await
    .unwrap_or_else(|e| Err(std::io::Error::other(e)));
    if context.cancel.is_cancelled() {
        return Err(Stop::Cancelled);
    }
    Ok(match found {
        Ok(Some(false)) => Err("Its content is not what the Hub has.".into()),
        Ok(_) => Ok(()),
        Err(e) => Err(format!("It cannot be read: {e}.")),
    })
}

/// Whether every file that the index names is in the listing and holds what the index says.
fn of_index(snapshot: &Path, files: &BTreeMap<String, Remote>) -> Vec<FileFault> {
    let fault = |name: &str, fault: String| FileFault {
        name: name.to_owned(),
        fault,
    };
    let Ok(text) = std::fs::read(snapshot.join(index::FILE)) else {
        return Vec::new();
    };
    let index = match index::parse(&text) {
        Ok(index) => index,
        Err(e) => return vec![fault(index::FILE, format!("{e}."))],
    };
    let mut of_file: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, file) in &index.weight_map {
        of_file.entry(file).or_default().push(tensor);
    }
    let mut faults = Vec::new();
    for (file, tensors) in of_file {
        if !files.contains_key(file) && !snapshot.join(file).exists() {
            faults.push(fault(
                file,
                "The index names it, but it is not there.".into(),
            ));
            continue;
        }
        let Ok(header) = local_header(&snapshot.join(file), file) else {
            continue; // said above
        };
        let names: std::collections::BTreeSet<&str> =
            header.tensors.iter().map(|t| t.name.as_str()).collect();
        if let Some(missing) = tensors.iter().find(|t| !names.contains(**t)) {
            faults.push(fault(
                file,
                format!("The index says that {missing} is in it, but it is not."),
            ));
        }
    }
    faults
}
