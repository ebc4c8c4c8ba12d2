//! The services behind buckets: which options each has, and how it is reached.
//! Must not know how objects are read and written.

use std::{sync::OnceLock, time::Duration};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use opendal::{
    Builder, HttpTransporter, OperationContext, Operator,
    services::{Azblob, Gcs, S3},
};
use opendal_http_transport_reqwest::ReqwestTransport;

use super::{
    super::StorageError,
    address::Bucket,
    options::{Options, Taking, bad},
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(20);

/// S3, and what speaks like it. Without keys the service's usual places are asked: environment, profile, machine.
pub(super) fn s3(bucket: &Bucket, options: &Options) -> Result<Operator, StorageError> {
    let mut taking = Taking::new(options);
    let mut service = S3::default()
        .bucket(&bucket.name)
        .root(root(bucket))
        .region(&taking.needed("region", "name the bucket's region, for example eu-north-1")?);
    if let Some(endpoint) = taking.value("endpoint") {
        service = service.endpoint(endpoint_of("endpoint", &endpoint)?);
    }
    service = match taking.value("addressing").as_deref() {
        None | Some("path") => service,
        Some("virtual-host") => service.enable_virtual_host_style(),
        Some(other) => {
            let why = format!("is {other:?}: write path or virtual-host");
            return Err(bad("addressing", why));
        }
    };
    if let Some(class) = taking.value("storage-class") {
        service = service.default_storage_class(&class);
    }
    if let Some(role) = taking.value("role") {
        service = service.role_arn(&role);
    }
    let id = taking.value("access-key-id");
    let key = taking.secret("secret-access-key")?;
    let token = taking.secret("session-token")?;
    match (id, key) {
        (Some(id), Some(key)) => {
            service = service.access_key_id(&id).secret_access_key(key.expose());
            service = service.disable_config_load().disable_ec2_metadata();
            if let Some(token) = token {
                service = service.session_token(token.expose());
            }
        }
        (None, None) => {}
        (Some(_), None) => {
            return Err(bad(
                "secret-access-key",
                "is missing: access-key-id is there",
            ));
        }
        (None, Some(_)) => {
            return Err(bad(
                "access-key-id",
                "is missing: secret-access-key is there",
            ));
        }
    }
    taking.end()?;
    operator(service)
}

/// Azure Blob Storage.
pub(super) fn azblob(bucket: &Bucket, options: &Options) -> Result<Operator, StorageError> {
    let mut taking = Taking::new(options);
    let account = taking.needed("account", "name the storage account")?;
    let endpoint = match taking.value("endpoint") {
        Some(endpoint) => endpoint_of("endpoint", &endpoint)?.to_owned(),
        None => format!("https://{account}.blob.core.windows.net"),
    };
    let mut service = Azblob::default()
        .container(&bucket.name)
        .root(root(bucket))
        .account_name(&account)
        .endpoint(&endpoint);
    match (taking.secret("account-key")?, taking.secret("sas-token")?) {
        (Some(key), None) => service = service.account_key(key.expose()),
        (None, Some(token)) => {
            let token = token.expose();
            service = service.sas_token(token.strip_prefix('?').unwrap_or(token));
        }
        (None, None) => {}
        (Some(_), Some(_)) => {
            return Err(bad(
                "sas-token",
                "cannot be used beside account-key: leave one out",
            ));
        }
    }
    taking.end()?;
    operator(service)
}

/// Google Cloud Storage.
pub(super) fn gcs(bucket: &Bucket, options: &Options) -> Result<Operator, StorageError> {
    let mut taking = Taking::new(options);
    let mut service = Gcs::default().bucket(&bucket.name).root(root(bucket));
    if let Some(endpoint) = taking.value("endpoint") {
        service = service.endpoint(endpoint_of("endpoint", &endpoint)?);
    }
    if let Some(class) = taking.value("storage-class") {
        service = service.default_storage_class(&class);
    }
    match (taking.secret("credentials")?, taking.secret("token")?) {
        (Some(json), None) => {
            // The library takes the file's content in base 64 only, and drops silently what is not.
            let content = BASE64_STANDARD.encode(json.expose());
            service = service.credential(&content).disable_config_load();
        }
        (None, Some(token)) => service = service.token(token.expose().to_owned()),
        (None, None) => {}
        (Some(_), Some(_)) => {
            return Err(bad(
                "token",
                "cannot be used beside credentials: leave one out",
            ));
        }
    }
    taking.end()?;
    operator(service)
}

fn root(bucket: &Bucket) -> &str {
    bucket.prefix.as_ref().map_or("/", |prefix| prefix.as_str())
}

fn endpoint_of<'a>(name: &str, endpoint: &'a str) -> Result<&'a str, StorageError> {
    let rest = endpoint
        .strip_prefix("https://")
        .or_else(|| endpoint.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']) => Ok(endpoint),
        _ => Err(bad(
            name,
            "is an address: write https://HOST or https://HOST:PORT",
        )),
    }
}

fn operator(service: impl Builder) -> Result<Operator, StorageError> {
    let operator = Operator::new(service).map_err(|error| bad("options", error.message()))?;
    let transport = HttpTransporter::new(ReqwestTransport::new(client()?));
    Ok(operator.with_context(OperationContext::new().with_http_transport(transport)))
}

/// One client for all: its connections are used again.
fn client() -> Result<reqwest::Client, StorageError> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    // Already there when another part of the process was faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let built = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let built = built.map_err(|error| StorageError::Open {
        place: "the network".to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(CLIENT.get_or_init(|| built).clone())
}

#[cfg(test)]
mod tests {
    use super::{super::options::Secret, *};

    type Make = fn(&Bucket, &Options) -> Result<Operator, StorageError>;

    fn refused(make: Make, options: &Options) -> String {
        let bucket = Bucket {
            name: "bucket".to_owned(),
            prefix: None,
        };
        let error = make(&bucket, options).unwrap_err();
        assert_eq!(error.code(), "container-option");
        error.to_string()
    }

    #[test]
    fn options_that_are_missing_or_wrong_are_named() {
        let s3_options = Options::default().with("region", "eu-north-1");
        let cases: [(Make, Options, &str); 8] = [
            (s3, Options::default(), "the option region is missing"),
            (
                s3,
                s3_options.clone().with("access-key-id", "a"),
                "secret-access-key is missing",
            ),
            (
                s3,
                s3_options.clone().with("secret-access-key", "hunter2"),
                "is a secret: write { env",
            ),
            (
                s3,
                s3_options.clone().with("endpoint", "minio:9000"),
                "endpoint is an address",
            ),
            (
                s3,
                s3_options.clone().with("adressing", "path"),
                "adressing is not known here: there are access-key-id",
            ),
            (
                s3,
                s3_options.with("addressing", "dns"),
                "write path or virtual-host",
            ),
            (azblob, Options::default(), "the option account is missing"),
            (
                gcs,
                Options::default().with("region", "x"),
                "region is not known here",
            ),
        ];
        for (make, options, expected) in cases {
            let text = refused(make, &options);
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        let two = Options::default()
            .with("account", "a")
            .with_secret("account-key", Secret::new("a2V5"))
            .with_secret("sas-token", Secret::new("?sig=x"));
        assert!(refused(azblob, &two).contains("leave one out"));
        assert!(!format!("{two:?}").contains("a2V5"), "{two:?}");
    }
}
