//! Paths of a plan file, made absolute: they are meant relative to the file's folder, wherever a command runs.
//! Lexical only. Must not know a file system.

use serde_json::Value;

/// A path below a folder, without `.` and `..`. An absolute path stays.
pub(super) fn absolute(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{folder}/{path}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `file:`, `unix:` and `sqlite:` addresses with an absolute path; any other address as it is.
pub(super) fn address(folder: &str, address: &str) -> String {
    for scheme in ["file:", "unix:", "sqlite:"] {
        if let Some(path) = address.strip_prefix(scheme) {
            let path = path
                .strip_prefix("//")
                .filter(|path| path.starts_with('/'))
                .unwrap_or(path);
            return format!("{scheme}{}", absolute(folder, path));
        }
    }
    address.to_owned()
}

/// The same for every `url` and every `{ file: PATH }` in a kind's options. Anything else is the kind's own matter:
/// a program's arguments mean what the program says.
pub(super) fn within(folder: &str, value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(|item| within(folder, item)).collect(),
        Value::Object(map) => {
            let alone = map.len() == 1;
            let map = map.into_iter().map(|(key, value)| match value {
                Value::String(text) if key == "url" => (key, address(folder, &text).into()),
                Value::String(path) if alone && key == "file" => {
                    (key, absolute(folder, &path).into())
                }
                value => (key, within(folder, value)),
            });
            Value::Object(map.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_below_the_folder() {
        for (path, wanted) in [
            ("x", "/plan/x"),
            ("./x/../y", "/plan/y"),
            ("/x//y/.", "/x/y"),
            ("../../../x", "/x"),
        ] {
            assert_eq!(absolute("/plan", path), wanted);
        }
        let value = json!({ "url": "file:./a", "key": { "file": "k" }, "dsn": "file:x", "all": ["unix:s"] });
        let wanted = json!({ "url": "file:/plan/a", "key": { "file": "/plan/k" }, "dsn": "file:x", "all": ["unix:s"] });
        assert_eq!(within("/plan/", value), wanted);
        assert_eq!(address("/plan", "file:///a"), "file:/a");
    }
}
