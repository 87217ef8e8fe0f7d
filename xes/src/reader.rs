//! XES above the XML: which element may stand where, and what is handed out when. The first error
//! ends the reading; `None` without one means that `</log>` and the end of the file were seen.

use std::{collections::VecDeque, io::Read};

use crate::{
    attribute::{Attribute, Attributes},
    element::{Open, add, within},
    error::{At, XesError, excerpt},
    limits,
    source::Source,
    token::{Kind, Start, Tag, Token, Tokens},
};

/// What the log holds, in the order of the file. All indexes count from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A trace begins. Its attributes are complete.
    TraceStart {
        /// Index of the trace in the log.
        trace: u64,
        /// Line of its tag, counted from 1.
        line: u64,
        /// Its own attributes.
        attributes: Attributes,
    },
    /// An event of the trace that began last.
    Event {
        /// Index of the trace in the log.
        trace: u64,
        /// Index of the event in the trace.
        event: u64,
        /// Line of its tag, counted from 1.
        line: u64,
        /// Its attributes.
        attributes: Attributes,
    },
    /// The trace ends.
    TraceEnd {
        /// Index of the trace in the log.
        trace: u64,
        /// How many events it had.
        events: u64,
    },
}

/// Reads a log as a stream; see the crate's documentation.
pub struct Reader {
    tokens: Tokens,
    size: Option<u64>,
    place: Place,
    /// Attributes whose end tag is to come, outermost first.
    open: Vec<Open>,
    trace: Trace,
    event: Holder,
    /// Depth within what is passed over.
    skipping: usize,
    /// What the current record holds so far, for its limit.
    record_bytes: usize,
    ready: VecDeque<Record>,
    done: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Prolog,
    Log,
    Trace,
    Event,
    Epilog,
}

#[derive(Default)]
struct Trace {
    index: u64,
    events: u64,
    /// Whether its start has been handed out.
    started: bool,
    holder: Holder,
}

/// An element with attributes.
#[derive(Default)]
struct Holder {
    line: u64,
    attributes: Vec<Attribute>,
}

impl Reader {
    /// Reads a log, plain or gzip, from anything that can be read, up to its `<log>`. `size` is how
    /// many bytes there are, if that is known.
    ///
    /// # Errors
    ///
    /// Whatever is wrong before `<log>`.
    pub fn new(source: impl Read + Send + 'static, size: Option<u64>) -> Result<Self, XesError> {
        let source = Source::new(source).map_err(|source| XesError::Io { at: At::default(), source })?;
        let mut reader = Self {
            tokens: Tokens::new(source),
            size,
            place: Place::Prolog,
            open: Vec::new(),
            trace: Trace::default(),
            event: Holder::default(),
            skipping: 0,
            record_bytes: 0,
            ready: VecDeque::new(),
            done: false,
        };
        while reader.place == Place::Prolog {
            reader.step()?;
        }
        Ok(reader)
    }

    /// Bytes of the file (compressed, if it is) consumed so far, with what is read ahead.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.tokens.source().compressed()
    }

    /// Bytes of the file (compressed, if it is), if that is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The line the reader stands in, counted from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.tokens.here().line
    }

    /// Takes one token.
    fn step(&mut self) -> Result<(), XesError> {
        let (at, token) = self.tokens.next()?;
        match token {
            Token::Start(start) => self.start(at, start),
            Token::End => self.end(),
            Token::Text(found) => Err(match self.place {
                Place::Prolog => XesError::NotXes { at, found: format!("it begins with \"{found}\"") },
                Place::Epilog => malformed(at, "there is text after </log>"),
                _ => XesError::UnexpectedText { at, inside: self.inside() },
            }),
            Token::Eof if self.place == Place::Epilog => {
                self.done = true;
                Ok(())
            }
            Token::Eof if self.place == Place::Prolog => Err(XesError::NotXes { at, found: "it ends before any element".to_owned() }),
            Token::Eof => Err(XesError::Truncated { at, inside: self.inside() }),
        }
    }

    /// The innermost element, for messages.
    fn inside(&self) -> &'static str {
        if self.skipping > 0 {
            return "an element of <log> that is passed over";
        }
        match (self.open.last(), self.place) {
            (Some(open), _) => open.tag(),
            (None, Place::Trace) => "<trace>",
            (None, Place::Event) => "<event>",
            (None, _) => "<log>",
        }
    }

    fn start(&mut self, at: At, start: Start) -> Result<(), XesError> {
        if self.skipping > 0 {
            self.skipping += 1;
            return within(self.skipping, limits::SKIPPED_DEPTH, at, "the nesting of elements", "nest them less deep");
        }
        match (self.place, &start.tag) {
            (Place::Prolog, Tag::Log) => self.place = Place::Log,
            (Place::Prolog, _) => {
                return Err(XesError::NotXes { at, found: format!("its root element is <{}>", start.name) });
            }
            (Place::Epilog, _) => {
                return Err(malformed(at, "there is another element after </log>"));
            }
            (Place::Log, Tag::About | Tag::Attribute(_)) => self.skipping = 1,
            (Place::Log, Tag::Event) => return Err(XesError::EventOutsideTrace { at }),
            (Place::Log, Tag::Trace) => {
                only_key_and_value(at, &start)?;
                self.place = Place::Trace;
                self.record_bytes = 0;
                self.trace.events = 0;
                self.trace.started = false;
                self.trace.holder = Holder { line: at.line, attributes: Vec::new() };
            }
            (Place::Trace, Tag::Event) if self.open.is_empty() => {
                only_key_and_value(at, &start)?;
                self.start_trace();
                self.place = Place::Event;
                self.record_bytes = 0;
                self.event = Holder { line: at.line, attributes: Vec::new() };
            }
            (Place::Trace | Place::Event, Tag::Attribute(kind)) => {
                if self.place == Place::Trace && self.trace.started {
                    return Err(XesError::LateAttribute { at, key: excerpt(&start.key.unwrap_or_default()) });
                }
                self.open_attribute(at, *kind, start)?;
            }
            (Place::Trace | Place::Event, Tag::Values) => match self.open.last_mut() {
                Some(list) if list.kind == Kind::List && list.values.is_none() => {
                    list.values = Some(Vec::new());
                    list.in_values = true;
                }
                _ => return Err(self.unexpected(at, start)),
            },
            _ => return Err(self.unexpected(at, start)),
        }
        Ok(())
    }

    fn unexpected(&self, at: At, start: Start) -> XesError {
        XesError::UnexpectedElement { at, name: start.name, inside: self.inside() }
    }

    fn open_attribute(&mut self, at: At, kind: Kind, start: Start) -> Result<(), XesError> {
        only_key_and_value(at, &start)?;
        let depth = self.open.len() + 1;
        let remedy = "nest them less deep";
        within(depth, limits::DEPTH, at, "the nesting of attributes", remedy)?;
        let (open, bytes) = Open::new(at, kind, start.key, start.value)?;
        self.record_bytes += bytes;
        within(
            self.record_bytes,
            limits::RECORD_BYTES,
            at,
            "the size in bytes of one trace header or event",
            "divide it, or remove what is not needed",
        )?;
        self.open.push(open);
        Ok(())
    }

    fn end(&mut self) -> Result<(), XesError> {
        if self.skipping > 0 {
            self.skipping -= 1;
            return Ok(());
        }
        if let Some(open) = self.open.last_mut()
            && open.in_values
        {
            open.in_values = false;
            return Ok(());
        }
        if let Some(open) = self.open.pop() {
            let at = open.at;
            let attribute = open.close()?;
            let (siblings, unique) = match (self.open.last_mut(), self.place) {
                (Some(Open { in_values: true, values: Some(values), .. }), _) => (values, false),
                // Whether a list's children are its items is known at its end.
                (Some(parent), _) => (&mut parent.children, parent.kind != Kind::List),
                (None, Place::Event) => (&mut self.event.attributes, true),
                (None, _) => (&mut self.trace.holder.attributes, true),
            };
            return add(siblings, attribute, unique, at);
        }
        match self.place {
            Place::Event => {
                self.ready.push_back(Record::Event {
                    trace: self.trace.index,
                    event: self.trace.events,
                    line: self.event.line,
                    attributes: Attributes(std::mem::take(&mut self.event.attributes)),
                });
                self.trace.events += 1;
                self.place = Place::Trace;
            }
            Place::Trace => {
                self.start_trace();
                self.ready.push_back(Record::TraceEnd { trace: self.trace.index, events: self.trace.events });
                self.trace.index += 1;
                self.place = Place::Log;
            }
            Place::Log | Place::Prolog | Place::Epilog => self.place = Place::Epilog,
        }
        Ok(())
    }

    /// Hands the trace's start out, if that has not been done.
    fn start_trace(&mut self) {
        if !std::mem::replace(&mut self.trace.started, true) {
            self.ready.push_back(Record::TraceStart {
                trace: self.trace.index,
                line: self.trace.holder.line,
                attributes: Attributes(std::mem::take(&mut self.trace.holder.attributes)),
            });
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Record, XesError>;

    /// After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(Ok(record));
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.step() {
                self.done = true;
                self.ready.clear();
                return Some(Err(error));
            }
        }
    }
}

impl std::iter::FusedIterator for Reader {}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("line", &self.line()).field("bytes_read", &self.bytes_read()).finish()
    }
}

fn only_key_and_value(at: At, start: &Start) -> Result<(), XesError> {
    let holder = matches!(start.tag, Tag::Trace | Tag::Event);
    let misplaced = if holder { start.key.as_ref().map(|_| "key").or(start.value.as_ref().map(|_| "value")) } else { None };
    match misplaced.map(str::to_owned).or_else(|| start.other.clone()) {
        Some(name) => Err(XesError::UnknownXmlAttribute { at, element: start.name.clone(), name }),
        None => Ok(()),
    }
}

fn malformed(at: At, reason: &str) -> XesError {
    XesError::Malformed { at, reason: reason.to_owned() }
}
