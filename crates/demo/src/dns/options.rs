//! What the DNS server is told when it starts, and records as people write them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::PartError;

/// How to run the DNS server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where to listen, on UDP and TCP. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The zone's name.
    pub zone: String,
    /// The file that keeps the zone between lives.
    pub state: PathBuf,
    /// The TSIG key's name (algorithm hmac-sha256).
    pub key_name: String,
    /// The file that holds the TSIG key's secret in base64.
    pub key_file: PathBuf,
    /// Records of a new zone; left alone when the state file exists.
    pub records: Vec<SeedRecord>,
}

/// A record as written in options: `NAME TTL TYPE VALUE`, a relative name being within the zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRecord {
    /// The record's name; `@` is the zone itself.
    pub name: String,
    /// Time to live, in seconds.
    pub ttl: u32,
    /// Its type and value.
    pub data: Data,
}

/// A record's type and value, of the types that the server keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", deny_unknown_fields)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    #[serde(rename = "AAAA")]
    Aaaa(Ipv6Addr),
    /// A name server.
    #[serde(rename = "NS")]
    Ns(String),
    /// Texts; each character stands for one byte (ISO 8859-1), so that any bytes can be kept.
    #[serde(rename = "TXT")]
    Txt(Vec<String>),
    /// The zone's start of authority.
    #[serde(rename = "SOA")]
    Soa(Soa),
}

/// A start of authority; see RFC 1035, section 3.3.13. Intervals are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soa {
    /// The primary server's name.
    pub mname: String,
    /// The mailbox of whoever is responsible, as a name.
    pub rname: String,
    /// The zone's version.
    pub serial: u32,
    /// When a secondary looks for changes.
    pub refresh: i32,
    /// When it looks again after a failure.
    pub retry: i32,
    /// When it gives up.
    pub expire: i32,
    /// How long a denial may be cached.
    pub minimum: u32,
}

impl FromStr for SeedRecord {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Self, PartError> {
        let wrong = |why: &str| PartError::Option {
            option: "record",
            why: format!("{why} in {text:?}; write NAME TTL TYPE VALUE"),
        };
        let mut words = text.splitn(4, ' ');
        let mut word = |what| {
            words
                .next()
                .filter(|word| !word.is_empty())
                .ok_or_else(|| wrong(what))
        };
        let name = word("no name")?.to_owned();
        let ttl = word("no TTL")?
            .parse()
            .map_err(|_| wrong("a TTL that is no number"))?;
        let kind = word("no type")?;
        let value = word("no value")?;
        let data = match kind {
            "A" => Data::A(value.parse().map_err(|_| wrong("a bad IPv4 address"))?),
            "AAAA" => Data::Aaaa(value.parse().map_err(|_| wrong("a bad IPv6 address"))?),
            "NS" => Data::Ns(value.to_owned()),
            "TXT" => Data::Txt(vec![value.to_owned()]),
            _ => return Err(wrong("an unknown type (known: A, AAAA, NS, TXT)")),
        };
        Ok(Self { name, ttl, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_people_write_them() {
        let record: SeedRecord = "app 1 A 127.0.0.11".parse().unwrap();
        assert_eq!(record.data, Data::A(Ipv4Addr::new(127, 0, 0, 11)));
        let record: SeedRecord = "app 1 TXT epoch=1 site=prod".parse().unwrap();
        assert_eq!(record.data, Data::Txt(vec!["epoch=1 site=prod".to_owned()]));
        for bad in [
            "",
            "app",
            "app x A 1.2.3.4",
            "app 1 A 1.2.3",
            "app 1 MX 10 x",
        ] {
            assert_eq!(
                bad.parse::<SeedRecord>().unwrap_err().code(),
                "demo-option",
                "{bad}"
            );
        }
    }
}
