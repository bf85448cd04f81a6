//! Shapes of using what is served in other programs.

use serde::Serialize;
use specta::Type;

/// Where and how what is served can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
pub struct Access {
    /// The name to send in requests.
    pub model: String,
    /// The machine whose loopback the server listens on.
    pub machine: String,
    /// Its port there.
    pub port: u16,
    /// The port on this computer's loopback that leads there; `None` where none is open.
    pub local: Option<u16>,
    /// Whether the engine answers Anthropic's API of messages too.
    pub messages: bool,
}

/// What the server answered to who has no key, and to who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Type)]
pub struct TrafficTest {
    /// The status of the answer without the key.
    pub without: u16,
    /// The status of the answer with it.
    pub with: u16,
    /// Whether the key alone lets in: 401 and 200.
    pub guarded: bool,
}
