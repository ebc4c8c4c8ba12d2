//! What a plan file may cost to read. Far above what people write, far below what hurts.

/// The largest plan file in bytes. Whoever reads one stops after `MAX_BYTES + 1` bytes and hands those over.
pub const MAX_BYTES: usize = 1 << 20;

/// How deep lists and mappings may be nested.
pub(super) const MAX_DEPTH: usize = 32;

/// How many values and keys a file may have.
pub(super) const MAX_NODES: usize = 200_000;

/// The longest key in bytes.
pub(super) const MAX_KEY: usize = 256;

/// The longest scalar in bytes.
pub(super) const MAX_SCALAR: usize = 64 << 10;
