//! What is read, and as what.

use std::io::Write;

use serde_json::json;
use xes::{Reader, Record, Value};

use crate::{event, gzip, read, with_event};

const SMALL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- a comment -->
<log xes.version="1.0" xmlns="http://www.xes-standard.org/">
  <extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
  <global scope="event"><string key="concept:name" value="UNKNOWN"/></global>
  <classifier name="Activity" keys="concept:name"/>
  <string key="concept:name" value="the log"><int key="nested" value="no number, and passed over"/></string>
  <trace>
    <string key="concept:name" value="case 1"/>
    <event>
      <string key="concept:name" value="begin"/>
      <date key="time:timestamp" value="2011-10-18T09:06:01.468+02:00"/>
    </event>
    <event/>
  </trace>
  <trace/>
</log>
"#;

#[test]
fn a_log_is_read_in_file_order_with_indexes_and_lines() {
    let records = read(SMALL).unwrap();
    let [
        Record::TraceStart { trace: 0, line: 8, attributes: case },
        Record::Event { trace: 0, event: 0, line: 10, attributes: first },
        Record::Event { trace: 0, event: 1, line: 14, attributes: second },
        Record::TraceEnd { trace: 0, events: 2 },
        Record::TraceStart { trace: 1, line: 16, attributes: empty },
        Record::TraceEnd { trace: 1, events: 0 },
    ] = &records[..]
    else {
        panic!("{records:#?}");
    };
    assert_eq!(case.text("concept:name"), Some("case 1"));
    assert_eq!(first.text("concept:name"), Some("begin"));
    assert_eq!(first.get("concept:name").unwrap().line, 11);
    assert_eq!(first.date("time:timestamp").unwrap().unwrap().to_rfc3339(), "2011-10-18T07:06:01.468+00:00");
    assert!(second.is_empty() && empty.is_empty());
    assert!(second.date("time:timestamp").is_none());
}

#[test]
fn gzip_is_known_by_its_bytes_and_may_have_many_members() {
    let plain = read(SMALL).unwrap();
    assert_eq!(read(gzip(SMALL.as_bytes())).unwrap(), plain);
    for cut in [0, 1, 2, 3, 200, SMALL.len()] {
        let (first, second) = SMALL.as_bytes().split_at(cut);
        let members = [gzip(first), gzip(b""), gzip(second)].concat();
        assert_eq!(read(members).unwrap(), plain, "cut at {cut}");
    }

    let mut file = tempfile::Builder::new().suffix(".gz").tempfile().unwrap();
    file.write_all(SMALL.as_bytes()).unwrap();
    let mut reader = xes::open(file.path()).unwrap();
    assert_eq!(reader.by_ref().collect::<Result<Vec<_>, _>>().unwrap(), plain);
    assert_eq!(reader.size(), Some(SMALL.len() as u64));
    assert_eq!(reader.bytes_read(), SMALL.len() as u64);
}

/// Gives one byte at a time.
struct Drip(std::io::Cursor<Vec<u8>>);

impl std::io::Read for Drip {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let one = buf.len().min(1);
        self.0.read(&mut buf[..one])
    }
}

#[test]
fn a_source_that_gives_one_byte_at_a_time_reads_the_same() {
    let with_mark = format!("\u{feff}{SMALL}");
    for bytes in [SMALL.into(), gzip(SMALL.as_bytes()), with_mark.clone().into(), gzip(with_mark.as_bytes())] {
        let reader = Reader::new(Drip(std::io::Cursor::new(bytes)), None).unwrap();
        assert_eq!(reader.collect::<Result<Vec<_>, _>>().unwrap(), read(SMALL).unwrap());
    }
}

#[test]
fn progress_is_counted_in_compressed_bytes() {
    let many = format!("<log>{}</log>", "<trace><event/></trace>".repeat(300_000));
    let packed = gzip(many.as_bytes());
    let total = packed.len() as u64;
    let mut reader = Reader::new(std::io::Cursor::new(packed), Some(total)).unwrap();
    let early = reader.bytes_read();
    assert_eq!(reader.by_ref().map(Result::unwrap).count(), 900_000);
    assert!(early < total && reader.bytes_read() == total, "{early} {total}");
}

#[test]
fn every_type_is_read_and_has_its_json() {
    let attributes = event(
        r#"<string key="s" value=""/>
        <date key="d" value="2011-10-18T09:06:01"/>
        <int key="i" value=" -42 "/>
        <int key="most" value="9007199254740992"/>
        <int key="more" value="9007199254740993"/>
        <int key="least" value="-9223372036854775808"/>
        <float key="f" value="2.3832541524E7"/>
        <float key="inf" value="-INF"/>
        <boolean key="yes" value="true"/>
        <boolean key="no" value="0"/>
        <id key="id" value="0c2c1a0e-0000-1000-8000-00805f9b34fb"/>"#,
    );
    assert_eq!(
        attributes.to_json(),
        json!({
            "s": "",
            "d": "2011-10-18T09:06:01.000000Z",
            "i": -42,
            "most": 9_007_199_254_740_992_i64,
            "more": "9007199254740993",
            "least": "-9223372036854775808",
            "f": "2.3832541524E7",
            "inf": "-INF",
            "yes": true,
            "no": false,
            "id": "0c2c1a0e-0000-1000-8000-00805f9b34fb",
        })
    );
    assert_eq!(attributes.len(), 11);
    assert_eq!(attributes.iter().next().unwrap().key, "s");
    assert_eq!(attributes.text("f"), None);
    assert_eq!(attributes.get("f").unwrap().value.plain().as_deref(), Some("2.3832541524E7"));
    assert!(attributes.date("s").unwrap().is_err());
}

#[test]
fn lists_containers_and_nested_attributes_lose_nothing() {
    let attributes = event(
        r#"<string key="s" value="v"><int key="n" value="1"><boolean key="deep" value="true"/></int></string>
        <container key="c"><string key="value" value="inside"/></container>
        <list key="bare"><string key="x" value="1"/><string key="x" value="2"/></list>
        <list key="old"><values><string key="x" value="1"/><string key="x" value="1"/></values>
          <string key="about" value="a list"/></list>
        <list key="none"/>"#,
    );
    assert_eq!(
        attributes.to_json(),
        json!({
            "s": {"value": "v", "attributes": {"n": {"value": 1, "attributes": {"deep": true}}}},
            "c": {"attributes": {"value": "inside"}},
            "bare": [{"x": "1"}, {"x": "2"}],
            "old": {"value": [{"x": "1"}, {"x": "1"}], "attributes": {"about": "a list"}},
            "none": [],
        })
    );
    assert!(matches!(&attributes.get("bare").unwrap().value, Value::List(items) if items.len() == 2));
}

#[test]
fn the_same_attribute_twice_is_kept_once() {
    let attributes = event(r#"<int key="a" value="1"/><string key="b" value="x"/><int key="a" value="01"/>"#);
    assert_eq!(attributes.len(), 2);
}

#[test]
fn entities_and_white_space_in_values_are_read_as_xml_says() {
    let attributes = event(
        "<string key='a&amp;b' value='&lt;&gt;&quot;&apos;&#233;&#x1F600;&#10;|\r\n|\t|&amp;lt; \"é\"'/>
        <string key=\"many\" value=\"&amp;&amp;\"/>",
    );
    assert_eq!(attributes.text("a&b"), Some("<>\"'é😀\n| | |&lt; \"é\""));
    let many = format!(r#"<string key="k" value="{}"/>"#, "&amp;".repeat(60_000));
    assert_eq!(event(&many).text("k").map(str::len), Some(60_000));
}

#[test]
fn marks_instructions_comments_and_prefixes_do_not_disturb() {
    let document = "\u{feff}<?xml version='1.0'?><?go on?>\n<x:log xmlns:x='urn:xes'><!-- <trace> --><x:trace>
        <![CDATA[ ]]><x:string key='k' value='v' xmlns:y='urn:y' y:z='passed over'/><?go?><x:event></x:event >
        </x:trace></x:log><!-- end --><?end?>\n";
    let records = read(document).unwrap();
    assert_eq!(records.len(), 3);
    assert!(matches!(&records[0], Record::TraceStart { attributes, .. } if attributes.text("k") == Some("v")));
}

#[test]
fn what_the_limits_allow_is_read() {
    let long = "é".repeat(xes::limits::TEXT_BYTES / 2);
    assert_eq!(event(&format!(r#"<string key="{long}" value="{long}"/>"#)).text(&long), Some(long.as_str()));

    let deep = format!("{}{}", r#"<container key="k">"#.repeat(32), "</container>".repeat(32));
    let json = event(&deep).to_json().to_string();
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
    let lists = format!("{}{}", r#"<list key="k"><int key="i" value="1"/><values>"#.repeat(31), "</values></list>".repeat(31));
    let json = event(&lists).to_json().to_string();
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());

    let many: String = (0..1_000).map(|i| format!(r#"<int key="{i}" value="{i}"/>"#)).collect();
    assert_eq!(event(&many).len(), 1_000);
    assert!(read(with_event("")).is_ok());
}
