//! Which media type the answer has. RFC 9110, 12.5.1: the more specific range decides, then the higher weight.

use axum::http::{HeaderMap, HeaderValue, header};

/// A media type of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`, the one the specification knows.
    GraphQlResponse,
    /// `application/json`, for a client from before it; only answers of status 2xx are sent as that.
    Json,
}

impl Media {
    /// The `Content-Type` of an answer.
    pub const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphQlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }
}

/// What an `Accept` header allows, in thousandths of weight.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Acceptable {
    pub(super) media: Option<Media>,
    /// HTML was named, and weighs more than every JSON type that was named.
    pub(super) page: bool,
}

/// Reads all `Accept` headers. None at all accepts anything.
pub(super) fn acceptable(headers: &HeaderMap) -> Acceptable {
    let ranges: Vec<Range> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, ','))
        .filter_map(Range::parse)
        .collect();
    if !headers.contains_key(header::ACCEPT) {
        return Acceptable { media: Some(Media::GraphQlResponse), page: false };
    }
    let graphql = weight(&ranges, "application", "graphql-response+json");
    let json = weight(&ranges, "application", "json");
    let media = match (graphql.q, json.q) {
        (0, 0) => None,
        (graphql, json) if graphql >= json => Some(Media::GraphQlResponse),
        _ => Some(Media::Json),
    };
    let html = weight(&ranges, "text", "html");
    let named_json = [graphql, json].iter().filter(|w| w.specificity == 2).map(|w| w.q).max().unwrap_or(0);
    Acceptable { media, page: html.specificity == 2 && html.q > named_json }
}

struct Range {
    main: String,
    sub: String,
    q: u16,
}

#[derive(Clone, Copy)]
struct Weight {
    q: u16,
    /// 0: `*/*` or not matched, 1: `type/*`, 2: `type/subtype`.
    specificity: u8,
}

fn weight(ranges: &[Range], main: &str, sub: &str) -> Weight {
    let specificity = |range: &Range| match (range.main.as_str(), range.sub.as_str()) {
        ("*", "*") => Some(0),
        (m, "*") if m == main => Some(1),
        (m, s) if m == main && s == sub => Some(2),
        _ => None,
    };
    // Of ranges as specific as each other the most willing one counts: `…;charset=utf-8, …;q=0.5` is no contradiction.
    ranges
        .iter()
        .filter_map(|range| specificity(range).map(|specificity| Weight { q: range.q, specificity }))
        .max_by_key(|weight| (weight.specificity, weight.q))
        .unwrap_or(Weight { q: 0, specificity: 0 })
}

impl Range {
    /// A range that is not understood, or asks for another charset than UTF-8, accepts nothing.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = split(text, ';');
        let (main, sub) = parts.next()?.trim().split_once('/')?;
        let mut range = Self { main: main.to_ascii_lowercase(), sub: sub.to_ascii_lowercase(), q: 1000 };
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.q = quality(value.trim())?,
                "charset" if !is_utf8(value) => return None,
                _ => {}
            }
        }
        (!range.main.is_empty() && !range.sub.is_empty() && (range.main != "*" || range.sub == "*")).then_some(range)
    }
}

/// `0`, `1`, `0.5`, `1.000`: at most three decimals.
fn quality(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{decimals:0<3}").parse::<u16>().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

/// A charset parameter's value, quoted or not, names UTF-8.
pub(super) fn is_utf8(value: &str) -> bool {
    let name = value.trim().trim_matches('"');
    name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8")
}

/// Splits at a separator outside quoted strings.
pub(super) fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c: char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Acceptable {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        acceptable(&headers)
    }

    #[test]
    fn the_heavier_media_type_is_chosen_and_the_specific_range_decides_its_weight() {
        use Media::{GraphQlResponse, Json};
        for (accept, media) in [
            ("*/*", Some(GraphQlResponse)),
            ("application/*", Some(GraphQlResponse)),
            ("application/json", Some(Json)),
            ("APPLICATION/JSON", Some(Json)),
            ("application/graphql-response+json", Some(GraphQlResponse)),
            ("application/json, application/graphql-response+json", Some(GraphQlResponse)),
            ("application/graphql-response+json;q=0.9, application/json", Some(Json)),
            ("application/graphql-response+json, application/json;q=0.9", Some(GraphQlResponse)),
            ("application/graphql-response+json; charset=utf-8, application/json; charset=utf-8", Some(GraphQlResponse)),
            ("application/json; charset=\"UTF-8\"", Some(Json)),
            ("application/json; charset=utf-16", None),
            ("application/graphql-response+json;q=0, */*", Some(Json)),
            ("application/json;q=0, application/graphql-response+json;q=0, */*", None),
            ("*/*;q=0", None),
            ("*/*;q=0.1, application/json;q=0.2", Some(Json)),
            ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", Some(GraphQlResponse)),
            ("text/plain", None),
            ("application/json;q=2, text/plain", None),
            ("nonsense", None),
            ("", None),
            ("text/plain;a=\"x, application/json\"", None),
        ] {
            assert_eq!(of(accept).media, media, "{accept}");
        }
    }

    #[test]
    fn a_missing_header_gets_the_specifications_own_media_type() {
        assert_eq!(acceptable(&HeaderMap::new()), Acceptable { media: Some(Media::GraphQlResponse), page: false });
    }

    #[test]
    fn several_accept_headers_count_as_one() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT, HeaderValue::from_static("text/plain"));
        headers.append(header::ACCEPT, HeaderValue::from_static("application/json"));
        assert_eq!(acceptable(&headers).media, Some(Media::Json));
    }

    #[test]
    fn only_who_names_html_before_json_gets_the_page() {
        for (accept, page) in [
            ("text/html, application/xhtml+xml, */*;q=0.8", true),
            ("text/html", true),
            ("*/*", false),
            ("text/*", false),
            ("application/json, text/html", false),
            ("application/json, text/html;q=0.9", false),
            ("application/json;q=0.5, text/html", true),
            ("text/html;q=0", false),
        ] {
            assert_eq!(of(accept).page, page, "{accept}");
        }
    }
}
