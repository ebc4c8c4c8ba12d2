//! One entry of a tree: what the repository format keeps of a file, folder, link or device.
//! Source: restic's design document, "Trees and Data"; file modes are numbered as Go numbers them.
//! Must not know file systems.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    Id, Time,
    quote::{write_name, write_text},
};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A block device.
    Block,
    /// A character device.
    Char,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
}

impl Kind {
    /// The word for it in a tree.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "dir",
            Self::Link => "symlink",
            Self::Block => "dev",
            Self::Char => "chardev",
            Self::Pipe => "fifo",
            Self::Socket => "socket",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Some(match word {
            "file" => Self::File,
            "dir" => Self::Folder,
            "symlink" => Self::Link,
            "dev" => Self::Block,
            "chardev" => Self::Char,
            "fifo" => Self::Pipe,
            "socket" => Self::Socket,
            _ => return None,
        })
    }

    /// Go's bits for it.
    fn bits(self) -> u32 {
        match self {
            Self::File => 0,
            Self::Folder => 1 << 31,
            Self::Link => 1 << 27,
            Self::Block => 1 << 26,
            Self::Char => 1 << 26 | 1 << 21,
            Self::Pipe => 1 << 25,
            Self::Socket => 1 << 24,
        }
    }
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// What is known of an entry besides its name and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Unix permission bits with set-user, set-group and sticky: 0o7777 at most.
    pub mode: u32,
    /// Last change of the content.
    pub modified: Time,
    /// Last change of anything about it. Nobody can set it.
    pub changed: Time,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The owner's name, or empty.
    pub user: String,
    /// The group's name, or empty.
    pub group: String,
    /// The inode's number.
    pub inode: u64,
    /// The file system's number; only kept for files with several names.
    pub device_id: u64,
    /// How many names it has.
    pub links: u64,
    /// Length in bytes; zero for what is not a file.
    pub size: u64,
    /// Where a link leads.
    pub target: Vec<u8>,
    /// A device's number.
    pub device: u64,
    /// Extended attributes, sorted by name.
    pub attributes: Vec<Attribute>,
}

impl Meta {
    /// Of something that has no file system behind it.
    #[must_use]
    pub fn plain(kind: Kind, mode: u32, modified: Time) -> Self {
        Self {
            kind,
            mode,
            modified,
            changed: modified,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            inode: 0,
            device_id: 0,
            links: 1,
            size: 0,
            target: Vec::new(),
            device: 0,
            attributes: Vec::new(),
        }
    }

    /// Go's mode: permissions and sort in one number.
    pub(crate) fn go_mode(&self) -> u32 {
        let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
        let special = special.iter().filter(|(unix, _)| self.mode & unix != 0);
        let special = special.fold(0, |all, (_, go)| all | go);
        self.kind.bits() | special | self.mode & 0o777
    }
}

/// Unix permission bits of Go's mode.
pub(crate) fn unix_mode(go: u32) -> u32 {
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(_, bit)| go & bit != 0);
    special.fold(go & 0o777, |all, (unix, _)| all | unix)
}

/// What an entry leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leads<'a> {
    /// A file's blobs, in order.
    Content(&'a [Id]),
    /// A folder's tree.
    Tree(Id),
    /// Nothing.
    Nowhere,
}

/// Appends the entry as JSON, byte for byte as restic writes it: field order, what is left out when empty, escapes.
pub(crate) fn write_node(name: &[u8], meta: &Meta, leads: Leads<'_>, out: &mut Vec<u8>) {
    out.extend(b"{\"name\":");
    write_name(name, out);
    out.extend(b",\"type\":\"");
    out.extend(meta.kind.word().bytes());
    out.push(b'"');
    number("mode", u64::from(meta.go_mode()), out);
    // The time of last access is as restic has it unless it is asked to keep it: that of modification.
    for (field, time) in [
        ("mtime", meta.modified),
        ("atime", meta.modified),
        ("ctime", meta.changed),
    ] {
        key(field, out);
        out.push(b'"');
        time.write(out);
        out.push(b'"');
    }
    key("uid", out);
    decimal(u64::from(meta.uid), out);
    key("gid", out);
    decimal(u64::from(meta.gid), out);
    text("user", &meta.user, out);
    text("group", &meta.group, out);
    number("inode", meta.inode, out);
    number("device_id", meta.device_id, out);
    number("size", meta.size, out);
    number("links", meta.links, out);
    if !meta.target.is_empty() {
        let target = String::from_utf8_lossy(&meta.target);
        text("linktarget", &target, out);
        if target.as_bytes() != meta.target {
            key("linktarget_raw", out);
            write_text(&STANDARD.encode(&meta.target), out);
        }
    }
    if !meta.attributes.is_empty() {
        attributes(&meta.attributes, out);
    }
    number("device", meta.device, out);
    key("content", out);
    match leads {
        Leads::Content(blobs) => content(blobs, out),
        _ => out.extend(b"null"),
    }
    if let Leads::Tree(id) = leads {
        key("subtree", out);
        write_id(id, out);
    }
    out.push(b'}');
}

fn key(name: &str, out: &mut Vec<u8>) {
    out.extend(b",\"");
    out.extend(name.bytes());
    out.extend(b"\":");
}

fn number(name: &str, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        key(name, out);
        decimal(value, out);
    }
}

fn decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10).to_le_bytes()[0];
        value /= 10;
        if value == 0 {
            break out.extend_from_slice(&digits[at..]);
        }
    }
}

fn text(name: &str, value: &str, out: &mut Vec<u8>) {
    if !value.is_empty() {
        key(name, out);
        write_text(value, out);
    }
}

fn write_id(id: Id, out: &mut Vec<u8>) {
    let from = out.len();
    out.resize(from + 66, b'"');
    // Exactly as many digits as there is room for.
    let _ = hex::encode_to_slice(id.0, &mut out[from + 1..from + 65]);
}

fn content(blobs: &[Id], out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, id) in blobs.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_id(*id, out);
    }
    out.push(b']');
}

fn attributes(attributes: &[Attribute], out: &mut Vec<u8>) {
    key("extended_attributes", out);
    out.push(b'[');
    for (at, attribute) in attributes.iter().enumerate() {
        out.extend(if at > 0 {
            &b",{\"name\":"[..]
        } else {
            b"{\"name\":"
        });
        write_text(&String::from_utf8_lossy(&attribute.name), out);
        key("value", out);
        write_text(&STANDARD.encode(&attribute.value), out);
        out.push(b'}');
    }
    out.push(b']');
}
