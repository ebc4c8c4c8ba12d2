//! Addresses of containers: `file:./folder`, `s3://bucket/prefix`, `azblob://container/prefix`, `gcs://bucket/prefix`,
//! `sftp://user@host:22/folder`.
//! Must not know what is at an address.

use std::path::PathBuf;

use super::super::{ObjectName, StorageError};

/// A parsed address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    File(PathBuf),
    S3(Bucket),
    Azblob(Bucket),
    Gcs(Bucket),
    Sftp(Server),
}

/// A bucket, and what all names in it begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) prefix: Option<ObjectName>,
}

/// A folder on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// From the root on, or relative to the user's home.
    pub(super) path: String,
}

const FORMS: &str = "an address is file:PATH, s3://BUCKET/PREFIX, azblob://CONTAINER/PREFIX, \
                     gcs://BUCKET/PREFIX or sftp://USER@HOST:PORT/PATH";

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, StorageError> {
        Self::read(url).map_err(|why| StorageError::Address {
            url: without_password(url),
            why,
        })
    }

    fn read(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once(':').ok_or(FORMS)?;
        if scheme == "file" {
            return file(rest);
        }
        let rest = rest.strip_prefix("//").ok_or(FORMS)?;
        match scheme {
            "s3" => bucket(rest).map(Self::S3),
            "azblob" => bucket(rest).map(Self::Azblob),
            "gcs" => bucket(rest).map(Self::Gcs),
            "sftp" => server(rest).map(Self::Sftp),
            _ => Err(format!("nothing is known by {scheme:?}: {FORMS}")),
        }
    }
}

/// An address as it may be shown: whatever stands between a user and a host is left out.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}:...{}", &rest[user.len()..])
        }
        _ => format!("{scheme}://{rest}"),
    }
}

fn file(rest: &str) -> Result<Address, String> {
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err("a file's address has no host: write file:PATH".to_owned()),
        None => rest,
    };
    if path.is_empty() || path.contains('\0') {
        return Err("the path is missing: write file:PATH".to_owned());
    }
    Ok(Address::File(PathBuf::from(path)))
}

fn bucket(rest: &str) -> Result<Bucket, String> {
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if name.is_empty() || !name.bytes().all(plain) || !name.as_bytes()[0].is_ascii_alphanumeric() {
        // Not repeated: it may have a password before an at sign.
        let why = "a name of a bucket or container has letters, digits, '.', '-' and '_', and no user before it";
        return Err(why.to_owned());
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let prefix = match prefix {
        "" => None,
        prefix => {
            let why =
                "what follows the bucket has letters, digits, '.', '_', '-' and single slashes";
            Some(ObjectName::new(prefix).map_err(|_| why.to_owned())?)
        }
    };
    Ok(Bucket {
        name: name.to_owned(),
        prefix,
    })
}

fn server(rest: &str) -> Result<Server, String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    // What begins with a dash would be an option of the program ssh.
    let word = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
    };
    if let Some(user) = user.filter(|user| !word(user)) {
        return Err(if user.contains(':') {
            "it has no place for a password: name a key with the option identity".to_owned()
        } else {
            format!("{user:?} is no name of a user")
        });
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) => {
            let port: Option<u16> = port.parse().ok().filter(|port| *port > 0);
            (
                host,
                Some(port.ok_or("the port is a number from 1 to 65535")?),
            )
        }
        None => (host, None),
    };
    if !word(host) {
        return Err(format!("{host:?} is no name of a host"));
    }
    let path = match path.strip_prefix("~/") {
        Some(home) => home.to_owned(),
        None => format!("/{path}"),
    };
    let path = path.strip_suffix('/').unwrap_or(&path);
    if path.is_empty() || path.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(
            "the folder is missing: write sftp://HOST/PATH, or sftp://HOST/~/PATH".to_owned(),
        );
    }
    Ok(Server {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(url: &str) -> String {
        let error = Address::parse(url).unwrap_err();
        assert_eq!(error.code(), "container-address");
        error.to_string()
    }

    #[test]
    fn addresses_are_read() {
        let address = Address::parse("file:./offsite").unwrap();
        assert_eq!(address, Address::File("./offsite".into()));
        let address = Address::parse("file:///srv/offsite").unwrap();
        assert_eq!(address, Address::File("/srv/offsite".into()));
        let bucket = |prefix: Option<&str>| Bucket {
            name: "b.1".to_owned(),
            prefix: prefix.map(|prefix| ObjectName::new(prefix).unwrap()),
        };
        for url in ["s3://b.1", "s3://b.1/"] {
            assert_eq!(Address::parse(url).unwrap(), Address::S3(bucket(None)));
        }
        let deep = bucket(Some("a/b"));
        assert_eq!(
            Address::parse("azblob://b.1/a/b").unwrap(),
            Address::Azblob(deep.clone())
        );
        assert_eq!(
            Address::parse("gcs://b.1/a/b/").unwrap(),
            Address::Gcs(deep)
        );
        let server = Address::parse("sftp://ann@host.x:2222/srv/a b").unwrap();
        let expected = Server {
            user: Some("ann".to_owned()),
            host: "host.x".to_owned(),
            port: Some(2222),
            path: "/srv/a b".to_owned(),
        };
        assert_eq!(server, Address::Sftp(expected));
        let Address::Sftp(home) = Address::parse("sftp://host/~/offsite/").unwrap() else {
            panic!("no server");
        };
        assert_eq!(home.path, "offsite");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        assert!(why("offsite").contains("file:PATH"));
        assert!(why("ftp://a/b").contains("nothing is known by \"ftp\""));
        assert!(why("s3:bucket").contains("s3://BUCKET"));
        assert!(why("s3://").contains("a name of a bucket"));
        assert!(why("s3://user@bucket/x").contains("a name of a bucket"));
        assert!(why("s3://b/a//b").contains("single slashes"));
        assert!(why("s3://b/../c").contains("what follows the bucket"));
        assert!(why("file:").contains("path is missing"));
        assert!(why("file://host/a").contains("no host"));
        assert!(why("sftp://h").contains("folder is missing"));
        assert!(why("sftp://h:0/a").contains("port"));
        assert!(why("sftp://-oProxyCommand=x/a").contains("no name of a host"));
        assert!(why("sftp://-l@h/a").contains("no name of a user"));
    }

    #[test]
    fn no_error_repeats_a_password() {
        for url in [
            "sftp://ann:hunter2@h/a",
            "s3://b/x y?sig=hunter2",
            "s3://k:hunter2@b/x",
        ] {
            let error = why(url);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
