//! The receiving end: several streams on every rail, each on a thread of its own, one that asks what can be
//! had, one that checks what is whole, one that makes what was written safe.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_domain::node::PauseReason;
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_domain::secret::Secret;

use super::MissingBlob;
use super::schedule::{CopySchedule, Stretch};
use super::tree::{self, PieceHasher};
use super::wire::{self, Answer, Ask, Refusal, SILENCE, Stream};
use crate::digest::{Hasher, read_through};
use crate::disk;
use crate::stop::Stop;
use crate::transfer::direct::Buffer;
use crate::verified::{self, VerifiedMark};

/// Bytes read at a time; they stay in the processor's own cache from the line through the hash to the disk.
const STRIDE: usize = 1 << 20;
/// Between two questions what can be had.
const LOOK: Duration = Duration::from_millis(200);
/// Between two tries of a stream that failed.
const PAUSE: Duration = Duration::from_millis(300);
/// Between two turns of making what was written safe. What a loss of power takes in that time, the link
/// brings again as fast; the disk has it already and only its table of contents is still to come.
const SAFE: Duration = Duration::from_secs(3);
/// How long the other machine may have nothing under way while something is still missing.
const STALLED: Duration = Duration::from_secs(60);
/// How long the other end may take to read a whole blob for its nodes.
const READING: Duration = Duration::from_secs(600);

/// Files smaller than this are hashed here before they are believed, in bytes: it takes a tenth of a second.
const HASHED_HERE: u64 = 64 << 20;

/// How the other machine is reached.
pub(super) struct Peer {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) token: Secret,
    /// Streams to each address.
    pub(super) streams: usize,
}

/// Copies until everything is here, or known not to be had, or it cannot go on.
pub(super) fn carry(schedule: &CopySchedule, peer: &Peer) -> Result<(), Stop> {
    if peer.addresses.is_empty() {
        return Err(schedule
            .broken(format!("{} serves at no address.", schedule.source))
            .into());
    }
    std::thread::scope(|scope| {
        for address in &peer.addresses {
            for _ in 0..peer.streams {
                scope.spawn(|| haul(schedule, *address, &peer.token));
            }
        }
        scope.spawn(|| keep_safe(schedule));
        scope.spawn(|| check(schedule, peer));
        ask(schedule, peer);
    });
    schedule.ended()
}

/// Opens a stream, or says what is wrong and waits a moment.
fn open(schedule: &CopySchedule, address: SocketAddr, token: &Secret) -> Option<Stream> {
    match wire::connect(address, token) {
        Ok(stream) => {
            schedule.heard();
            return Some(stream);
        }
        Err(Refusal::Stranger) => schedule.end(Err(stranger(schedule, address).into())),
        Err(Refusal::Connection(e)) => {
            let refused = e.kind() == ErrorKind::ConnectionRefused;
            schedule.failed(format!("{address}: {e}"), refused);
        }
    }
    if schedule.going() {
        schedule.rest(PAUSE);
    }
    None
}

fn stranger(schedule: &CopySchedule, address: SocketAddr) -> Problem {
    Problem::new(
        Code::LinkFails,
        "The two machines did not recognise each other.",
    )
    .cause(format!(
        "What answers at {address} does not know the key that {} made for this copy.",
        schedule.source
    ))
    .fix("Resume; a new key is made. If it stays, something else answers at that address.")
    .retry(Retry::Now)
}

/// One stream: takes stretch after stretch.
fn haul(schedule: &CopySchedule, address: SocketAddr, token: &Secret) {
    let mut buffer = Buffer::new(STRIDE);
    let mut last = None;
    while schedule.going() {
        let Some(mut stream) = open(schedule, address, token) else {
            continue;
        };
        while let Some(stretch) = schedule.next(last) {
            last = Some(stretch.blob);
            if let Err(e) = take(schedule, &mut stream, stretch, &mut buffer) {
                schedule.failed(format!("{address}: {e}"), false);
                break;
            }
        }
    }
}

/// Brings one stretch. What came of it counts, whatever happens then.
fn take(
    schedule: &CopySchedule,
    stream: &mut Stream,
    stretch: Stretch,
    buffer: &mut [u8],
) -> io::Result<()> {
    let one = &schedule.wanted[stretch.blob];
    let piece = (stretch.from / tree::PIECE) as usize;
    let whole = (stretch.from, stretch.to) == tree::bounds(piece, one.size);
    let mut hasher = PieceHasher::new(piece, one.size);
    let mut at = stretch.from;
    let mut bring = || -> io::Result<()> {
        stream.say(&Ask::Bytes {
            etag: one.etag.clone(),
            from: stretch.from,
            to: stretch.to,
        })?;
        let until = Instant::now() + SILENCE;
        match stream.hear(|| schedule.going() && Instant::now() < until)? {
            Answer::Bytes => schedule.expect(&stretch).map_err(|stop| {
                schedule.end(Err(stop));
                io::Error::from(ErrorKind::StorageFull)
            })?,
            Answer::Gone => {
                schedule.absent(&one.etag);
                return Ok(());
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        }
        while at < stretch.to {
            let want = ((stretch.to - at) as usize).min(buffer.len());
            let part = &mut buffer[..want];
            stream.read(part, || schedule.going())?;
            schedule.heard();
            if whole {
                hasher.update(part);
            }
            if let Err(stop) = schedule.put(&stretch, at, part) {
                schedule.end(Err(stop));
                return Err(ErrorKind::StorageFull.into());
            }
            at += want as u64;
        }
        Ok(())
    };
    let outcome = bring();
    // A piece that did not come in one go is read back when its blob is checked.
    let node = (whole && at == stretch.to).then(|| hasher.node());
    schedule.arrived(stretch, at, node);
    outcome
}

/// Asks what can be had, and says at the end that nothing more is wanted.
fn ask(schedule: &CopySchedule, peer: &Peer) {
    let mut turns = peer.addresses.iter().cycle();
    let mut stalled: Option<Instant> = None;
    while schedule.going() {
        let Some(address) = turns.next() else { return };
        let Some(mut stream) = open(schedule, *address, &peer.token) else {
            continue;
        };
        loop {
            if schedule.complete() {
                schedule.end(Ok(()));
            }
            if !schedule.going() {
                // Also on a cancel: nobody comes back to that key.
                let _ = stream.say(&Ask::Bye);
                return;
            }
            if let Err(e) = look(schedule, &mut stream, &mut stalled) {
                schedule.failed(format!("{address}: {e}"), false);
                break;
            }
            schedule.rest(LOOK);
        }
    }
}

/// One question what can be had.
fn look(
    schedule: &CopySchedule,
    stream: &mut Stream,
    stalled: &mut Option<Instant>,
) -> io::Result<()> {
    stream.say(&Ask::State {
        wanted: schedule.awaited(),
    })?;
    let until = Instant::now() + SILENCE;
    let Answer::State {
        ready,
        wrong,
        working,
        held,
    } = stream.hear(|| schedule.going() && Instant::now() < until)?
    else {
        return Err(ErrorKind::InvalidData.into());
    };
    schedule.heard();
    for etag in &wrong {
        schedule.absent(etag);
    }
    for one in &ready {
        schedule.offered(one);
    }
    let idle = schedule.is_idle();
    schedule.meter.hold(held.filter(|_| idle).map(|held| {
        let text = match &held {
            PauseReason::Paused => format!("Waiting for {}, which is paused", schedule.source),
            PauseReason::Until { opens } => {
                format!("Waiting for {}, which waits until {opens}", schedule.source)
            }
        };
        (held, text)
    }));
    schedule.meter.doing(if idle {
        format!("Waiting for {} to have more", schedule.source)
    } else {
        format!("Copying from {} over the private link", schedule.source)
    });
    if working || !idle {
        *stalled = None;
    } else if stalled.get_or_insert_with(Instant::now).elapsed() > STALLED {
        for etag in schedule.awaited() {
            schedule.absent(&etag);
        }
    }
    Ok(())
}

/// Checks every blob that is whole and puts it in its place.
fn check(schedule: &CopySchedule, peer: &Peer) {
    while let Some(blob) = schedule.next_whole() {
        if let Err(stop) = settle(schedule, peer, blob) {
            schedule.end(Err(stop));
        }
    }
}

fn settle(schedule: &CopySchedule, peer: &Peer, blob: usize) -> Result<(), Stop> {
    let one = &schedule.wanted[blob];
    let read_back = |e| disk::problem("reading back what arrived", &one.target.path, &e);
    let (tree, known) = schedule.proof(blob);
    let mut nodes = Vec::with_capacity(known.len());
    for (piece, node) in known.into_iter().enumerate() {
        let node = match node {
            Some(node) => node,
            None => tree::read_node(one.target.file(), piece, one.size, || schedule.going())
                .map_err(read_back)?
                .ok_or(Stop::Cancelled)?,
        };
        nodes.push(node);
    }
    if tree::root(&nodes, one.size) == tree {
        let known = own_hash(one, || schedule.going())
            .map_err(read_back)?
            .ok_or(Stop::Cancelled)?;
        if known == OwnHash::Wrong {
            // The other machine gave what it had, and that is not the Hub's.
            one.target
                .forget()
                .map_err(|e| disk::problem("starting a file again", &one.target.path, &e))?;
            schedule.meter.take(one.size);
            schedule.absent(&one.etag);
            return Ok(());
        }
        let place = || -> io::Result<()> {
            one.target.file().set_len(one.size)?;
            one.target.file().sync_all()?;
            let mark = VerifiedMark {
                etag: one.etag.clone(),
                tree,
            };
            match known {
                OwnHash::Right => verified::note(one.target.file(), &mark),
                _ => verified::note_told(one.target.file(), &mark),
            }
            std::fs::rename(&one.target.path, &one.blob)?;
            std::fs::remove_file(&one.notes)?;
            crate::fetch::sync_folder(&one.blob)
        };
        place().map_err(|e| disk::problem("putting a file in its place", &one.blob, &e))?;
        schedule.is_here(blob);
        return Ok(());
    }
    let Some(theirs) = nodes_there(schedule, peer, &one.etag) else {
        return Ok(());
    };
    let differ = |p: &usize| theirs.get(*p) != Some(&hex::encode(nodes[*p]));
    let wrong: Vec<usize> = (0..nodes.len()).filter(differ).collect();
    if wrong.is_empty() || !schedule.again(blob, &wrong) {
        // Either its own bytes are not those any more whose hash was checked there, or the way spoils them.
        one.target
            .forget()
            .map_err(|e| disk::problem("starting a file again", &one.target.path, &e))?;
        schedule.meter.take(one.size);
        return Err(Problem::new(
            Code::HashMismatch,
            "A file did not arrive as it was checked on the other machine.",
        )
        .cause(format!(
            "The file with the hash {} came from {} several times and is another one each time.",
            one.etag, schedule.source
        ))
        .fix("Resume. If it stays, run a deep check on that machine: its disk or its memory may fail.")
        .retry(Retry::Now)
        .into());
    }
    Ok(())
}

/// What this machine knows by itself of a file that came whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnHash {
    /// It is what the Hub has.
    Right,
    /// It is not, or nothing tells.
    Wrong,
    /// It is too large to be read now.
    NotTaken,
}

/// Takes the hash that the Hub names a smaller file by. All code and configuration is among these: what runs here
/// is never only what another machine says. `None` where it was told to stop.
fn own_hash(one: &MissingBlob, going: impl Fn() -> bool) -> io::Result<Option<OwnHash>> {
    if !one.named_by_hub {
        return Ok(Some(OwnHash::Right)); // the tree is its name
    }
    if one.size >= HASHED_HERE {
        return Ok(Some(OwnHash::NotTaken));
    }
    let Some(mut hasher) = Hasher::of_etag(&one.etag, one.size) else {
        return Ok(Some(OwnHash::Wrong));
    };
    one.target.file().set_len(one.size)?;
    let whole = read_through(one.target.file(), |_, bytes| {
        hasher.update(bytes);
        going()
    })?;
    let known = match hasher.hex() == one.etag {
        true => OwnHash::Right,
        false => OwnHash::Wrong,
    };
    Ok(whole.then_some(known))
}

/// The nodes as they are read on the other machine now; `None` when it is over before they came.
fn nodes_there(schedule: &CopySchedule, peer: &Peer, etag: &str) -> Option<Vec<String>> {
    let mut turns = peer.addresses.iter().cycle();
    while schedule.going() {
        let address = *turns.next()?;
        let Some(mut stream) = open(schedule, address, &peer.token) else {
            continue;
        };
        let until = Instant::now() + READING;
        let asked = stream.say(&Ask::Nodes {
            etag: etag.to_owned(),
        });
        match asked.and_then(|()| stream.hear(|| schedule.going() && Instant::now() < until)) {
            Ok(Answer::Nodes { nodes }) => return Some(nodes),
            Ok(_) => {
                schedule.absent(etag);
                return None;
            }
            Err(e) => schedule.failed(format!("{address}: {e}"), false),
        }
    }
    None
}

/// Makes what was written safe, soon after it was and beside the rest, so that little is left to wait for
/// at the end of a blob.
fn keep_safe(schedule: &CopySchedule) {
    while schedule.going() && !schedule.complete() {
        schedule.rest(SAFE);
        for one in &schedule.wanted {
            if !schedule.going() || schedule.complete() {
                break;
            }
            if let Err(e) = one.target.sync() {
                let problem = disk::problem("writing what arrived", &one.target.path, &e);
                schedule.end(Err(problem.into()));
                return;
            }
        }
    }
    // What arrived before the end is kept for the next start.
    for one in &schedule.wanted {
        let _ = one.target.sync();
    }
}
