//! Whether a stretch of the log may hold a restore point of a name, so that only those bases are tried that may lead to
//! it. The record holds the name as it is; pages only put their headers in between.
//! Source: PostgreSQL's `xlogrecord.h` and `xlog_internal.h`. Must not know servers.

use mainstay_backup::Reader;
use mainstay_driver::Cause;

use super::{choose::Way, held::Held, segment::partial_name};
use crate::shared::failed;

const PAGE: usize = 8192;
/// The header of a page, and of a segment's first page.
const HEADERS: (usize, usize) = (24, 40);

/// Looks through the log from the way's base on. A name that is only part of the data answers yes too.
pub(super) fn may_have(way: &Way, held: &Held, reader: &Reader, name: &str) -> Result<bool, Cause> {
    let mut wanted = name.as_bytes().to_vec();
    wanted.push(0);
    let mut stream: Vec<u8> = Vec::new();
    for segment in &way.segments {
        let whole = way.base.size.name(*segment);
        let Some(node) = held
            .files
            .get(&whole)
            .or_else(|| held.files.get(&partial_name(&whole)))
        else {
            continue;
        };
        let mut bytes = Vec::new();
        reader
            .copy(node, &mut bytes)
            .map_err(|error| failed(&error))?;
        if has(&mut stream, &bytes, &wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Adds a segment to what is left of the one before, and searches both.
fn has(stream: &mut Vec<u8>, segment: &[u8], wanted: &[u8]) -> bool {
    for (number, page) in segment.chunks(PAGE).enumerate() {
        let header = if number == 0 { HEADERS.1 } else { HEADERS.0 };
        stream.extend_from_slice(page.get(header..).unwrap_or_default());
    }
    let found = stream.windows(wanted.len()).any(|window| window == wanted);
    // The name may begin at the very end.
    let kept = stream.len().saturating_sub(wanted.len());
    stream.drain(..kept);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_across_pages_and_segments() {
        let wanted = b"before-deploy\0";
        let segment = |at: &[(usize, &[u8])]| {
            let mut bytes = vec![7; 4 * PAGE];
            for (from, text) in at {
                bytes[*from..from + text.len()].copy_from_slice(text);
            }
            bytes
        };
        let within = segment(&[(100, wanted)]);
        let pages = segment(&[(2 * PAGE - 6, &wanted[..6]), (2 * PAGE + 24, &wanted[6..])]);
        let (first, second) = (
            segment(&[(4 * PAGE - 3, &wanted[..3])]),
            segment(&[(40, &wanted[3..])]),
        );
        assert!(has(&mut Vec::new(), &within, wanted));
        assert!(has(&mut Vec::new(), &pages, wanted));
        let mut stream = Vec::new();
        assert!(!has(&mut stream, &first, wanted) && has(&mut stream, &second, wanted));
        assert!(!has(&mut Vec::new(), &segment(&[]), wanted));
    }
}
