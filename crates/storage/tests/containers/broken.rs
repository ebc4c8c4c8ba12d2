//! A service that does not keep its word: whatever it answers, nothing is silently short, and nothing hangs.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use mainstay_storage::{
    Created, Missing, Options, Part, Patience, Retry, Secret, Storage, StorageError, open,
};

use super::{
    contract::name,
    servers::{BRIEF, s3_options},
};

/// What the service does with a request, by its first line. Nothing is no answer at all.
type Answer = fn(&str) -> Option<String>;

/// Starts a service and opens a container on it.
fn service(answer: Answer, change: fn(Options) -> Options) -> Arc<dyn Storage> {
    let options = change(s3_options(&listen(answer)));
    open("s3://bucket", &options).unwrap()
}

/// Starts a service and returns its host and port. The thread ends with the test program.
fn listen(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(&stream.unwrap(), answer));
        }
    });
    address
}

fn serve(mut stream: &TcpStream, answer: Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        if let Some((key, value)) = line.split_once(':')
            && key.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    // The question whether the bucket is there.
    let answer = if first.contains("max-keys=1&") || first.contains("max-keys=1 ") {
        Some(page(&[], None))
    } else {
        answer(&first)
    };
    match answer {
        Some(text) => {
            let _ = stream.write_all(text.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        // Until the other side gives up.
        None => drop(reader.read(&mut [0])),
    }
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
    )
}

fn page(names: &[&str], next: Option<&str>) -> String {
    let one = |name: &&str| {
        format!(
            "<Contents><Key>{name}</Key><Size>1</Size><ETag>e</ETag>\
             <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        )
    };
    let objects: String = names.iter().map(one).collect();
    let next = match next {
        Some(next) => format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>"
        ),
        None => "<IsTruncated>false</IsTruncated>".to_owned(),
    };
    reply(
        "200 OK",
        "",
        &format!("<ListBucketResult>{next}{objects}</ListBucketResult>"),
    )
}

fn list(answer: Answer) -> Result<Vec<String>, StorageError> {
    let listed = service(answer, |options| options).list(&name("data"))?;
    Ok(listed.into_iter().map(|one| one.name.to_string()).collect())
}

#[test]
fn a_listing_is_whole_and_in_order_or_an_error() {
    let names = list(|_| {
        Some(page(
            &["data/b", "data/a", "data/", "data/x y", "data/c/d"],
            None,
        ))
    });
    assert_eq!(names.unwrap(), ["data/a", "data/b", "data/c/d"]);
    // The second page fails.
    let half: Answer = |first| {
        Some(if first.contains("continuation-token=") {
            reply("500 Internal Server Error", "", "")
        } else {
            page(&["data/a"], Some("more"))
        })
    };
    // The listing begins again and again.
    let circle: Answer = |_| Some(page(&["data/a"], Some("more")));
    let twice: Answer = |_| Some(page(&["data/a", "data/a"], None));
    let cut: Answer =
        |_| Some(page(&["data/a", "data/b"], None).replace("</ListBucketResult>", ""));
    for answer in [half, circle, twice, cut] {
        let listed = list(answer);
        assert!(
            matches!(listed, Err(StorageError::List { .. })),
            "{listed:?}"
        );
    }
}

/// An object of ten bytes, `0123456789`, of which less than promised is handed out.
fn short(first: &str) -> String {
    if first.starts_with("HEAD") {
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n".to_owned()
    } else if first.contains("cut") {
        reply("200 OK", "", "01234").replace("Length: 5", "Length: 10")
    } else if first.contains("few") {
        reply(
            "206 Partial Content",
            "Content-Range: bytes 2-3/10\r\n",
            "23",
        )
    } else {
        reply("200 OK", "", "0123456789")
    }
}

#[test]
fn an_answer_that_is_short_is_an_error() {
    let storage = service(|first| Some(short(first)), |options| options);
    let range = Part::Range { from: 2, len: 5 };
    for (object, part) in [("cut", Part::Whole), ("cut", range), ("few", range)] {
        let read = storage.read(&name(object), part, &mut Vec::new());
        assert!(
            matches!(read, Err(StorageError::Read { .. })),
            "{object}: {read:?}"
        );
    }
    // It answers with everything, although only a part was asked for.
    let mut bytes = Vec::new();
    if storage.read(&name("all"), range, &mut bytes).is_ok() {
        assert_eq!(bytes, b"23456");
    }
}

#[test]
fn a_service_that_never_answers_is_given_up() {
    let limits = |options: Options| options.limits(Duration::from_secs(3), Duration::ZERO);
    let storage = service(|_| None, limits);
    let (storage, a) = (&*storage, &name("data/a"));
    std::thread::scope(|scope| {
        let listed = scope.spawn(|| storage.list(&name("data")).unwrap_err());
        let read = scope.spawn(|| storage.read(a, Part::Whole, &mut Vec::new()).unwrap_err());
        let written = scope.spawn(|| storage.write(a, b"1").unwrap_err());
        let created = scope.spawn(|| storage.create(a, b"1").unwrap_err());
        let deleted = scope.spawn(|| storage.delete(std::slice::from_ref(a)).unwrap_err());
        let listed = listed.join().unwrap();
        assert_eq!(listed.code(), "listing-failed");
        assert!(
            listed.to_string().contains("no answer within 3 s"),
            "{listed}"
        );
        assert_eq!(read.join().unwrap().code(), "object-unreadable");
        // A change may have arrived.
        for change in [written, created, deleted] {
            assert_eq!(change.join().unwrap().code(), "object-outcome-unknown");
        }
    });
}

#[test]
fn a_service_that_ignores_conditions_is_refused_for_a_new_repository() {
    let address = listen(|first| {
        let removal = first.starts_with("DELETE");
        let status = if removal { "204 No Content" } else { "200 OK" };
        Some(reply(status, "ETag: \"e\"\r\n", ""))
    });
    let options = s3_options(&address);
    let refused = open("s3://bucket", &options.clone().missing(Missing::Make)).unwrap_err();
    assert!(refused.to_string().contains("If-None-Match"), "{refused}");
    assert_eq!(refused.retry(), Retry::Never);
    open("s3://bucket", &options).unwrap();
}

#[test]
fn a_refusal_is_told_without_a_secret() {
    let refuse: Answer = |_| {
        let body = "<Error><Code>AccessDenied</Code><Message>not you, nothing is behind it</Message></Error>";
        Some(reply("403 Forbidden", "", body))
    };
    let storage = service(refuse, |options| options.patience(Patience::default()));
    let error = storage.write(&name("data/a"), b"1").unwrap_err();
    assert_eq!(
        error.to_string(),
        "write data/a: AccessDenied: not you, [secret]"
    );
    assert!(matches!(error, StorageError::Write { .. }), "{error:?}");
}

/// Google Cloud Storage as its documentation has it: `ifGenerationMatch=0` is "only if there is none".
#[test]
fn a_create_in_a_bucket_of_google_is_conditional() {
    let google: Answer = |first| {
        let conditional = first.contains("ifGenerationMatch=0");
        Some(if first.starts_with("GET") {
            reply(
                "200 OK",
                "Content-Type: application/json\r\n",
                r#"{"kind":"storage#objects"}"#,
            )
        } else if conditional {
            let body = r#"{"error":{"code":412,"message":"At least one of the pre-conditions did not hold","errors":[]}}"#;
            reply("412 Precondition Failed", "", body)
        } else {
            let body = r#"{"size":"1","generation":"1","metageneration":"1","updated":"2026-01-01T00:00:00Z"}"#;
            reply("200 OK", "", body)
        })
    };
    let address = listen(google);
    let options = Options::default()
        .with("endpoint", format!("http://{address}"))
        .with_secret("token", Secret::new("not a token"))
        .patience(BRIEF);
    let storage = open("gcs://bucket/deep", &options).unwrap();
    assert!(storage.list(&name("data")).unwrap().is_empty());
    assert_eq!(
        storage.create(&name("taken"), b"1").unwrap(),
        Created::ThereAlready
    );
    storage.write(&name("taken"), b"1").unwrap();
}
