//! How the JSON of snapshots, indexes and locks becomes a file and back. Source: restic's design document,
//! "Unpacked Data Format".
//! Must not know what the JSON says.

use crate::crypto::{Broken, Key};

/// The byte before compressed JSON, in version 2.
const COMPRESSED: u8 = 2;
/// The longest JSON that is read. An index of a million blobs has about 200 MB.
const LONGEST: u64 = 1 << 30;
/// Fast, and JSON compresses well at any level.
const LEVEL: i32 = 3;

/// Why a file is not the JSON that it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFile {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("it is empty")]
    Empty,
    #[error("its encoding {0} is unknown")]
    Encoding(u8),
    #[error("it cannot be decompressed: {0}")]
    Compression(std::io::Error),
    #[error("it would be longer than {LONGEST} bytes")]
    TooLong,
}

/// Makes a file of JSON.
pub(crate) fn encode(version: u32, key: &Key, json: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let mut random = rand::rng();
    if version < 2 {
        return Ok(key.sealed(json, &mut random));
    }
    let mut bytes = vec![COMPRESSED];
    bytes.extend(zstd::bulk::compress(json, LEVEL)?);
    Ok(key.sealed(&bytes, &mut random))
}

/// Gets the JSON of a file.
pub(crate) fn decode(key: &Key, mut bytes: Vec<u8>) -> Result<Vec<u8>, BadFile> {
    let plain = key.open(&mut bytes)?;
    match plain {
        [] => Err(BadFile::Empty),
        [b'{' | b'[', ..] => Ok(plain.to_vec()),
        [COMPRESSED, rest @ ..] => decompress(rest),
        [other, ..] => Err(BadFile::Encoding(*other)),
    }
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, BadFile> {
    use std::io::Read as _;
    let mut json = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(BadFile::Compression)?;
    let mut limited = decoder.take(LONGEST + 1);
    limited
        .read_to_end(&mut json)
        .map_err(BadFile::Compression)?;
    if json.len() as u64 > LONGEST {
        return Err(BadFile::TooLong);
    }
    Ok(json)
}
