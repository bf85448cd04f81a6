//! A container image as a file: saved by this machine's Docker to be served to another one, or copied from
//! another one and loaded.
//!
//! The file lies in the job's own folder, its spool. It is hashed while Docker writes it, and from then on
//! it travels as a checked blob does (see [`crate::copy`]), so that a cut link or a killed worker costs
//! nothing that has arrived. Docker's own pipe from one engine to the other would need no file, but would
//! begin again from nothing, for neither a save nor a load can be gone on with.

mod docker_api;
mod room;
mod save;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use tandem_domain::node::{LoadImage, Loaded, SaveImage, Spooled, Undone};
use tandem_domain::problem::{Code, Problem, Retry, bytes};
use tandem_domain::secret::Secret;
use tandem_domain::sizes::FileSize;
use tokio_util::io::ReaderStream;

use crate::context::Context;
use crate::copy::file::Coming;
use crate::copy::{Origin, ticket};
use crate::disk;
use crate::stop::Stop;
use crate::transfer::{Meter, Reporter};
use docker_api::DockerApi;
use room::{Need, ask_for_room};

/// Bytes of the file handed to Docker at a time.
const PART: usize = 256 << 10;

/// Adds up what an image's job has on the disk.
pub(crate) fn count(spool: &Path, undone: &mut Undone) {
    for entry in std::fs::read_dir(spool).into_iter().flatten().flatten() {
        undone.removed += 1;
        undone.bytes += entry.metadata().map_or(0, |m| m.len());
    }
}

/// The folder of the job's file, made.
fn spool(context: &Context) -> Result<PathBuf, Problem> {
    let folder = context.spool.clone().ok_or_else(|| {
        Problem::new(Code::BadInput, "Only a job can copy an image.")
            .cause("Its file lies in the job's folder, and work in the foreground has none.")
    })?;
    std::fs::create_dir_all(&folder)
        .map_err(|e| disk::problem("making the folder of the image", &folder, &e))?;
    Ok(folder)
}

/// Removes what an earlier start left of another file.
fn clear(spool: &Path, keep: &str) -> Result<(), Problem> {
    let clear = || -> io::Result<()> {
        for entry in std::fs::read_dir(spool)? {
            let entry = entry?;
            let name = entry.file_name();
            if keep.is_empty() || !name.to_string_lossy().starts_with(keep) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    clear().map_err(|e| disk::problem("removing an older file of the image", spool, &e))
}

fn another(image: &str, is: Option<&str>) -> Problem {
    let problem = Problem::new(
        Code::ImageDiffers,
        "This machine does not have the image that was meant.",
    );
    match is {
        Some(id) => problem.cause(format!("`{image}` is {id} here.")),
        None => problem.cause(format!("Docker has no `{image}` here.")),
    }
    .fix("Resume; it is looked at anew.")
    .retry(Retry::Now)
}

/// Has Docker write the image into the job's file. Cancelled or killed it begins again: Docker cannot go on
/// with a save.
pub async fn save(request: &SaveImage, context: &Context) -> Result<Spooled, Stop> {
    let spool = spool(context)?;
    let engine = DockerApi::here()?;
    let kept = engine.image(&request.image).await?;
    let Some(kept) = kept.as_ref().filter(|k| k.id == request.id) else {
        return Err(another(&request.image, kept.as_ref().map(|k| k.id.as_str())).into());
    };
    clear(&spool, "")?;
    // Docker lays the layers out on its own disk before it hands them on.
    let need = Need {
        file: kept.size,
        docker: kept.size,
    };
    ask_for_room(&need, &spool, engine.root().await.as_deref())?;
    let meter = Meter::new("Docker saves the image");
    let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
    let began = std::time::Instant::now();
    let spooled = tokio::select! {
        () = context.cancel.cancelled() => return Err(Stop::Cancelled),
        spooled = save::write(&engine, &request.image, &spool, &meter) => spooled?,
    };
    context.lines.note(format!(
        "Docker saved the image, {}, in {:.0} s.",
        bytes(spooled.bytes),
        began.elapsed().as_secs_f64()
    ));
    Ok(spooled)
}

/// Copies the image's file from the other machine and has Docker load it. The file is gone when it is
/// done; cancelled or killed it stays, and the next start goes on with it.
pub async fn load(
    request: &LoadImage,
    secret: Option<Secret>,
    context: &Context,
) -> Result<Loaded, Stop> {
    let ticket = ticket(secret.as_ref())?;
    let spooled = &request.spooled;
    if spooled.name.is_empty() || !spooled.name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Problem::new(Code::BadInput, "The copy cannot begin.")
            .cause("The file's name is not a hash.")
            .into());
    }
    FileSize::told(spooled.bytes).map_err(|why| {
        Problem::new(Code::BadInput, "The copy cannot begin.")
            .cause(format!("Of the image: {why}."))
    })?;
    let spool = spool(context)?;
    let engine = DockerApi::here()?;
    let here = engine.image(&request.image).await?;
    if let Some(other) = here.as_ref().filter(|k| k.id != request.id) {
        return Err(another(&request.image, Some(&other.id)).into());
    }
    let mut copied = 0;
    if here.is_none() {
        clear(&spool, &spooled.name)?;
        let meter = Meter::new("Looking for what is there");
        let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
        let file = spool.join(&spooled.name);
        if !is_whole(&file, spooled) {
            let coming = Coming::open(spooled, &spool)?;
            // Docker unpacks the file on its own disk before it makes layers of it.
            let need = Need {
                file: coming.missing(),
                docker: 2 * spooled.bytes,
            };
            ask_for_room(&need, &spool, engine.root().await.as_deref())?;
            let origin = Origin {
                from: &request.from,
                streams: request.streams,
                ticket: &ticket,
            };
            copied = coming.bring(&origin, &meter, context).await?;
        }
        tokio::select! {
            () = context.cancel.cancelled() => return Err(Stop::Cancelled),
            loaded = hand_over(&engine, &file, spooled.bytes, &meter) => loaded?,
        }
        let now = engine.image(&request.image).await?.map(|k| k.id);
        if now.as_ref() != Some(&request.id) {
            // It was not here before, so nobody else needs it under this name.
            engine.forget(&request.image).await?;
            return Err(another(&request.image, now.as_deref()).into());
        }
    }
    clear(&spool, "")?;
    Ok(Loaded {
        id: request.id.clone(),
        copied,
    })
}

/// Whether an earlier start had copied and checked it: it has its place only then.
fn is_whole(file: &Path, spooled: &Spooled) -> bool {
    std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.len() == spooled.bytes)
}

async fn hand_over(
    engine: &DockerApi,
    file: &Path,
    size: u64,
    meter: &Arc<Meter>,
) -> Result<(), Problem> {
    let opened = tokio::fs::File::open(file).await;
    let opened = opened.map_err(|e| disk::problem("reading the image's file", file, &e))?;
    meter.set(0, size);
    meter.doing("Docker loads the image");
    let counted = Arc::clone(meter);
    let parts = ReaderStream::with_capacity(opened, PART)
        .inspect_ok(move |part| counted.add(part.len() as u64));
    engine.load(reqwest::Body::wrap_stream(parts)).await
}
