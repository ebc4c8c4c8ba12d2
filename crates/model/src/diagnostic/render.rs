//! Problems as text for people: file, line, caret, help. Must not know a terminal; who prints chooses the style.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{
    list::{Diagnostic, Diagnostics, Severity},
    place::Place,
};

/// How text is decorated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Nothing but characters.
    Plain,
    /// With the escape codes of a terminal.
    Coloured,
}

/// The widest piece of a line that is shown, in bytes.
const WIDEST: usize = 2000;

impl Diagnostics {
    /// All problems, each with the line it is about.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Coloured => Renderer::styled(),
        };
        let mut blocks: Vec<String> = (self.list().iter())
            .map(|one| renderer.render(&[self.group(one)]))
            .collect();
        if self.left_out() > 0 {
            blocks.push(format!("... and {} more", self.left_out()));
        }
        blocks.join("\n\n")
    }

    /// Only the lines of the problem itself are handed over: neighbours may hold what nobody should see.
    fn group<'a>(&'a self, one: &'a Diagnostic) -> Group<'a> {
        let level = match one.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (line, at) = window(self.source(), one.place);
        let snippet = Snippet::source(line)
            .path(self.file())
            .line_start(one.place.line as usize)
            .annotation(AnnotationKind::Primary.span(at));
        let group = level
            .primary_title(one.message.as_str())
            .id(one.code)
            .element(snippet);
        match &one.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }
}

/// The line that a place starts on, cut when it is very long, and the place's bytes in it.
fn window(source: &str, place: Place) -> (&str, std::ops::Range<usize>) {
    let boundary = |mut offset: usize| {
        offset = offset.min(source.len());
        while !source.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    let start = boundary(place.start);
    let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = source[start..]
        .find('\n')
        .map_or(source.len(), |at| start + at);
    let from = boundary(line_start.max(start.saturating_sub(WIDEST)));
    let to = boundary(line_end.min(start + WIDEST));
    let end = boundary(place.end).clamp(start, to);
    (&source[from..to], start - from..end - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_only() {
        let text = "one: 1\ntwo: zwei\nthree: 3\n";
        let mut list = Diagnostics::new("x.yaml", text);
        let place = Place::of(text, 12, 16);
        list.error("MS0000", place, "not a number", "write 2".to_owned());
        assert_eq!(
            list.render(Style::Plain),
            "error[MS0000]: not a number\n --> x.yaml:2:6\n  |\n2 | two: zwei\n  |      ^^^^\n  |\n  = help: write 2"
        );
        assert!(list.render(Style::Coloured).contains("\u{1b}["));
        assert_eq!(list.to_string(), "x.yaml:2:6: error[MS0000]: not a number");
    }

    #[test]
    fn a_masked_piece_is_not_shown() {
        let text = "password: hünter2\n";
        let mut list = Diagnostics::new("x.yaml", text);
        let range = 10..18;
        list.mask(&[range]);
        list.error("MS0000", Place::of(text, 0, 8), "no", None);
        assert!(list.render(Style::Plain).contains("password: ********\n"));
    }

    #[test]
    fn an_endless_line_is_cut() {
        let text = "x".repeat(1_000_000);
        let mut list = Diagnostics::new("x.yaml", &text);
        list.error("MS0000", Place::of(&text, 500_000, 1_000_000), "no", None);
        assert!(list.render(Style::Plain).len() < 10_000);
    }
}
