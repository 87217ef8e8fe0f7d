//! What is refused, as what, and at which line.

use xes::{
    Reader,
    XesError::{self, *},
};

use crate::{gzip, read, refused, with_event};

macro_rules! assert_refused {
    ($document:expr, $line:expr, $pattern:pat $(if $guard:expr)?) => {{
        let error = refused($document);
        assert!(matches!(&error, $pattern $(if $guard)?), "{error:?}");
        assert_eq!(error.line(), Some($line), "{error}");
        assert!(error.to_string().contains(&format!("line {}", $line)), "{error}");
    }};
}

#[test]
fn what_is_no_event_log_is_refused_before_the_first_record() {
    let found = |document: &str| Reader::new(std::io::Cursor::new(document.to_owned()), None).unwrap_err();
    for document in ["", " \n", "hello", "{\"a\": 1}", "<html></html>", "<?xml version='1.0'?><!-- x -->", "<trace/>"] {
        assert!(matches!(found(document), NotXes { .. }), "{document}");
    }
    assert!(found("\n\n<html/>").to_string().contains("<html>"));
    assert_refused!("\n\n<html/>", 3, NotXes { .. });
    assert_refused!(&b"\x89PNG\r\n\x1a\n"[..], 1, InvalidUtf8 { .. } | NotXes { .. });
    assert_refused!(gzip(b"\nno xml"), 2, NotXes { .. });
    assert!(matches!(xes::open(std::env::temp_dir().as_path()), Err(Open { .. })));
    assert!(matches!(xes::open("no such file".as_ref()), Err(Open { .. })));
}

#[test]
fn a_document_cut_at_any_byte_is_refused() {
    let whole = "\u{feff}<?xml version=\"1.0\"?>\n<!-- é -->\n<log>\n<global scope='event'><int key='i'/></global>\n\
        <trace>\n<string key=\"é\" value='&amp;'/><event>\n<list key='l'><values><int key='i' value='1'/></values>\
        </list></event><event/></trace><trace></trace>\n</log>";
    assert!(read(whole).is_ok());
    for cut in 0..whole.len() {
        let error = refused(&whole.as_bytes()[..cut]);
        let fitting = matches!(error, Truncated { .. } | NotXes { .. }) || cut < 3;
        assert!(fitting, "cut at {cut}: {error:?}");
    }
    assert_refused!("<log>\n<trace>\n<event>\n", 4, Truncated { inside: "<event>", .. });
    assert_refused!("<log>\n<trace>\n", 3, Truncated { inside: "<trace>", .. });
}

#[test]
fn gzip_data_cut_at_any_byte_or_altered_is_refused() {
    let whole = gzip(with_event("<string key='k' value='v'/>").as_bytes());
    assert!(read(whole.clone()).is_ok());
    for cut in 0..whole.len() {
        let error = refused(&whole[..cut]);
        assert!(matches!(error, BrokenGzip { .. }) || cut < 2, "cut at {cut}: {error:?}");
    }
    let checksum = whole.len() - 8;
    for byte in checksum..whole.len() {
        let mut altered = whole.clone();
        altered[byte] ^= 0x55;
        assert!(matches!(refused(altered), BrokenGzip { .. }), "byte {byte}");
    }
    let with_rest = [whole.as_slice(), b"rubbish rubbish"].concat();
    assert!(matches!(refused(with_rest), BrokenGzip { .. }));
}

#[test]
fn nothing_follows_an_error() {
    let document = "<log><trace><event/></trace><event/><trace/></log>";
    let mut reader = Reader::new(std::io::Cursor::new(document), None).unwrap();
    assert_eq!(reader.by_ref().filter(Result::is_ok).take(3).count(), 3);
    assert!(matches!(reader.next(), Some(Err(EventOutsideTrace { .. }))));
    assert!(reader.next().is_none() && reader.next().is_none());
}

#[test]
fn elements_out_of_place_are_refused() {
    assert_refused!("<log>\n<event/></log>", 2, EventOutsideTrace { .. });
    assert_refused!(
        "<log><trace>\n<event/>\n<string key='late' value='v'/></trace></log>",
        3,
        LateAttribute { key, .. } if key == "late"
    );
    assert_refused!(with_event("\n<trace/>"), 5, UnexpectedElement { inside: "<event>", .. });
    assert_refused!(with_event("<event/>"), 4, UnexpectedElement { .. });
    assert_refused!(with_event("<text key='k' value='v'/>"), 4, UnexpectedElement { name, .. } if name == "text");
    assert_refused!(with_event("<values/>"), 4, UnexpectedElement { .. });
    assert_refused!(with_event("<list key='l'><values/><values/></list>"), 4, UnexpectedElement { .. });
    assert_refused!(with_event("<list key='l'><values><values/></values></list>"), 4, UnexpectedElement { .. });
    assert_refused!(with_event("<int key='l' value='1'><event/></int>"), 4, UnexpectedElement { inside: "<int>", .. });
    assert_refused!("<log><trace><string key='k' value='v'>\n<event/></string></trace></log>", 2, UnexpectedElement { .. });
    assert_refused!("<log><log/></log>", 1, UnexpectedElement { .. });
    assert_refused!("<log xmlns='urn:a'>\n<trace xmlns='urn:b'/></log>", 2, UnexpectedElement { .. });
    assert_refused!(with_event("\n<string key='k' value='v'>text</string>"), 5, UnexpectedText { inside: "<string>", .. });
    assert_refused!(with_event("\n\n<![CDATA[text]]>"), 6, UnexpectedText { .. });
    assert_refused!(with_event("\n &amp;"), 5, UnexpectedText { .. });
    assert_refused!(with_event("\n\n text"), 6, UnexpectedText { .. });
}

#[test]
fn attributes_that_break_a_rule_are_refused() {
    assert_refused!(with_event("\n<string value='v'/>"), 5, MissingKey { element: "string", .. });
    assert_refused!(with_event("<string key='' value='v'/>"), 4, MissingKey { .. });
    assert_refused!(with_event("<string key='k'/>"), 4, MissingValue { .. });
    assert_refused!(with_event("<int key='k' value='1' unit='m'/>"), 4, UnknownXmlAttribute { name, .. } if name == "unit");
    assert_refused!("<log><trace>\n<event key='k'/></trace></log>", 2, UnknownXmlAttribute { .. });
    assert_refused!("<log>\n<trace id='1'/></log>", 2, UnknownXmlAttribute { .. });
    assert_refused!(
        with_event("<int key='k' value='1'/>\n<int key='k' value='2'/>"),
        5,
        DuplicateKey { key, .. } if key == "k"
    );
    assert_refused!(with_event("<container key='c'><id key='k' value=''/>\n<int key='k' value='2'/></container>"), 5, DuplicateKey { .. });
    assert_refused!(with_event("<list key='l'><values/><int key='k' value='1'/>\n<int key='k' value='2'/></list>"), 5, DuplicateKey { .. });
    for wrong in [
        "<date key='k' value='2011-02-29T00:00:00Z'/>",
        "<date key='k' value=''/>",
        "<int key='k' value='1.0'/>",
        "<int key='k' value='9223372036854775808'/>",
        "<float key='k' value='1,5'/>",
        "<float key='k' value='nan'/>",
        "<float key='k' value='1e'/>",
        "<boolean key='k' value='yes'/>",
        "<list key='k' value='x'/>",
        "<container key='k' value='x'/>",
    ] {
        assert_refused!(with_event(&format!("\n{wrong}")), 5, WrongValue { key, .. } if key == "k");
    }
}

#[test]
fn xml_that_is_broken_or_could_do_harm_is_refused() {
    assert_refused!("<log>\n<trace>\n</log></trace>", 3, Malformed { .. });
    assert_refused!("<log>\n</log>\n<log/>", 3, Malformed { .. });
    assert_refused!("<log>\n</log>\n\nrest", 4, Malformed { .. });
    assert_refused!("<log/>\0", 1, Malformed { .. });
    assert_refused!(with_event("<string key='k' key='l' value='v'/>"), 4, Malformed { .. });
    assert_refused!(with_event("<string key=k value='v'/>"), 4, Malformed { .. });
    assert_refused!(with_event("<string key='k' value='&unknown;'/>"), 4, Malformed { .. });
    assert_refused!(with_event("<string key='k' value='a & b'/>"), 4, Malformed { .. });
    assert_refused!(with_event("<string key='k' value='&#0;'/>"), 4, Malformed { .. });
    assert_refused!(with_event("<y:string key='k' value='v'/>"), 4, Malformed { .. });
    assert_refused!(with_event("<string key='k' value='&#1;'/>"), 4, IllegalCharacter { code: 1, .. });
    assert_refused!(with_event("<string key='k' value='\u{0}'/>"), 4, IllegalCharacter { code: 0, .. });
    assert_refused!("<?xml version='1.0'?>\n<!DOCTYPE log [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><log/>", 2, Doctype { .. });
    assert_refused!("<?xml version='1.0' encoding='ISO-8859-1'?><log/>", 1, Encoding { .. });
    let latin = [&b"<log>\n<trace>\n<string key='k' value='caf\xe9'/>"[..], b"</trace></log>"].concat();
    assert_refused!(latin, 3, InvalidUtf8 { .. });
    let utf16: Vec<u8> = "\u{feff}<log/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_refused!(utf16, 1, InvalidUtf8 { .. });
}

#[test]
fn what_exceeds_a_limit_is_refused() {
    let long = "x".repeat(xes::limits::TEXT_BYTES + 1);
    assert_refused!(with_event(&format!("\n<string key='k' value='{long}'/>")), 5, Limit { .. });
    assert_refused!(with_event(&format!("<string key='{long}' value=''/>")), 4, Limit { .. });
    assert_refused!(with_event(&"<container key='k'>".repeat(33)), 4, Limit { limit: 32, .. });
    let many: String = (0..=1_000).map(|i| format!("<int key='{i}' value='1'/>\n")).collect();
    assert_refused!(with_event(&many), 1_004, Limit { limit: 1_000, .. });
    assert_refused!(with_event(&format!("<list key='l'>{}", "<int key='i' value='1'/>".repeat(1_001))), 4, Limit { .. });
    assert_refused!(format!("<log>\n{}", "<string>".repeat(1_001)), 2, Limit { .. });

    let list = format!("<list key='l'>{}</list>", "<int key='i' value='1'/>".repeat(1_000));
    let lists: String = (0..1_000).map(|i| list.replace("'l'", &format!("'{i}'"))).collect();
    assert_refused!(with_event(&lists), 4, Limit { limit: xes::limits::RECORD_BYTES, .. });

    let endless = "x".repeat(xes::limits::MARKUP_BYTES + 200_000);
    assert_refused!(format!("<log>\n<!-- {endless}"), 2, Limit { .. });
    assert_refused!(with_event(&format!("<string key='{endless}")), 4, Limit { .. });
    assert_refused!(format!("<log>\n<string key='{endless}'/>"), 2, Limit { .. });
    assert_refused!(format!("<log>{}", " ".repeat(endless.len())), 1, Limit { .. });
}

/// Fails after the given bytes.
struct Failing(std::io::Cursor<Vec<u8>>);

impl std::io::Read for Failing {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(std::io::Error::other("the disk is gone")),
            n => Ok(n),
        }
    }
}

#[test]
fn a_failing_disk_is_told_from_a_broken_archive() {
    let whole = with_event("");
    for bytes in [whole.clone().into_bytes(), gzip(whole.as_bytes())] {
        let result: Result<Vec<_>, XesError> = Reader::new(Failing(std::io::Cursor::new(bytes)), None).and_then(Iterator::collect);
        assert!(matches!(&result, Err(Io { .. })), "{result:?}");
    }
}
