//! Finds the codes that a source file gives to errors. A code is
//!
//! - a literal such as `MS0003`, anywhere;
//! - whatever a public `fn code(&self)` of an error type answers;
//! - the first argument of what makes the causes of drivers and agents (`Cause::lasting("store-open", ...)` and its
//!   short forms) or the failures of the command line, and the field `code` of a structure that is built there. Those are
//!   literals, or passed on from an error that has a code; anything else is unclear.
//!
//! Tests may make up codes; they are not looked at. Must not know the pages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Expr, ExprLit, Lit};

use super::house::Source;

/// The crates whose errors are causes: the contract, the drivers, and the agent that speaks for them.
const CAUSES: [&str; 3] = ["driver", "drivers", "control"];

/// What makes a cause, and how many arguments it takes, the code first. Other functions with one of these names take
/// another number of them.
const MAKERS: [(&str, usize); 6] = [
    ("passing", 2),
    ("lasting", 2),
    ("refused", 2),
    ("hindered", 2),
    ("unknown", 2),
    ("Cause::new", 3),
];

/// What makes a failure of the command line.
const FAILURES: [(&str, usize); 3] = [
    ("Failure::new", 2),
    ("Failure::usage", 2),
    ("Failure::refused", 2),
];

/// A crate's own code: no test, no example, and not this crate, which speaks about codes.
pub(crate) fn is_product(path: &Path) -> bool {
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
pub(crate) struct Codes {
    pub(crate) first_use: BTreeMap<String, String>,
    /// Where a code is given that is not written there.
    pub(crate) unclear: Vec<String>,
    at: PathBuf,
    makers: &'static [(&'static str, usize)],
    /// The type whose methods are being read.
    owner: String,
    /// In the body of a maker, which passes its own `code` on.
    inside_maker: bool,
}

impl Codes {
    /// A file that cannot be parsed is a finding of `sources`, not of this check.
    pub(crate) fn read(&mut self, source: &Source) {
        self.at.clone_from(&source.path);
        self.makers = match crate_of(&source.path) {
            Some("cli") => &FAILURES,
            Some(krate) if CAUSES.contains(&krate) => &MAKERS,
            _ => &[],
        };
        if let Ok(file) = syn::parse_file(&source.text) {
            self.visit_file(&file);
        }
    }

    fn place(&self, of: Span) -> String {
        format!("{}:{}", self.at.display(), of.start().line)
    }

    fn add(&mut self, literal: &syn::LitStr) {
        let place = self.place(literal.span());
        self.first_use.entry(literal.value()).or_insert(place);
    }

    /// A code that is given to an error.
    fn given(&mut self, code: &Expr) {
        match code {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) => self.add(text),
            Expr::Reference(inner) => self.given(&inner.expr),
            Expr::MethodCall(call) if call.method == "to_owned" || call.method == "into" => {
                self.given(&call.receiver);
            }
            // Another error's code, passed on: it was written where that error was made.
            Expr::MethodCall(call) if call.method == "code" || call.method == "word" => {}
            Expr::Field(field) if is_code(&field.member) => {}
            Expr::Path(path) if self.inside_maker && path.path.is_ident("code") => {}
            other => self.unclear.push(self.place(other.span())),
        }
    }

    /// Whether a function makes causes or failures.
    fn is_maker(&self, name: &str, arguments: usize) -> bool {
        let short = name.strip_prefix("Cause::").unwrap_or(name);
        let mut makers = self.makers.iter();
        makers.any(|&(maker, count)| count == arguments && (maker == name || maker == short))
    }

    /// A function's name, after its type's if it has one.
    fn name_of(&self, path: &syn::Path) -> String {
        let words: Vec<String> = path
            .segments
            .iter()
            .map(|one| one.ident.to_string())
            .collect();
        match words.as_slice() {
            [.., owner, name] if owner == "Self" => format!("{}::{name}", self.owner),
            [.., owner, name] if owner.starts_with(char::is_uppercase) => {
                format!("{owner}::{name}")
            }
            [.., name] => name.clone(),
            [] => String::new(),
        }
    }

    /// Reads a function's body, knowing whether it is a maker's.
    fn within(&mut self, signature: &syn::Signature, read: impl FnOnce(&mut Self)) {
        let name = match self.owner.as_str() {
            "" => signature.ident.to_string(),
            owner => format!("{owner}::{}", signature.ident),
        };
        let maker = self.is_maker(&name, signature.inputs.len());
        let before = std::mem::replace(&mut self.inside_maker, maker);
        read(self);
        self.inside_maker = before;
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
                    if let Lit::Str(text) = Lit::new(literal) {
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
        self.within(&function.sig, |codes| {
            visit::visit_impl_item_fn(codes, function);
        });
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.within(&function.sig, |codes| visit::visit_item_fn(codes, function));
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let owner = match block.self_ty.as_ref() {
            syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
            _ => None,
        };
        let before = std::mem::replace(&mut self.owner, owner.unwrap_or_default());
        visit::visit_item_impl(self, block);
        self.owner = before;
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let (Expr::Path(path), Some(code)) = (call.func.as_ref(), call.args.first())
            && self.is_maker(&self.name_of(&path.path), call.args.len())
        {
            self.given(code);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_struct(&mut self, built: &'ast syn::ExprStruct) {
        let codes = built.fields.iter().filter(|field| is_code(&field.member));
        if self.makers == MAKERS {
            codes.for_each(|field| self.given(&field.expr));
        }
        visit::visit_expr_struct(self, built);
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

fn is_code(member: &syn::Member) -> bool {
    matches!(member, syn::Member::Named(name) if name == "code")
}

/// `drivers` of `crates/drivers/src/lib.rs`.
fn crate_of(path: &Path) -> Option<&str> {
    path.iter().nth(1)?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, text: &str) -> (Vec<String>, Vec<String>) {
        let mut codes = Codes::default();
        codes.read(&Source {
            path: path.into(),
            text: text.to_owned(),
        });
        (codes.first_use.into_keys().collect(), codes.unclear)
    }

    fn codes(text: &str) -> Vec<String> {
        read("crates/a/src/b.rs", text).0
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
    fn a_cause_is_made_with_its_code() {
        let text = "fn f() { Cause::lasting(\"store-open\", w); shared::refused(\"store-busy\", w()); \
            S { code: \"no-agent\".to_owned(), ..s }; S { code: cause.code }; \
            passing(error.code(), w); unknown(&e); other(\"not-a-code\", w); }";
        let (found, unclear) = read("crates/drivers/src/b.rs", text);
        assert_eq!(found, ["no-agent", "store-busy", "store-open"]);
        assert_eq!(unclear, [""; 0]);
        // Elsewhere the same names mean something else.
        assert_eq!(codes(text), [""; 0]);
    }

    #[test]
    fn a_code_that_is_not_written_in_place_is_unclear() {
        let text = "fn f(code: &str) { lasting(code, w) }\n\
            fn g() { refused(if x { A } else { B }, w) }\n\
            fn h() { S { code: made_up() } }\n\
            fn passing(code: &str, what: W) { Cause::new(code, what, r) }";
        let (found, unclear) = read("crates/control/src/b.rs", text);
        assert_eq!(found, [""; 0]);
        let places = [1, 2, 3].map(|line| format!("crates/control/src/b.rs:{line}"));
        assert_eq!(unclear, places);
    }

    #[test]
    fn failures_of_the_command_line_have_codes_too() {
        let text = "fn f() { Failure::new(\"demo-file\", w); Failure::usage(error.code(), w); \
            refused(\"not-a-code\", w); }\n\
            impl Failure { fn refused(code: &str, what: W) { S { ..Self::new(code, what) } } }";
        let (found, unclear) = read("crates/cli/src/b.rs", text);
        assert_eq!(found, ["demo-file"]);
        assert_eq!(unclear, [""; 0]);
    }
}
