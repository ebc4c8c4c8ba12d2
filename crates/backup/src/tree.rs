//! Reading a tree: the entries of one folder. What is read may have been written by anybody.
//! Must not know where trees are kept.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Id, Time,
    node::{Attribute, Kind, Meta, unix_mode},
    quote::unquote,
};

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name as written. It may be anything: see [`Node::has_safe_name`].
    pub name: Vec<u8>,
    /// All that is known of it.
    pub meta: Meta,
    /// The blobs of a file, in order.
    pub content: Vec<Id>,
    /// The tree of a folder.
    pub subtree: Option<Id>,
}

impl Node {
    /// Whether the name is that of an entry in a folder and of nothing else.
    #[must_use]
    pub fn has_safe_name(&self) -> bool {
        let name = &self.name[..];
        !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| matches!(byte, b'/' | 0))
    }
}

#[derive(Deserialize)]
struct Nodes<'a> {
    #[serde(borrow)]
    nodes: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default)]
    mode: u32,
    mtime: Option<Time>,
    ctime: Option<Time>,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    group: Option<Cow<'a, str>>,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    device_id: u64,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    links: u64,
    #[serde(borrow)]
    linktarget: Option<Cow<'a, str>>,
    #[serde(borrow)]
    linktarget_raw: Option<Cow<'a, str>>,
    extended_attributes: Option<Vec<WrittenAttribute>>,
    #[serde(default)]
    device: u64,
    content: Option<Vec<Id>>,
    subtree: Option<Id>,
}

#[derive(Deserialize)]
struct WrittenAttribute {
    name: String,
    value: Option<String>,
}

/// The text of each entry, in order. An entry that did not change is written again as it was.
pub(crate) fn texts(json: &[u8]) -> Result<Vec<&str>, String> {
    let nodes: Nodes<'_> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    Ok(nodes
        .nodes
        .unwrap_or_default()
        .into_iter()
        .map(RawValue::get)
        .collect())
}

/// Reads one entry.
pub(crate) fn node(text: &str) -> Result<Node, String> {
    let written: Written<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let base64 = |text: &str| STANDARD.decode(text).map_err(|error| error.to_string());
    let name =
        unquote(&written.name).ok_or_else(|| format!("a name is ill quoted: {}", written.name))?;
    let kind = Kind::of_word(&written.kind)
        .ok_or_else(|| format!("{:?} is an entry of unknown sort", written.kind))?;
    let mut attributes = Vec::new();
    for one in written.extended_attributes.unwrap_or_default() {
        attributes.push(Attribute {
            value: base64(&one.value.unwrap_or_default())?,
            name: one.name.into_bytes(),
        });
    }
    let target = match written.linktarget_raw {
        Some(raw) => base64(&raw)?,
        None => written
            .linktarget
            .unwrap_or_default()
            .into_owned()
            .into_bytes(),
    };
    let modified = written.mtime.unwrap_or(Time::EPOCH);
    Ok(Node {
        name,
        meta: Meta {
            kind,
            mode: unix_mode(written.mode),
            modified,
            changed: written.ctime.unwrap_or(modified),
            uid: written.uid,
            gid: written.gid,
            user: written.user.unwrap_or_default().into_owned(),
            group: written.group.unwrap_or_default().into_owned(),
            inode: written.inode,
            device_id: written.device_id,
            links: written.links,
            size: written.size,
            target,
            device: written.device,
            attributes,
        },
        content: written.content.unwrap_or_default(),
        subtree: written.subtree,
    })
}

/// What tells whether an entry changed, and what it leads to.
#[derive(Debug)]
pub(crate) struct Brief {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Option<Kind>,
    pub(crate) modified: Option<Time>,
    pub(crate) changed: Option<Time>,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) content: Vec<Id>,
    pub(crate) subtree: Option<Id>,
}

#[derive(Deserialize)]
struct WrittenBrief<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    mtime: Option<Time>,
    ctime: Option<Time>,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    size: u64,
    content: Option<Vec<Id>>,
    subtree: Option<Id>,
}

/// Reads the part of an entry that a comparison needs.
pub(crate) fn brief(text: &str) -> Result<Brief, String> {
    let written: WrittenBrief<'_> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(Brief {
        name: unquote(&written.name).ok_or("a name is ill quoted")?,
        kind: Kind::of_word(&written.kind),
        modified: written.mtime,
        changed: written.ctime,
        inode: written.inode,
        size: written.size,
        content: written.content.unwrap_or_default(),
        subtree: written.subtree,
    })
}

/// Reads a whole tree.
pub(crate) fn nodes(json: &[u8]) -> Result<Vec<Node>, String> {
    texts(json)?.into_iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node::{Leads, write_node};

    fn meta() -> impl Strategy<Value = Meta> {
        let kinds = prop::sample::select(vec![Kind::File, Kind::Folder, Kind::Link, Kind::Char]);
        let bytes = || prop::collection::vec(any::<u8>(), 0..20);
        let times = (0_i64..4_000_000_000, 0_i64..1_000_000_000);
        (
            kinds,
            0_u32..0o10000,
            times,
            any::<(u32, u32, u64, u64)>(),
            bytes(),
            bytes(),
            "\\PC{0,8}",
        )
            .prop_map(
                |(kind, mode, (secs, nanos), (uid, gid, inode, size), target, value, user)| Meta {
                    uid,
                    gid,
                    inode,
                    size,
                    target,
                    user,
                    attributes: vec![Attribute {
                        name: b"user.a".to_vec(),
                        value,
                    }],
                    ..Meta::plain(kind, mode, Time::from_parts(secs, nanos))
                },
            )
    }

    proptest! {
        #[test]
        fn any_entry_comes_back(name in prop::collection::vec(any::<u8>(), 0..20), meta in meta(), ids in any::<[[u8; 32]; 2]>()) {
            let content = ids.map(Id);
            let mut text = Vec::new();
            write_node(&name, &meta, Leads::Content(&content), &mut text);
            let read = node(std::str::from_utf8(&text).unwrap()).unwrap();
            prop_assert_eq!(read, Node { name, meta, content: content.to_vec(), subtree: None });
        }

        #[test]
        fn no_text_makes_reading_panic(text: String) {
            let _ = nodes(text.as_bytes());
        }
    }

    #[test]
    fn an_entry_is_written_as_restic_writes_it() {
        let mut meta = Meta::plain(Kind::Folder, 0o1777, Time { secs: 0, nanos: 5 });
        meta.user = "root".to_owned();
        meta.inode = 7;
        let mut text = Vec::new();
        write_node(b"tmp", &meta, Leads::Tree(Id([0xab; 32])), &mut text);
        let expected = format!(
            "{{\"name\":\"tmp\",\"type\":\"dir\",\"mode\":2148532735,\"mtime\":\"1970-01-01T00:00:00.000000005Z\",\
             \"atime\":\"1970-01-01T00:00:00.000000005Z\",\"ctime\":\"1970-01-01T00:00:00.000000005Z\",\"uid\":0,\
             \"gid\":0,\"user\":\"root\",\"inode\":7,\"links\":1,\"content\":null,\"subtree\":\"{}\"}}",
            "ab".repeat(32)
        );
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn names_that_lead_elsewhere_are_not_safe() {
        let node = |name: &str| Node {
            name: name.as_bytes().to_vec(),
            meta: Meta::plain(Kind::File, 0, Time::EPOCH),
            content: Vec::new(),
            subtree: None,
        };
        for bad in ["", ".", "..", "a/b", "/", "a\0b"] {
            assert!(!node(bad).has_safe_name(), "{bad:?}");
        }
        assert!(node("...").has_safe_name() && node("a\\b").has_safe_name());
    }
}
