//! A log written by a writer that knows nothing of the reader is read back as it was.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use proptest::{collection::vec, prelude::*};
use xes::{Attribute, Attributes, Record, Value};

use crate::{gzip, read};

#[derive(Clone, Debug)]
struct Trace {
    attributes: Attributes,
    events: Vec<Attributes>,
}

fn text() -> impl Strategy<Value = String> {
    // Anything XML can hold, and often what it must escape.
    prop_oneof!["[a-z:]{0,8}", "[<>&'\" \t\n\r\u{85}\u{2028}é]{0,8}", "\\PC{0,12}".prop_map(|s| s.replace(['\u{fffe}', '\u{ffff}'], "")),]
}

fn key() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("k{text}"))
}

fn scalar() -> impl Strategy<Value = Value> {
    let first = -62_135_596_800_000_000_i64;
    let last = 253_402_300_799_999_999_i64;
    prop_oneof![
        text().prop_map(Value::String),
        text().prop_map(Value::Id),
        any::<i64>().prop_map(Value::Int),
        any::<bool>().prop_map(Value::Boolean),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(|f| Value::Float(format!("{f:e}"))),
        (first..=last).prop_map(|us| Value::Date(DateTime::<Utc>::from_timestamp_micros(us).unwrap())),
    ]
}

fn unique(attributes: Vec<Attribute>) -> Attributes {
    let mut seen = std::collections::HashSet::new();
    attributes.into_iter().filter(|a| seen.insert(a.key.clone())).collect()
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let leaf = (key(), scalar()).prop_map(|(key, value)| plain(key, value, Attributes::default()));
    leaf.prop_recursive(4, 24, 4, |inner| {
        let some = vec(inner, 0..4).boxed();
        prop_oneof![
            (key(), scalar(), some.clone()).prop_map(|(key, value, nested)| plain(key, value, unique(nested))),
            (key(), some.clone(), some.clone()).prop_map(|(k, items, nested)| plain(k, Value::List(items), unique(nested))),
            (key(), some).prop_map(|(k, children)| plain(k, Value::Container(unique(children)), Attributes::default())),
        ]
    })
}

fn plain(key: String, value: Value, nested: Attributes) -> Attribute {
    Attribute { key, value, nested, line: 0 }
}

fn attributes() -> impl Strategy<Value = Attributes> {
    vec(attribute(), 0..5).prop_map(unique)
}

fn traces() -> impl Strategy<Value = Vec<Trace>> {
    vec((attributes(), vec(attributes(), 0..4)).prop_map(|(attributes, events)| Trace { attributes, events }), 0..4)
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' | '&' | '"' | '\t' | '\n' | '\r' => write!(escaped, "&#{};", u32::from(c)).unwrap(),
            other => escaped.push(other),
        }
    }
    escaped
}

fn write_attribute(out: &mut String, attribute: &Attribute) {
    let key = escape(&attribute.key);
    let (name, value) = match &attribute.value {
        Value::String(text) => ("string", text.clone()),
        Value::Id(text) => ("id", text.clone()),
        Value::Float(text) => ("float", text.clone()),
        Value::Int(int) => ("int", int.to_string()),
        Value::Boolean(yes) => ("boolean", yes.to_string()),
        Value::Date(date) => ("date", date.to_rfc3339_opts(SecondsFormat::Micros, true)),
        Value::List(items) => {
            writeln!(out, "<list key=\"{key}\"><values>").unwrap();
            items.iter().for_each(|item| write_attribute(out, item));
            out.push_str("</values>");
            attribute.nested.iter().for_each(|nested| write_attribute(out, nested));
            out.push_str("</list>\n");
            return;
        }
        Value::Container(children) => {
            write!(out, "<container key=\"{key}\">").unwrap();
            children.iter().for_each(|child| write_attribute(out, child));
            out.push_str("</container>\n");
            return;
        }
    };
    write!(out, "<{name} key=\"{key}\" value=\"{}\">", escape(&value)).unwrap();
    attribute.nested.iter().for_each(|nested| write_attribute(out, nested));
    writeln!(out, "</{name}>").unwrap();
}

fn write_log(traces: &[Trace]) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<log>\n".to_owned();
    for trace in traces {
        out.push_str("<trace>\n");
        trace.attributes.iter().for_each(|a| write_attribute(&mut out, a));
        for event in &trace.events {
            out.push_str("<event>\n");
            event.iter().for_each(|a| write_attribute(&mut out, a));
            out.push_str("</event>\n");
        }
        out.push_str("</trace>\n");
    }
    out.push_str("</log>\n");
    out
}

fn collect(records: Vec<Record>) -> Vec<(Attributes, Vec<Attributes>)> {
    let mut traces: Vec<(Attributes, Vec<Attributes>)> = Vec::new();
    for record in records {
        match record {
            Record::TraceStart { trace, attributes, .. } => {
                assert_eq!(trace, traces.len() as u64);
                traces.push((attributes, Vec::new()));
            }
            Record::Event { event, attributes, .. } => {
                let events = &mut traces.last_mut().unwrap().1;
                assert_eq!(event, events.len() as u64);
                events.push(attributes);
            }
            Record::TraceEnd { events, .. } => {
                assert_eq!(events, traces.last().unwrap().1.len() as u64)
            }
        }
    }
    traces
}

fn without_floats(json: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match json {
        Number(n) => n.as_i64().is_some_and(|n| n.unsigned_abs() <= 1 << 53),
        Array(items) => items.iter().all(without_floats),
        Object(fields) => fields.values().all(without_floats),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(traces in traces(), packed: bool) {
        let log = write_log(&traces).into_bytes();
        let read = collect(read(if packed { gzip(&log) } else { log }).unwrap());
        prop_assert_eq!(read.len(), traces.len());
        for (read, written) in read.iter().zip(&traces) {
            prop_assert_eq!(&read.0, &written.attributes);
            prop_assert_eq!(&read.1, &written.events);
            prop_assert!(read.1.iter().chain([&read.0]).all(|attributes| without_floats(&attributes.to_json())));
        }
    }

    #[test]
    fn a_written_log_cut_anywhere_is_refused(traces in traces(), at in any::<prop::sample::Index>()) {
        let log = write_log(&traces).into_bytes();
        let end = log.len() - 1; // the last line feed may be missing
        prop_assert!(crate::read(&log[..at.index(end)]).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(noise in vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        let mut log = write_log(&[]).into_bytes();
        let at = at.index(log.len());
        log.splice(at..at, noise);
        let _ = crate::read(log);
    }
}
