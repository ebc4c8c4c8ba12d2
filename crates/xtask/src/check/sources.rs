//! Rules for every source file: a header that says what it is for, one idea per file, functions that
//! fit a screen, and `lib.rs`/`mod.rs` that only declare and re-export. Reads text, never compiles.

use std::path::Path;

use syn::visit::{self, Visit};

use super::house::{House, Source};
use super::report::Report;

/// The most lines a file may have.
const FILE_LINES: usize = 600;
/// The most lines a function may have, from `fn` to its closing brace.
const FUNCTION_LINES: usize = 70;

/// Looks at every source file of the workspace.
pub(crate) fn check(house: &House) -> Report {
    let mut report = Report::default();
    for source in &house.sources {
        look(source, &mut report);
    }
    report
}

fn look(source: &Source, report: &mut Report) {
    let path = source.path.display();
    if !source.text.starts_with("//!") {
        report.find(format!(
            "{path}:1: opens without `//!`: say what the file is for"
        ));
    }
    let lines = source.text.lines().count();
    if lines > FILE_LINES {
        report.find(format!(
            "{path}: {lines} lines, at most {FILE_LINES}: split it by idea"
        ));
    }
    match syn::parse_file(&source.text) {
        Err(error) => report.find(format!("{path}:{}: {error}", error.span().start().line)),
        Ok(file) => {
            let mut functions = Functions {
                path: &source.path,
                report,
            };
            functions.visit_file(&file);
            if only_declares(&source.path) {
                declarations(&source.path, &file, report);
            }
        }
    }
}

fn only_declares(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == "lib.rs" || name == "mod.rs")
}

/// Finds what is more than a declaration or a re-export.
fn declarations(path: &Path, file: &syn::File, report: &mut Report) {
    for item in &file.items {
        let declares = match item {
            syn::Item::Mod(module) => module.content.is_none(),
            syn::Item::Use(_) | syn::Item::ExternCrate(_) => true,
            _ => false,
        };
        if !declares {
            let line = syn::spanned::Spanned::span(item).start().line;
            let path = path.display();
            report.find(format!(
                "{path}:{line}: only declares and re-exports: move this out"
            ));
        }
    }
}

/// Measures functions, wherever they stand.
struct Functions<'a> {
    path: &'a Path,
    report: &'a mut Report,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let from = signature.fn_token.span.start().line;
        let lines = body.brace_token.span.close().end().line - from + 1;
        if lines > FUNCTION_LINES {
            let (path, name) = (self.path.display(), &signature.ident);
            self.report.find(format!(
                "{path}:{from}: fn {name} has {lines} lines, at most {FUNCTION_LINES}"
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut report = Report::default();
        look(
            &Source {
                path: path.into(),
                text: text.to_owned(),
            },
            &mut report,
        );
        report.findings
    }

    fn function(name: &str, lines: usize) -> String {
        format!("fn {name}() {{\n{}}}\n", "    work();\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_opens_with_its_header() {
        assert_eq!(
            findings("a.rs", "//! what it is for\n"),
            Vec::<String>::new()
        );
        let found = findings("a.rs", "// not a header\n//! too late\n");
        assert!(
            found[0].starts_with("a.rs:1: opens without `//!`"),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_has_600_lines_at_most() {
        let file = |lines: usize| format!("//! head\n{}", "// more\n".repeat(lines - 1));
        assert_eq!(findings("a.rs", &file(600)), Vec::<String>::new());
        assert_eq!(
            findings("a.rs", &file(601)),
            ["a.rs: 601 lines, at most 600: split it by idea"]
        );
    }

    #[test]
    fn a_function_has_70_lines_at_most() {
        let head = "//! head\n";
        assert_eq!(
            findings("a.rs", &format!("{head}{}", function("fits", 70))),
            [""; 0]
        );
        let found = findings("a.rs", &format!("{head}{}", function("long", 71)));
        assert_eq!(found, ["a.rs:2: fn long has 71 lines, at most 70"]);
    }

    #[test]
    fn methods_defaults_and_nested_functions_are_measured_too() {
        let long = function("long", 71);
        for place in [
            "impl A {",
            "trait A {",
            "mod a {",
            "fn outer() { let _ = 1;",
        ] {
            let text = format!("//! head\n{place}\n{long}}}\n");
            let found = findings("a.rs", &text);
            assert!(
                found.iter().any(|f| f.contains("fn long has 71 lines")),
                "{place}: {found:?}"
            );
        }
    }

    #[test]
    fn attributes_and_documentation_are_not_counted() {
        let text = format!(
            "//! head\n{}{}",
            "/// more\n".repeat(80),
            function("fits", 70)
        );
        assert_eq!(findings("a.rs", &text), [""; 0]);
    }

    #[test]
    fn lib_and_mod_only_declare() {
        let fine = "//! head\nmod a;\npub use a::B;\n#[cfg(test)]\nmod tests;\n";
        assert_eq!(findings("crates/x/src/lib.rs", fine), [""; 0]);
        for planted in ["fn f() {}", "struct S;", "mod a { }", "const A: u8 = 1;"] {
            let text = format!("//! head\nmod b;\n{planted}\n");
            let found = findings("crates/x/src/b/mod.rs", &text);
            assert_eq!(found.len(), 1, "{planted}");
            assert!(
                found[0].starts_with("crates/x/src/b/mod.rs:3: only declares"),
                "{found:?}"
            );
            assert_eq!(findings("crates/x/src/b/other.rs", &text), [""; 0]);
        }
    }
}
