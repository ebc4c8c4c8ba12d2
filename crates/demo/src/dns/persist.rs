//! The zone on disk: one versioned JSON file, replaced whole. It holds no key.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use hickory_proto::rr::rdata::{A, AAAA, NS, SOA, TXT};
use hickory_proto::rr::{LowerName, Name, RData, Record};
use serde::{Deserialize, Serialize};

use super::options::{Data, SeedRecord, Soa};
use super::zone::Zone;
use crate::error::PartError;

/// The file's version.
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    origin: String,
    records: Vec<SeedRecord>,
}

/// Reads the zone, if there is one on disk.
pub(crate) fn load(path: &Path, origin: &Name) -> Result<Option<Zone>, PartError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PartError::file("read", path)(error)),
    };
    let wrong = |why: String| PartError::Content {
        path: path.to_path_buf(),
        why,
    };
    let stored: Stored =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if stored.version != VERSION {
        return Err(wrong(format!(
            "its version is {}, known is {VERSION}",
            stored.version
        )));
    }
    if stored.origin != origin.to_ascii() {
        return Err(wrong(format!("it holds the zone {}", stored.origin)));
    }
    let mut sets = BTreeMap::new();
    for record in &stored.records {
        let record = to_record(record, origin).map_err(&wrong)?;
        let key = (LowerName::new(&record.name), record.record_type());
        let set = sets.entry(key).or_insert(super::zone::RrSet {
            ttl: record.ttl,
            data: Vec::new(),
        });
        set.data.push(record.data);
    }
    let zone = Zone::from_sets(LowerName::new(origin), sets);
    zone.map(Some)
        .ok_or_else(|| wrong("the zone has no SOA or no NS record".to_owned()))
}

/// Writes the zone durably: temporary file, sync, rename, sync of the folder.
pub(crate) fn save(path: &Path, zone: &Zone) -> io::Result<()> {
    let mut records = Vec::new();
    for ((name, _), set) in zone.sets() {
        for data in &set.data {
            let data = from_rdata(data).ok_or(io::ErrorKind::InvalidData)?;
            records.push(SeedRecord {
                name: Name::from(name).to_ascii(),
                ttl: set.ttl,
                data,
            });
        }
    }
    let origin = Name::from(zone.origin()).to_ascii();
    let bytes = serde_json::to_vec_pretty(&Stored {
        version: VERSION,
        origin,
        records,
    })?;
    let temporary = path.with_extension("next");
    let mut file = File::create(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Whether the file could give this record back as it is: the library does not read every name
/// that it writes.
pub(crate) fn can_store(name: &Name, data: &RData) -> bool {
    let readable = |name: &Name| Name::from_ascii(name.to_ascii()).is_ok_and(|read| read == *name);
    readable(name)
        && match data {
            RData::NS(server) => readable(&server.0),
            RData::SOA(soa) => readable(&soa.mname) && readable(&soa.rname),
            _ => true,
        }
}

/// A record as the library has it; a relative name is within `origin`.
pub(crate) fn to_record(record: &SeedRecord, origin: &Name) -> Result<Record, String> {
    let absolute = |text: &str| {
        // What the server stored is absolute and escaped; what people write may be neither.
        let stored = text.ends_with('.');
        let name = if stored {
            Name::from_ascii(text)
        } else {
            Name::parse(text, Some(origin))
        };
        name.map_err(|error| error.to_string())
    };
    let name = match record.name.as_str() {
        "@" => origin.clone(),
        text => absolute(text)?,
    };
    let data = match &record.data {
        Data::A(ip) => RData::A(A(*ip)),
        Data::Aaaa(ip) => RData::AAAA(AAAA(*ip)),
        Data::Ns(server) => RData::NS(NS(absolute(server)?)),
        Data::Txt(texts) => RData::TXT(TXT::from_bytes(
            texts
                .iter()
                .map(|text| bytes(text))
                .collect::<Result<Vec<_>, _>>()?
                .iter()
                .map(Vec::as_slice)
                .collect(),
        )),
        Data::Soa(soa) => RData::SOA(SOA::new(
            absolute(&soa.mname)?,
            absolute(&soa.rname)?,
            soa.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum,
        )),
    };
    Ok(Record::from_rdata(name, record.ttl, data))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    match bytes {
        Ok(bytes) if bytes.len() <= 255 => Ok(bytes),
        Ok(_) => Err(format!("the text {text:?} is longer than 255 bytes")),
        Err(_) => Err(format!(
            "the text {text:?} has characters outside ISO 8859-1"
        )),
    }
}

fn from_rdata(data: &RData) -> Option<Data> {
    Some(match data {
        RData::A(ip) => Data::A(ip.0),
        RData::AAAA(ip) => Data::Aaaa(ip.0),
        RData::NS(server) => Data::Ns(server.0.to_ascii()),
        RData::TXT(texts) => Data::Txt(
            texts
                .txt_data
                .iter()
                .map(|text| text.iter().map(|byte| char::from(*byte)).collect())
                .collect(),
        ),
        RData::SOA(soa) => Data::Soa(Soa {
            mname: soa.mname.to_ascii(),
            rname: soa.rname.to_ascii(),
            serial: soa.serial,
            refresh: soa.refresh,
            retry: soa.retry,
            expire: soa.expire,
            minimum: soa.minimum,
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_zone_is_read_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zone.json");
        let origin = Name::from_ascii("orders.test.").unwrap();
        assert_eq!(load(&path, &origin).unwrap(), None);
        let ns = Name::from_ascii("ns.orders.test.").unwrap();
        let soa = SOA::new(ns.clone(), ns.clone(), 3, 1, 2, 4, 5);
        let mut zone = Zone::new(LowerName::new(&origin), soa, &[ns], 60);
        let app = LowerName::new(&Name::from_ascii("_Mainstay.a\\.p.orders.test.").unwrap());
        zone.add(app.clone(), 1, RData::A(A::new(127, 0, 0, 11)));
        zone.add(
            app.clone(),
            1,
            RData::AAAA("::1".parse::<std::net::Ipv6Addr>().unwrap().into()),
        );
        zone.add(
            app,
            1,
            RData::TXT(TXT::from_bytes(vec![b"epoch=1", b"\x00\xff\"\\ "])),
        );
        save(&path, &zone).unwrap();
        assert_eq!(load(&path, &origin).unwrap(), Some(zone));

        let other = Name::from_ascii("other.test.").unwrap();
        assert_eq!(load(&path, &other).unwrap_err().code(), "demo-content");
        fs::write(&path, b"{").unwrap();
        assert_eq!(load(&path, &origin).unwrap_err().code(), "demo-content");
    }

    /// Later versions must still read this.
    #[test]
    fn the_first_version_of_the_file_is_readable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zone.json");
        let golden = r#"{"version":1,"origin":"orders.test.","records":[
            {"name":"orders.test.","ttl":60,"data":{"type":"NS","value":"ns.orders.test."}},
            {"name":"orders.test.","ttl":60,"data":{"type":"SOA","value":{
              "mname":"ns.orders.test.","rname":"ns.orders.test.","serial":3,"refresh":1,
              "retry":2,"expire":4,"minimum":5}}},
            {"name":"app.orders.test.","ttl":1,"data":{"type":"A","value":"127.0.0.11"}}]}"#;
        fs::write(&path, golden).unwrap();
        let origin = Name::from_ascii("orders.test.").unwrap();
        let zone = load(&path, &origin).unwrap().unwrap();
        assert_eq!((zone.sets().len(), zone.soa().unwrap().serial), (3, 3));
    }
}
