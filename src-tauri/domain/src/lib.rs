//! What Tandem decides, apart from how it is done.
//!
//! A person's choices and the facts of their machines become a [`procedure`]: an ordered list of steps,
//! each with words, a check, an act, a verification and an undo. [`run`] carries a procedure out over
//! the [`ports`] and writes every intent to the journal before the act, so that a run survives the
//! death of the app, of a link or of a machine.
//!
//! Nothing here touches the network, a disk or the clock. Those are ports, implemented for real in
//! `tandem-adapters`, as a rehearsal in `tandem-rehearsal` and in memory for the tests here.

pub mod artifact;
pub mod bench;
pub mod chat;
pub mod checkpoint;
pub mod container;
pub mod disk;
pub mod engine;
pub mod fit;
pub mod foreign_text;
pub mod graft;
pub mod ids;
pub mod launch;
pub mod lease;
pub mod machine;
pub mod neighbours;
pub mod network;
pub mod node;
pub mod pattern;
pub mod ports;
pub mod problem;
pub mod procedure;
pub mod recipe;
pub mod repository;
pub mod run;
pub mod secret;
pub mod shell;
pub mod sizes;
pub mod step;
