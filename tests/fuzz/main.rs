//! Every reader of what a machine, the Hub, an engine or a person's file says, fed with samples in which bytes were
//! changed, doubled and cut, and with bytes that mean nothing. None may panic; some have to keep more (see each).
//!
//! `TANDEM_FUZZ_SECONDS` gives each reader that long; without it each gets a fixed number of inputs. What once broke a
//! reader is added to `samples/NAME`, whose files are all tried as they are first.

mod mutation;
mod readers;

use std::path::Path;
use std::time::Duration;

use mutation::Mutation;

/// Inputs for each reader where no time is given.
const INPUTS: usize = 1500;

/// Tries one reader.
fn fuzz(name: &str, inline: &[&[u8]], read: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/samples")
        .join(name);
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut samples: Vec<Vec<u8>> = files.filter_map(|f| std::fs::read(f.path()).ok()).collect();
    samples.sort();
    samples.extend(inline.iter().map(|s| s.to_vec()));
    assert!(!samples.is_empty(), "{name} has no sample");
    samples.iter().for_each(|sample| read(sample));
    let seconds = std::env::var("TANDEM_FUZZ_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok());
    let check = bolero::check!().with_type::<Mutation>();
    let check = match seconds {
        Some(seconds) => check.with_test_time(Duration::from_secs(seconds)),
        None => check.with_iterations(INPUTS),
    };
    let tried = std::sync::atomic::AtomicU64::new(0);
    check.for_each(|mutation| {
        tried.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        read(&mutation.of(&samples));
    });
    figure(&format!("inputs_to_{name}"), tried.into_inner());
}

/// Leaves a figure for the page of figures, where one is made.
fn figure(name: &str, value: u64) {
    use std::io::Write as _;
    let Some(path) = std::env::var_os("TANDEM_FIGURES") else {
        return;
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    // One write, so that the lines of several tests do not mix.
    file.and_then(|mut f| f.write_all(format!("{name} {value}\n").as_bytes()))
        .expect("the figure is kept");
}
