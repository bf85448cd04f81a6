//! What the two ends say on a stream, and how each knows that it speaks with the other.
//!
//! Both prove that they know the token without saying it, over two fresh random words, and from these
//! comes a key of the stream's own. Every message carries its own seal made with that key and the
//! message's number, so that nobody on the way can add, change or repeat one. The bytes of a blob go
//! between the messages bare: they are held against the hash of the whole blob, which was sealed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tandem_domain::node::PauseReason;
use tandem_domain::secret::Secret;

/// How long somebody may take to say who he is.
const HELLO: Duration = Duration::from_secs(3);
/// How long a call waits before it looks whether it should go on.
const LOOK: Duration = Duration::from_millis(500);
/// How long the other end may be silent in the middle of something.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// Larger than any message is.
const LONGEST: usize = 8 << 20;
const MAGIC: &[u8; 8] = b"tandemC1";
const WORD: usize = 32;

/// What the receiving end asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(super) enum Ask {
    /// Which of these blobs can be had.
    State { wanted: Vec<String> },
    /// Bytes of a blob; they follow an [`Answer::Bytes`].
    Bytes { etag: String, from: u64, to: u64 },
    /// The nodes of a blob's pieces as they are read now, to find which ones differ.
    Nodes { etag: String },
    /// Nothing more is wanted, by anybody.
    Bye,
}

/// A blob that can be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) etag: String,
    pub(super) size: u64,
    /// The BLAKE3 of the bytes whose sha256 was checked, in hex.
    pub(super) tree: String,
}

/// What the serving end answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(super) enum Answer {
    /// To [`Ask::State`].
    State {
        ready: Vec<Ready>,
        /// Blobs that are there and are not what their name says.
        wrong: Vec<String>,
        /// Whether more may come: a fetch is under way, or something is being checked.
        working: bool,
        /// What that fetch waits for by order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<PauseReason>,
    },
    /// As many bytes follow as were asked for.
    Bytes,
    /// To [`Ask::Nodes`], in hex.
    Nodes { nodes: Vec<String> },
    /// It cannot be had (any more).
    Gone,
}

/// A stream that both ends have recognised each other on.
pub(super) struct Stream {
    tcp: TcpStream,
    out: Seal,
    into: Seal,
}

/// Makes and checks the seals of one direction.
struct Seal {
    key: [u8; 32],
    number: u64,
}

impl Seal {
    fn next(&mut self, message: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&self.number.to_be_bytes());
        hasher.update(message);
        self.number += 1;
        hasher.finalize()
    }
}

/// Why two ends do not speak with each other.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The connection failed.
    Connection(io::Error),
    /// The other end does not know the token.
    Stranger,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// Both ends' parts of the greeting, from the token and the two words.
struct Greeting {
    serving: blake3::Hash,
    asking: blake3::Hash,
    session: [u8; 32],
}

impl Greeting {
    fn of(token: &Secret, asker: &[u8; WORD], server: &[u8; WORD]) -> Self {
        let key = blake3::derive_key("tandem copy 1 token", token.reveal().as_bytes());
        let part = |role: &str| {
            let mut hasher = blake3::Hasher::new_keyed(&key);
            hasher.update(role.as_bytes());
            hasher.update(asker);
            hasher.update(server);
            hasher.finalize()
        };
        Self {
            serving: part("serving"),
            asking: part("asking"),
            session: *part("session").as_bytes(),
        }
    }

    fn stream(&self, tcp: TcpStream, serving: bool) -> Stream {
        let seal = |direction: &str| Seal {
            key: *blake3::keyed_hash(&self.session, direction.as_bytes()).as_bytes(),
            number: 0,
        };
        let (answers, asks) = (seal("answers"), seal("asks"));
        let (out, into) = if serving {
            (answers, asks)
        } else {
            (asks, answers)
        };
        Stream { tcp, out, into }
    }
}

/// Random bytes of the kernel's.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nonblocking(false)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(LOOK))?;
    tcp.set_write_timeout(Some(SILENCE))
}

/// The asking end's greeting.
pub(super) fn connect(to: SocketAddr, token: &Secret) -> Result<Stream, Refusal> {
    let mut tcp = TcpStream::connect_timeout(&to, HELLO)?;
    prepare(&tcp)?;
    let own: [u8; WORD] = random()?;
    tcp.write_all(&[&MAGIC[..], &own].concat())?;
    let until = Instant::now() + HELLO;
    let said: [u8; 2 * WORD] = read_array(&mut tcp, until)?;
    let (word, proof) = said.split_at(WORD);
    let word: [u8; WORD] = word.try_into().unwrap_or_default();
    let greeting = Greeting::of(token, &own, &word);
    // A comparison of hashes takes the same time wherever they differ.
    if blake3::Hash::from_slice(proof).ok() != Some(greeting.serving) {
        return Err(Refusal::Stranger);
    }
    tcp.write_all(greeting.asking.as_bytes())?;
    Ok(greeting.stream(tcp, false))
}

/// The serving end's greeting.
pub(super) fn greet(mut tcp: TcpStream, token: &Secret) -> Result<Stream, Refusal> {
    prepare(&tcp)?;
    let until = Instant::now() + HELLO;
    let said: [u8; 8 + WORD] = read_array(&mut tcp, until)?;
    let Some(word) = said.strip_prefix(MAGIC) else {
        return Err(Refusal::Stranger);
    };
    let word: [u8; WORD] = word.try_into().unwrap_or_default();
    let own: [u8; WORD] = random()?;
    let greeting = Greeting::of(token, &word, &own);
    tcp.write_all(&[&own[..], greeting.serving.as_bytes()].concat())?;
    let proof: [u8; WORD] = read_array(&mut tcp, until)?;
    if blake3::Hash::from_bytes(proof) != greeting.asking {
        return Err(Refusal::Stranger);
    }
    Ok(greeting.stream(tcp, true))
}

fn read_array<const N: usize>(tcp: &mut TcpStream, until: Instant) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(tcp, &mut bytes, || Instant::now() < until)?;
    Ok(bytes)
}

/// Reads until the buffer is full. `going` is asked whenever nothing came for a moment, and now and then.
fn fill(tcp: &mut TcpStream, buffer: &mut [u8], going: impl Fn() -> bool) -> io::Result<()> {
    let mut at = 0;
    while at < buffer.len() {
        match tcp.read(&mut buffer[at..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => at += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if is_pause(&e) && going() => {}
            Err(e) if is_pause(&e) => return Err(ErrorKind::TimedOut.into()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

impl Stream {
    /// Says something.
    pub(super) fn say(&mut self, message: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let seal = self.out.next(&text);
        let length = (text.len() as u32).to_be_bytes();
        self.tcp
            .write_all(&[&length[..], &text, seal.as_bytes()].concat())
    }

    /// Hears something; a message with a wrong seal ends the stream. `going` says whether it still waits.
    pub(super) fn hear<T: DeserializeOwned>(&mut self, going: impl Fn() -> bool) -> io::Result<T> {
        let mut length = [0; 4];
        fill(&mut self.tcp, &mut length, &going)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
        // Once it has begun it comes without a pause.
        let until = Instant::now() + SILENCE;
        let mut text = vec![0; length];
        fill(&mut self.tcp, &mut text, || Instant::now() < until)?;
        let seal: [u8; 32] = read_array(&mut self.tcp, until)?;
        if self.into.next(&text) != blake3::Hash::from_bytes(seal) {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(serde_json::from_slice(&text)?)
    }

    /// Reads bare bytes. `going` is asked whenever none came for a moment.
    pub(super) fn read(&mut self, buffer: &mut [u8], going: impl Fn() -> bool) -> io::Result<()> {
        let until = Instant::now() + SILENCE;
        fill(&mut self.tcp, buffer, || going() && Instant::now() < until)
    }

    /// Sends bytes of a file as they are; the kernel takes them from its cache to the line.
    pub(super) fn send_file(
        &mut self,
        file: &std::fs::File,
        from: u64,
        to: u64,
        each: impl Fn(),
    ) -> io::Result<()> {
        let mut at = from;
        while at < to {
            let want = (to - at).min(1 << 20) as usize;
            match rustix::fs::sendfile(&self.tcp, file, Some(&mut at), want) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => each(),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    type Greeted = Result<Stream, Refusal>;

    fn meet(asking: &str, serving: &str) -> (Greeted, Greeted) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let serving = Secret::new(serving);
        let server = std::thread::spawn(move || greet(listener.accept().unwrap().0, &serving));
        let asked = connect(at, &Secret::new(asking));
        let refused = asked.is_err();
        if refused {
            drop(asked);
            (Err(Refusal::Stranger), server.join().unwrap())
        } else {
            (asked, server.join().unwrap())
        }
    }

    #[test]
    fn who_knows_the_token_is_recognised_and_both_directions_are_sealed() {
        let (asking, serving) = meet("same", "same");
        let (mut asking, mut serving) = (asking.unwrap(), serving.unwrap());
        for _ in 0..2 {
            asking.say(&Ask::Bye).unwrap();
            assert_eq!(serving.hear::<Ask>(|| true).unwrap(), Ask::Bye);
            serving.say(&Answer::Gone).unwrap();
            assert_eq!(asking.hear::<Answer>(|| true).unwrap(), Answer::Gone);
        }
        // The same words again, as somebody on the way would repeat them.
        asking.out.number = 0;
        asking.say(&Ask::Bye).unwrap();
        let error = serving.hear::<Ask>(|| true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_stranger_learns_nothing_from_either_end() {
        let (asking, serving) = meet("one", "another");
        assert!(matches!(asking, Err(Refusal::Stranger)));
        assert!(serving.is_err(), "the server was told nothing either");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let liar = std::thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut said = [0; 8 + WORD];
            tcp.read_exact(&mut said).unwrap();
            tcp.write_all(&[7; 2 * WORD]).unwrap();
            tcp.read(&mut [0; WORD]).unwrap()
        });
        assert!(matches!(
            connect(at, &Secret::new("t")),
            Err(Refusal::Stranger)
        ));
        assert_eq!(liar.join().unwrap(), 0, "no proof is given to a liar");
    }

    #[test]
    fn a_file_goes_as_it_is() {
        let (asking, serving) = meet("t", "t");
        let (mut asking, mut serving) = (asking.unwrap(), serving.unwrap());
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let sending =
            std::thread::spawn(move || serving.send_file(&file, 10, 2_999_999, || {}).unwrap());
        let mut got = vec![0; 2_999_989];
        asking.read(&mut got, || true).unwrap();
        sending.join().unwrap();
        assert_eq!(got, bytes[10..2_999_999]);
    }
}
