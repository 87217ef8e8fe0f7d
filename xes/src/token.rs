//! The XML as a row of tokens: well-formed, UTF-8, one namespace, no DTD. What they mean for XES is
//! the reader's business.

use std::{io, sync::Arc};

use quick_xml::{
    Error as Xml, NsReader, XmlVersion,
    encoding::EncodingError,
    events::{BytesStart, Event},
    name::ResolveResult,
};

use crate::{
    error::{At, XesError, excerpt},
    limits::MARKUP_BYTES,
    source::{Source, TooLong},
};

/// The elements XES has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Log,
    Trace,
    Event,
    /// `<extension>`, `<global>` or `<classifier>`.
    About,
    Values,
    Attribute(Kind),
    /// None of these, or one of another namespace: the name as written.
    Other(String),
}

/// The types of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Date,
    Int,
    Float,
    Boolean,
    Id,
    List,
    Container,
}

impl Kind {
    /// The name of its element.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Date => "date",
            Self::Int => "int",
            Self::Float => "float",
            Self::Boolean => "boolean",
            Self::Id => "id",
            Self::List => "list",
            Self::Container => "container",
        }
    }
}

impl Tag {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "log" => Self::Log,
            "trace" => Self::Trace,
            "event" => Self::Event,
            "extension" | "global" | "classifier" => Self::About,
            "values" => Self::Values,
            "string" => Self::Attribute(Kind::String),
            "date" => Self::Attribute(Kind::Date),
            "int" => Self::Attribute(Kind::Int),
            "float" => Self::Attribute(Kind::Float),
            "boolean" => Self::Attribute(Kind::Boolean),
            "id" => Self::Attribute(Kind::Id),
            "list" => Self::Attribute(Kind::List),
            "container" => Self::Attribute(Kind::Container),
            _ => return None,
        })
    }
}

/// A start tag with the XML attributes XES uses.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) tag: Tag,
    /// The name as written.
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    /// The first XML attribute that is neither of these and has no namespace.
    pub(crate) other: Option<String>,
}

/// An empty element is a start and an end.
#[derive(Debug)]
pub(crate) enum Token {
    Start(Start),
    End,
    /// Text that is more than white space.
    Text(String),
    /// The end of the file, wherever it comes.
    Eof,
}

/// Reads tokens.
pub(crate) struct Tokens {
    xml: NsReader<Source>,
    buf: Vec<u8>,
    /// The namespace of the root element, once it is known.
    namespace: Option<Option<String>>,
}

impl Tokens {
    pub(crate) fn new(source: Source) -> Self {
        let mut xml = NsReader::from_reader(source);
        xml.config_mut().expand_empty_elements = true;
        Self { xml, buf: Vec::new(), namespace: None }
    }

    pub(crate) fn source(&self) -> &Source {
        self.xml.get_ref()
    }

    /// Where the reader stands.
    pub(crate) fn here(&self) -> At {
        At { line: self.source().lines + 1, byte: self.source().bytes }
    }

    /// The next token and where it begins. Comments, processing instructions and white space are
    /// passed over.
    pub(crate) fn next(&mut self) -> Result<(At, Token), XesError> {
        loop {
            self.buf.clear();
            self.xml.get_mut().mark();
            let at = self.here();
            let event = match self.xml.read_event_into(&mut self.buf) {
                Ok(event) => event,
                Err(error) => return Err(self.failure(at, error)),
            };
            let token = match event {
                Event::Start(start) => {
                    let (tag, namespace) = tag(&self.xml, &start, self.namespace.as_ref(), at)?;
                    self.namespace.get_or_insert(namespace);
                    Token::Start(read_start(&start, tag, at)?)
                }
                Event::End(_) => Token::End,
                Event::Text(text) => match text.find(|c: char| !matches!(c, ' ' | '\t' | '\r' | '\n')) {
                    None => continue,
                    Some(begin) => {
                        let lines = text[..begin].bytes().filter(|b| *b == b'\n').count() as u64;
                        let at = At { line: at.line + lines, byte: at.byte + begin as u64 };
                        return Ok((at, Token::Text(excerpt(&text))));
                    }
                },
                Event::CData(text) if text.trim().is_empty() => continue,
                Event::CData(text) => Token::Text(excerpt(&text)),
                Event::GeneralRef(name) => Token::Text(format!("&{};", excerpt(&name))),
                Event::Decl(declaration) => {
                    let encoding = declaration.encoding().transpose().map_err(|e| malformed(at, &e))?;
                    match encoding {
                        Some(found) if !["utf-8", "utf8", "us-ascii"].iter().any(|e| found.eq_ignore_ascii_case(e)) => {
                            return Err(XesError::Encoding { at, found: excerpt(&found) });
                        }
                        _ => continue,
                    }
                }
                Event::DocType(_) => return Err(XesError::Doctype { at }),
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Empty(_) => {
                    return Err(malformed(at, &"an empty tag where none was expected"));
                }
                Event::Eof => return Ok((self.here(), Token::Eof)),
            };
            return Ok((at, token));
        }
    }

    /// What a failure of the XML reader means. `begin` is where the token began.
    fn failure(&self, begin: At, error: Xml) -> XesError {
        let here = self.here();
        match error {
            Xml::Io(source) if source.get_ref().is_some_and(|e| e.is::<TooLong>()) => XesError::Limit {
                at: begin,
                what: "the length in bytes of one tag, comment or stretch of white space or text",
                limit: MARKUP_BYTES,
                remedy: "shorten it",
            },
            Xml::Io(source) => {
                use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
                let broken = self.source().gzip && matches!(source.kind(), InvalidData | InvalidInput | UnexpectedEof);
                let source = Arc::try_unwrap(source).unwrap_or_else(|shared| io::Error::new(shared.kind(), shared));
                if broken { XesError::BrokenGzip { at: here, source } } else { XesError::Io { at: here, source } }
            }
            Xml::Syntax(_) | Xml::IllFormed(_) if self.source().ended => cut_short(here),
            Xml::Encoding(EncodingError::Utf8(error)) => match error.error_len() {
                // The file ends within a character.
                None if self.source().ended => cut_short(here),
                _ => {
                    let valid = &self.buf[..error.valid_up_to().min(self.buf.len())];
                    let lines = valid.iter().filter(|b| **b == b'\n').count() as u64;
                    let at = At { line: begin.line + lines, byte: begin.byte + valid.len() as u64 };
                    XesError::InvalidUtf8 { at }
                }
            },
            other => malformed(begin, &other),
        }
    }
}

fn cut_short(at: At) -> XesError {
    XesError::Truncated { at, inside: "a tag, a comment or a character" }
}

fn malformed(at: At, reason: &dyn std::fmt::Display) -> XesError {
    XesError::Malformed { at, reason: reason.to_string() }
}

/// What element it is and its namespace; one of another namespace than the root's is none of XES'.
fn tag(xml: &NsReader<Source>, start: &BytesStart<'_>, root: Option<&Option<String>>, at: At) -> Result<(Tag, Option<String>), XesError> {
    let name = start.name();
    let (namespace, local) = xml.resolver().resolve_element(name);
    let namespace = match namespace {
        ResolveResult::Unbound => None,
        ResolveResult::Bound(namespace) => Some(namespace.into_inner()),
        ResolveResult::Unknown(prefix) => {
            return Err(malformed(at, &format!("the prefix \"{}\" is not declared", excerpt(&prefix))));
        }
    };
    let own = root.is_none_or(|root| root.as_deref() == namespace);
    let known = Tag::of(local.as_ref()).filter(|_| own);
    Ok((known.unwrap_or_else(|| Tag::Other(excerpt(name.as_ref()))), namespace.map(str::to_owned)))
}

fn read_start(start: &BytesStart<'_>, tag: Tag, at: At) -> Result<Start, XesError> {
    let mut read = Start { tag, name: excerpt(start.name().as_ref()), key: None, value: None, other: None };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| malformed(at, &e))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| malformed(at, &e))?;
        if let Some(illegal) = value.chars().find(|c| !allowed(*c)) {
            return Err(XesError::IllegalCharacter { at, code: u32::from(illegal) });
        }
        match attribute.key.as_ref() {
            "key" => read.key = Some(value.into_owned()),
            "value" => read.value = Some(value.into_owned()),
            "xmlns" => {}
            prefixed if prefixed.contains(':') => {}
            other => {
                read.other.get_or_insert_with(|| excerpt(other));
            }
        }
    }
    Ok(read)
}

/// The characters of XML 1.0 (section 2.2).
fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
