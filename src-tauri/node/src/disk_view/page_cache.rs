//! Gives the memory back that holds what was read from files.
//!
//! On a Spark processor and GPU share one memory, and a server that starts counts as used what the page
//! cache holds, although the kernel would give it back on demand. No root is needed to let go of one's
//! own files.

use std::fs::File;
use std::path::Path;

use rustix::fs::{Advice, fadvise};
use tandem_domain::node::disk::{UncacheRequest, Uncached};
use tandem_domain::problem::{Code, Problem};

use super::{below, cached};

/// Lets go of the files, and of all files in the folders. Harmless at any time: what a program has
/// mapped stays, and what is needed again is read again.
pub fn uncache(request: &UncacheRequest) -> Result<Uncached, Problem> {
    if let Some(path) = request.paths.iter().find(|p| !p.starts_with('/')) {
        return Err(
            Problem::new(Code::BadInput, "No file was dropped from the page cache.")
                .cause(format!("`{path}` is not an absolute path.")),
        );
    }
    let mut done = Uncached {
        files: 0,
        closed: 0,
        before: cached(),
        after: 0,
    };
    for path in &request.paths {
        let path = Path::new(path);
        if path.is_dir() {
            below(path, &mut |path, _| one(path, &mut done));
        } else {
            one(path, &mut done);
        }
    }
    done.after = cached();
    Ok(done)
}

fn one(path: &Path, done: &mut Uncached) {
    // Through links: a snapshot consists of them.
    if !path.is_file() {
        return;
    }
    let let_go = File::open(path).and_then(|file| {
        // What is not on the disk yet cannot be let go of.
        file.sync_data()?;
        Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
    });
    match let_go {
        Ok(()) => done.files += 1,
        Err(_) => done.closed += 1,
    }
}
