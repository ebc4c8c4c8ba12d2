//! Salvage, rebuild, protect: a site that was left becomes a proven copy again.
//! Must not know moves.
