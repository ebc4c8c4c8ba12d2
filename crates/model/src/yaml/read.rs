//! Text to nodes, by events of the YAML parser and within the budget of [`super::limits`].
//! No recursion: hostile nesting costs a frame of this file's own stack at most. Must not know what the nodes mean.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::{
    limits::{MAX_DEPTH, MAX_KEY, MAX_NODES, MAX_SCALAR},
    node::{Entry, Mapping, Node, NodeValue},
    scalar,
};
use crate::{
    Place,
    diagnostic::{Diagnostics, code, quote},
};

/// Reading cannot go on; what is wrong is in the list.
struct Stop;

/// Reads one document. Keys that are written twice are reported and left out; anything else that is wrong ends it.
pub(crate) fn read(text: &str, out: &mut Diagnostics) -> Option<Node> {
    let mut reader = Reader {
        text,
        out,
        stack: Vec::new(),
        root: None,
        nodes: 0,
        documents: 0,
    };
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        emit_unresolved_aliases: true,
        simple_key_max_lookahead: MAX_KEY * 2,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let taken = match event {
            Ok((event, span)) => reader.take(event, span),
            Err(error) => Err(reader.syntax(&error)),
        };
        if taken.is_err() {
            return None;
        }
    }
    Some(reader.root.unwrap_or(Node {
        place: Place::of(text, 0, 0),
        value: NodeValue::Null,
    }))
}

/// A list or a mapping that is not closed yet.
enum Frame {
    List(Place, Vec<Node>),
    Map(Place, OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    seen: BTreeMap<String, u32>,
    key: Option<(String, Place)>,
}

struct Reader<'a> {
    text: &'a str,
    out: &'a mut Diagnostics,
    stack: Vec<Frame>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        let place = self.place(span);
        if event.tag().is_some() {
            let help = "leave the tag out; text that looks like a number goes in quotes";
            return Err(self.not_plain(place, "a tag", help));
        }
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let help = "a plan file is one document: leave `---` out";
                    return Err(self.not_plain(place, "a second document", help));
                }
                Ok(())
            }
            Event::Alias(_)
            | Event::UnresolvedAlias(_)
            | Event::Scalar(_, _, 1.., _)
            | Event::SequenceStart(_, 1.., _)
            | Event::MappingStart(_, 1.., _) => {
                let help = "write the value out wherever it is needed";
                Err(self.not_plain(place, "an anchor or an alias", help))
            }
            Event::Scalar(value, style, ..) => self.scalar(&value, style, place),
            Event::SequenceStart(..) => self.open(Frame::List(place, Vec::new())),
            Event::MappingStart(..) => self.open(Frame::Map(place, OpenMap::default())),
            Event::SequenceEnd | Event::MappingEnd => {
                self.close(place);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The parser's span as ours; trailing blanks do not belong to a value.
    fn place(&self, span: Span) -> Place {
        let start = span.start.byte_offset().unwrap_or(0).min(self.text.len());
        let end = span.end.byte_offset().unwrap_or(start).min(self.text.len());
        let kept = self
            .text
            .get(start..end)
            .map_or(0, |piece| piece.trim_end().len());
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Place {
            line: number(span.start.line()),
            column: number(span.start.col() + 1),
            start,
            end: start + kept,
        }
    }

    fn count(&mut self, place: Place) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(self.over(place, format!("the file has more than {MAX_NODES} values")))
    }

    fn over(&mut self, place: Place, message: String) -> Stop {
        let help = "a plan file is written by people; did another program write this one?";
        self.out
            .error(code::BUDGET, place, message, help.to_owned());
        Stop
    }

    fn not_plain(&mut self, place: Place, what: &str, help: &str) -> Stop {
        let message = format!("{what} is not understood here");
        self.out
            .error(code::NOT_PLAIN, place, message, help.to_owned());
        Stop
    }

    fn syntax(&mut self, error: &ScanError) -> Stop {
        let mark = error.marker();
        let at = mark.byte_offset().unwrap_or(0);
        let place = Place::of(self.text, at, at);
        let said = error.kind().to_string();
        if said.contains("nesting") || said.contains("recursion") {
            return self.over(place, format!("more than {MAX_DEPTH} levels of nesting"));
        }
        let help = "indent with spaces, and put text with `: `, ` #` or leading signs in quotes";
        self.out.error(code::SYNTAX, place, said, help.to_owned());
        Stop
    }

    fn open(&mut self, frame: Frame) -> Result<(), Stop> {
        let (Frame::List(place, _) | Frame::Map(place, _)) = frame;
        self.count(place)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.over(place, format!("more than {MAX_DEPTH} levels of nesting")));
        }
        if let Some(Frame::Map(_, OpenMap { key: None, .. })) = self.stack.last() {
            let help = "a key is one word before a colon";
            let message = "a list or a mapping is used as a key";
            self.out.error(code::KEY, place, message, help.to_owned());
            return Err(Stop);
        }
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self, end: Place) {
        let (place, value) = match self.stack.pop() {
            Some(Frame::List(place, items)) => (place, NodeValue::List(items)),
            Some(Frame::Map(place, map)) => (place, NodeValue::Map(Mapping::new(map.entries))),
            None => return,
        };
        let end = end.end.max(place.end);
        let kept = self
            .text
            .get(place.start..end)
            .map_or(0, |piece| piece.trim_end().len());
        let end = place.start + kept;
        self.put(Node {
            place: Place { end, ..place },
            value,
        });
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, place: Place) -> Result<(), Stop> {
        self.count(place)?;
        if value.len() > MAX_SCALAR {
            return Err(self.over(place, format!("a value is longer than {MAX_SCALAR} bytes")));
        }
        if let Some(Frame::Map(
            _,
            OpenMap {
                key: key @ None, ..
            },
        )) = self.stack.last_mut()
        {
            if value.len() > MAX_KEY {
                return Err(self.over(place, format!("a key is longer than {MAX_KEY} bytes")));
            }
            *key = Some((value.to_owned(), place));
            if value == "<<" && style == ScalarStyle::Plain {
                let help = "write the fields out wherever they are needed";
                return Err(self.not_plain(place, "a merge key", help));
            }
            return Ok(());
        }
        let value = match style {
            ScalarStyle::Plain => scalar::plain(value),
            _ => NodeValue::Text(value.to_owned()),
        };
        self.put(Node { place, value });
        Ok(())
    }

    /// A finished value goes where it belongs.
    fn put(&mut self, node: Node) {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List(_, items)) => items.push(node),
            Some(Frame::Map(_, map)) => {
                let Some((key, key_place)) = map.key.take() else {
                    return;
                };
                if let Some(line) = map.seen.get(&key) {
                    let message = format!("{} is written twice: first on line {line}", quote(&key));
                    let help = "keep one of the two".to_owned();
                    self.out.error(code::DUPLICATE, key_place, message, help);
                    return;
                }
                map.seen.insert(key.clone(), key_place.line);
                map.entries.push(Entry {
                    key,
                    key_place,
                    value: node,
                });
            }
        }
    }
}
