//! A plan as JSON: exactly what is stored and hashed, with its forecast.
//! Must not know the shape; the types have it.

use crate::Planned;

/// The plan as JSON, indented.
pub fn json(planned: &Planned) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(planned)
}
