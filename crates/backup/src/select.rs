//! What of a source is backed up: patterns leave entries out, or take only some in. What is left out on purpose is not
//! missing; the snapshot names the patterns instead.
//! Must not know what sort of source it is.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use globset::{Glob, GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use crate::{BackupError, Entered, Kind, Listed, Meta, ShortRead, Source};

/// The patterns as they were given. They are those of a `.gitignore` file, with paths below the source's folder:
///
/// - `*` and `?` match within one name, `**` any number of folders, `[a-z]` one character of several, `{a,b}` either.
/// - A pattern with a slash before its end is a path from the source's folder on (`/cache`, `var/*.log`); one without
///   is a name in any folder (`*.tmp`).
/// - A slash at the end means folders only (`target/`).
/// - Of several that match an entry the last one counts. One that begins with `!` takes the entry in again, but never
///   what lies in a folder that was left out: that folder is not looked into.
/// - If there are patterns of what to take in, an entry needs to match one of them or to lie in a folder that does.
///   The folders on the way there are in the snapshot as well. `exclude` still leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Only what matches one of these is backed up; everything if there are none.
    #[serde(default)]
    pub include: Vec<String>,
    /// What matches these is not.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// Patterns that were understood.
#[derive(Debug)]
pub struct Patterns {
    selection: Selection,
    include: Vec<Rule>,
    exclude: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    matcher: GlobMatcher,
    then: Then,
    folders: Folders,
}

/// What becomes of an entry that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Match,
    /// What a rule before it matched is not matched any more.
    Not,
}

/// What a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folders {
    Only,
    AndOthers,
}

fn refused(pattern: &str, why: &(impl ToString + ?Sized)) -> BackupError {
    BackupError::Pattern {
        pattern: pattern.to_owned(),
        why: why.to_string(),
    }
}

impl Rule {
    fn new(pattern: &str) -> Result<Self, BackupError> {
        let (then, text) = match pattern.strip_prefix('!') {
            Some(rest) => (Then::Not, rest),
            None => (Then::Match, pattern),
        };
        let (folders, text) = match text.strip_suffix('/') {
            Some(rest) => (Folders::Only, rest),
            None => (Folders::AndOthers, text),
        };
        let inner = text.strip_prefix('/').unwrap_or(text);
        let odd = |part| matches!(part, "" | "." | "..");
        if inner.split('/').any(odd) {
            return Err(refused(
                pattern,
                "a path in it has an empty part, `.` or `..`",
            ));
        }
        let glob = if text.contains('/') {
            inner.to_owned()
        } else {
            format!("**/{inner}")
        };
        Ok(Self {
            matcher: compile(&glob)
                .map_err(|error| refused(pattern, error.kind()))?
                .compile_matcher(),
            then,
            folders,
        })
    }

    fn matches(&self, path: &Path, kind: Option<Kind>) -> bool {
        let sort = self.folders == Folders::AndOthers || kind == Some(Kind::Folder);
        sort && self.matcher.is_match(path)
    }
}

fn compile(glob: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(glob)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
}

/// Whether the last rule that matches matches for good.
fn matched(rules: &[Rule], path: &Path, kind: Option<Kind>) -> bool {
    let last = rules.iter().rev().find(|rule| rule.matches(path, kind));
    last.is_some_and(|rule| rule.then == Then::Match)
}

impl Patterns {
    /// Reads patterns, or says which one cannot be understood.
    pub fn new(selection: Selection) -> Result<Self, BackupError> {
        let rules = |patterns: &[String]| -> Result<Vec<Rule>, BackupError> {
            patterns.iter().map(|one| Rule::new(one)).collect()
        };
        Ok(Self {
            include: rules(&selection.include)?,
            exclude: rules(&selection.exclude)?,
            selection,
        })
    }

    /// Whether an entry is backed up, by its path below the source's folder. Of the folder that holds it, it is known
    /// whether a pattern took it in.
    fn takes(&self, path: &Path, kind: Option<Kind>, above: Taken) -> Option<Taken> {
        if matched(&self.exclude, path, kind) {
            return None;
        }
        let taken =
            above == Taken::Itself || self.include.is_empty() || matched(&self.include, path, kind);
        match (taken, kind) {
            (true, _) => Some(Taken::Itself),
            (false, Some(Kind::Folder)) => Some(Taken::OnTheWay),
            (false, _) => None,
        }
    }

    /// Whether a path below the source's folder would be backed up if it were there; every folder on the way counts.
    #[must_use]
    pub fn take(&self, path: &Path, kind: Kind) -> bool {
        let (mut taken, mut so_far) = (Taken::OnTheWay, PathBuf::new());
        let mut parts = path.components().peekable();
        while let Some(part) = parts.next() {
            so_far.push(part);
            let kind = if parts.peek().is_some() {
                Kind::Folder
            } else {
                kind
            };
            match self.takes(&so_far, Some(kind), taken) {
                Some(next) => taken = next,
                None => return false,
            }
        }
        true
    }
}

/// Why a folder is in the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// It was taken in, and so is what is in it.
    Itself,
    /// Something in it may be.
    OnTheWay,
}

/// A source without what patterns leave out.
#[derive(Debug)]
pub struct Selected<S> {
    source: S,
    patterns: Patterns,
    left_out: AtomicU64,
}

impl<S> Selected<S> {
    /// Leaves out what the patterns say.
    #[must_use]
    pub fn new(source: S, patterns: Patterns) -> Self {
        Self {
            source,
            patterns,
            left_out: AtomicU64::new(0),
        }
    }

    /// How many entries were left out so far; what is in a folder that was is not counted.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

/// A folder of the source, and where it is.
#[derive(Debug)]
pub struct SelectedFolder<F> {
    folder: F,
    path: PathBuf,
    taken: Taken,
}

impl<S: Source> Source for Selected<S> {
    type Folder = SelectedFolder<S::Folder>;
    type Content = S::Content;

    fn enter(&self) -> io::Result<Entered<Self::Folder>> {
        let Entered {
            path,
            folders,
            folder,
        } = self.source.enter()?;
        let folder = SelectedFolder {
            folder,
            path: PathBuf::new(),
            taken: Taken::OnTheWay,
        };
        Ok(Entered {
            path,
            folders,
            folder,
        })
    }

    fn list(&self, folder: &Self::Folder) -> io::Result<Vec<Listed>> {
        let mut listed = self.source.list(&folder.folder)?;
        let before = listed.len();
        listed.retain_mut(|entry| {
            if entry.kind.is_none() {
                // What cannot be looked at is kept, so that it is named as missing.
                let Ok(seen) = self.source.glance(&folder.folder, &entry.name) else {
                    return true;
                };
                entry.kind = Some(seen.kind);
            }
            let path = folder.path.join(&entry.name);
            let taken = self.patterns.takes(&path, entry.kind, folder.taken);
            taken.is_some()
        });
        let left_out = (before - listed.len()) as u64;
        self.left_out.fetch_add(left_out, Ordering::Relaxed);
        Ok(listed)
    }

    fn folder(&self, parent: &Self::Folder, name: &OsStr) -> io::Result<(Self::Folder, Meta)> {
        let (folder, meta) = self.source.folder(&parent.folder, name)?;
        let path = parent.path.join(name);
        let taken = self.patterns.takes(&path, Some(Kind::Folder), parent.taken);
        let place = SelectedFolder {
            folder,
            path,
            taken: taken.unwrap_or(Taken::OnTheWay),
        };
        Ok((place, meta))
    }

    fn glance(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<Meta> {
        self.source.glance(&folder.folder, name)
    }

    fn look(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<Meta> {
        self.source.look(&folder.folder, name)
    }

    fn open(&self, folder: &Self::Folder, name: &OsStr) -> io::Result<(Self::Content, Meta)> {
        self.source.open(&folder.folder, name)
    }

    fn short_read(&self) -> ShortRead {
        self.source.short_read()
    }

    fn selection(&self) -> Selection {
        self.patterns.selection.clone()
    }

    fn settle(&self) -> Result<(), String> {
        self.source.settle()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(include: &[&str], exclude: &[&str]) -> Patterns {
        let all = |some: &[&str]| some.iter().map(|&one| one.to_owned()).collect();
        Patterns::new(Selection {
            include: all(include),
            exclude: all(exclude),
        })
        .unwrap()
    }

    /// A path with a slash at its end is a folder's.
    fn taken<'a>(patterns: &Patterns, paths: &[&'a str]) -> Vec<&'a str> {
        let take = |path: &&str| match path.strip_suffix('/') {
            Some(path) => patterns.take(Path::new(path), Kind::Folder),
            None => patterns.take(Path::new(path), Kind::File),
        };
        paths.iter().copied().filter(take).collect()
    }

    const PATHS: [&str; 9] = [
        "a.tmp",
        "cache",
        "in/a.tmp",
        "in/cache/",
        "in/cache/x",
        "in/deep/er/b.log",
        "in/keep.tmp",
        "var/a.log",
        "[odd]",
    ];

    fn left_out(exclude: &[&str]) -> Vec<&'static str> {
        let kept = taken(&patterns(&[], exclude), &PATHS);
        PATHS
            .into_iter()
            .filter(|path| !kept.contains(path))
            .collect()
    }

    #[test]
    fn exclusions_are_those_of_gitignore() {
        assert_eq!(left_out(&[]), [""; 0]);
        assert_eq!(left_out(&["*.tmp"]), ["a.tmp", "in/a.tmp", "in/keep.tmp"]);
        assert_eq!(left_out(&["/*.tmp"]), ["a.tmp"]);
        assert_eq!(left_out(&["in/*.tmp"]), ["in/a.tmp", "in/keep.tmp"]);
        assert_eq!(left_out(&["*.tmp", "!keep.tmp"]), ["a.tmp", "in/a.tmp"]);
        assert_eq!(
            left_out(&["!keep.tmp", "*.tmp"]).len(),
            3,
            "the last one counts"
        );
        assert_eq!(left_out(&["cache/"]), ["in/cache/", "in/cache/x"]);
        assert_eq!(left_out(&["cache"]), ["cache", "in/cache/", "in/cache/x"]);
        assert_eq!(
            left_out(&["cache/", "!in/cache/x"]).len(),
            2,
            "not looked into"
        );
        assert_eq!(left_out(&["**/er/**"]), ["in/deep/er/b.log"]);
        assert_eq!(left_out(&["in/**/*.log"]), ["in/deep/er/b.log"]);
        assert_eq!(left_out(&["*.{log,tmp}"]).len(), 5);
        assert_eq!(left_out(&["?.tm[op]"]), ["a.tmp", "in/a.tmp"]);
        assert_eq!(left_out(&["\\[odd\\]"]), ["[odd]"]);
        assert_eq!(left_out(&["/in"]).len(), 5);
    }

    #[test]
    fn inclusions_take_what_matches_and_what_is_in_it() {
        let only = |include: &[&str], exclude: &[&str]| taken(&patterns(include, exclude), &PATHS);
        assert_eq!(
            only(&["*.log"], &[]),
            ["in/cache/", "in/deep/er/b.log", "var/a.log"]
        );
        assert_eq!(only(&["/in/cache"], &[]), ["in/cache/", "in/cache/x"]);
        assert_eq!(only(&["in/"], &["*.tmp", "cache/"]), ["in/deep/er/b.log"]);
        assert_eq!(
            only(&["*.tmp", "!keep*"], &["cache/"]),
            ["a.tmp", "in/a.tmp"]
        );
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for bad in ["", "/", "!", "a//b", "../x", "a/./b", "[", "{a"] {
            let selection = Selection {
                include: Vec::new(),
                exclude: vec![bad.to_owned()],
            };
            let error = Patterns::new(selection).unwrap_err();
            assert_eq!(error.code(), "backup-pattern", "{bad:?}");
        }
    }
}
