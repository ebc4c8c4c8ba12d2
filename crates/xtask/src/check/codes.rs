//! Every error code has a page under `docs/errors/`, and every page a code.
//!
//! A code is a string literal such as `MS0003` anywhere in a crate's own code, or whatever a public
//! `fn code(&self)` of an error type answers. Tests may make up codes; they are not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::house::{House, Source, read_text};
use super::report::Report;
use crate::error::Error;

/// Where the pages are.
const PAGES: &str = "docs/errors";

/// Compares the codes with the pages.
pub(crate) fn check(house: &House) -> Result<Report, Error> {
    let mut codes = Codes::default();
    for source in house
        .sources
        .iter()
        .filter(|source| is_product(&source.path))
    {
        codes.read(source);
    }
    let mut report = Report::default();
    compare(
        &codes.first_use,
        &pages(&house.root.join(PAGES))?,
        &mut report,
    );
    Ok(report)
}

/// A crate's own code: no test, no example, and not this crate, which speaks about codes.
fn is_product(path: &Path) -> bool {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let [first, krate, second, rest @ ..] = parts.as_slice() else {
        return false;
    };
    first == "crates"
        && krate != "xtask"
        && second == "src"
        && !rest
            .iter()
            .any(|part| part == "tests" || part == "tests.rs")
}

/// The codes in use, each with the place that uses it first.
#[derive(Default)]
struct Codes {
    at: PathBuf,
    first_use: BTreeMap<String, String>,
}

impl Codes {
    /// A file that cannot be parsed is a finding of `sources`, not of this check.
    fn read(&mut self, source: &Source) {
        self.at.clone_from(&source.path);
        if let Ok(file) = syn::parse_file(&source.text) {
            self.visit_file(&file);
        }
    }

    fn add(&mut self, literal: &syn::LitStr) {
        let place = format!("{}:{}", self.at.display(), literal.span().start().line);
        self.first_use.entry(literal.value()).or_insert(place);
    }

    fn numbered(&mut self, literal: &syn::LitStr) {
        if is_numbered(&literal.value()) {
            self.add(literal);
        }
    }

    /// Looks for numbered codes in what a macro is given.
    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                        self.numbered(&text);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Codes {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(module) => module.attrs.as_slice(),
            syn::Item::Fn(function) => function.attrs.as_slice(),
            syn::Item::Impl(block) => block.attrs.as_slice(),
            _ => &[],
        };
        if !attributes.iter().any(is_test) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let public = matches!(function.vis, syn::Visibility::Public(_));
        if public && function.sig.ident == "code" && function.sig.inputs.len() == 1 {
            Answers(self).visit_block(&function.block);
        }
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.numbered(literal);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
    }
}

/// Every string that a `fn code` answers is a code, numbered or not.
struct Answers<'a>(&'a mut Codes);

impl<'ast> Visit<'ast> for Answers<'_> {
    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.0.add(literal);
    }
}

/// `MS` and four digits.
fn is_numbered(text: &str) -> bool {
    text.strip_prefix("MS")
        .is_some_and(|rest| rest.len() == 4 && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_test(attribute: &syn::Attribute) -> bool {
    let test = |list: &syn::MetaList| list.tokens.to_string() == "test";
    attribute.path().is_ident("test")
        || attribute.path().is_ident("cfg") && attribute.meta.require_list().is_ok_and(test)
}

/// The pages by code, each with its first line.
fn pages(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    let read = |source| Error::Read {
        path: folder.to_path_buf(),
        source,
    };
    let mut pages = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if let Some(code) = name.strip_suffix(".md").filter(|code| *code != "README") {
            let text = read_text(&path)?;
            pages.insert(
                code.to_owned(),
                text.lines().next().unwrap_or_default().to_owned(),
            );
        }
    }
    Ok(pages)
}

fn compare(
    codes: &BTreeMap<String, String>,
    pages: &BTreeMap<String, String>,
    report: &mut Report,
) {
    let all: BTreeSet<&String> = codes.keys().chain(pages.keys()).collect();
    for code in all {
        match (codes.get(code), pages.get(code)) {
            (Some(place), None) => {
                report.find(format!(
                    "{place}: {code} has no page: write {PAGES}/{code}.md"
                ));
            }
            (None, Some(_)) => {
                report.find(format!("{PAGES}/{code}.md: no code is called that"));
            }
            (_, Some(first)) if !first.starts_with(&format!("# {code}: ")) => {
                report.find(format!(
                    "{PAGES}/{code}.md:1: opens with `# {code}: ` and a title"
                ));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<String> {
        let mut codes = Codes::default();
        codes.read(&Source {
            path: "crates/a/src/b.rs".into(),
            text: text.to_owned(),
        });
        codes.first_use.into_keys().collect()
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn numbered_codes_are_found_anywhere_macros_included() {
        let text = "const A: &str = \"MS0001\"; fn f() { g(\"MS0002\"); } codes! { B = \"MS0003\"; }\
            const NOT: [&str; 4] = [\"MS1\", \"MS00001\", \"MSDOS\", \"see MS0009\"];";
        assert_eq!(codes(text), ["MS0001", "MS0002", "MS0003"]);
    }

    #[test]
    fn what_a_public_code_function_answers_is_a_code() {
        let text = "impl E { pub fn code(&self) -> &'static str { match self { A => \"run-over\", \
            B(inner) => inner.code() } } pub fn name(&self) -> &str { \"not-a-code\" } \
            fn private(&self) { } }";
        assert_eq!(codes(text), ["run-over"]);
        assert_eq!(
            codes(&text.replace("pub fn code", "pub(crate) fn code")),
            [""; 0]
        );
    }

    #[test]
    fn tests_may_make_up_codes() {
        let text = "#[cfg(test)] mod tests { const A: &str = \"MS9999\"; } \
            #[test] fn t() { f(\"MS9998\") } fn real() { f(\"MS0001\") }";
        assert_eq!(codes(text), ["MS0001"]);
        assert!(!is_product(Path::new("crates/a/tests/b.rs")));
        assert!(!is_product(Path::new("crates/a/src/run/tests.rs")));
        assert!(!is_product(Path::new("crates/xtask/src/check/codes.rs")));
        assert!(is_product(Path::new("crates/a/src/b/c.rs")));
    }

    #[test]
    fn a_code_without_a_page_and_a_page_without_a_code_are_found() {
        let codes = texts(&[
            ("MS0001", "a.rs:1"),
            ("MS0002", "a.rs:2"),
            ("MS0003", "a.rs:3"),
        ]);
        let pages = texts(&[
            ("MS0001", "# MS0001: fine"),
            ("MS0003", "# other"),
            ("MS0004", "# MS0004: old"),
        ]);
        let mut report = Report::default();
        compare(&codes, &pages, &mut report);
        assert_eq!(
            report.findings,
            [
                "a.rs:2: MS0002 has no page: write docs/errors/MS0002.md",
                "docs/errors/MS0003.md:1: opens with `# MS0003: ` and a title",
                "docs/errors/MS0004.md: no code is called that",
            ]
        );
    }
}
