//! Artifacts by key: what is on disk, and who may touch it.
//!
//! ```text
//! results/.store/
//!   store.json              format of this store
//!   store.lock              shared by runners, exclusive for gc
//!   objects/<kind>-<key>/   one finished artifact: its files, fingerprint.json (the hashed text), record.json (written last)
//!   tmp/<key>-…/            artifacts being written, and trash on its way out; worthless after a crash
//!   scratch/<key>/          step checkpoints of an unfinished stage; <key>.json beside it notes how far it is
//!   leases/<key>.lock       locked while a process makes that artifact; its text says who
//!   quarantine/…            damaged entries, moved aside with the reason
//!   calibration.json        measured speed of each stage kind on each machine
//!   digests.json            digests of files outside, by path, size and time
//! ```
//!
//! Promises, each with a test: an artifact is there wholly or not at all, whatever moment the power goes; no damaged byte is
//! served; two runners make each artifact once; nobody ever has to unlock or clean anything by hand.
//!
//! How: files are synced, then renamed into place, then the record is synced and renamed. Every read verifies sizes and
//! digests against the record, the record against its own seal, and the fingerprint against the key. Locks are the kernel's
//! (`File::try_lock`), so they vanish with their holder; a paused holder keeps its lock, which is why nothing is published twice.
//!
//! Deliberately absent: time stamps in decisions (clocks jump), a database (an artifact is a folder you can look into), and
//! a lock by heartbeat age (absence of a heartbeat is no proof of death). The price: the store must lie on a file system
//! that has locks, and says so where it doesn't.

pub mod digests;
pub mod disk;
pub mod gc;
#[cfg(test)]
pub mod journal;
pub mod lease;
pub mod probe;
pub mod record;
pub mod scratch;
pub mod store;
pub mod verify;

pub use digests::Digests;
pub use disk::{DiskError, Trouble};
pub use gc::{Garbage, collect, garbage};
pub use lease::{Holder, Lease};
pub use record::{Ending, Label, Provenance, Record};
pub use scratch::Noted;
pub use store::{Artifact, CacheError, Check, Draft, Finish, Presence, Store};
pub use verify::{Finding, Overview, Verification, overview, verify};
