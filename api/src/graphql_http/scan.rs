//! One look over a document before it is parsed. Invariant: what passes is short and shallow, so that parsing it is cheap.
//!
//! The parser has a bound on nesting of its own (64), but names neither the rule nor the place.

use async_graphql::Pos;

use super::code::{Code, Refusal};

/// Bytes of one document.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// Tokens of one document; commas, blanks and comments are none.
pub const MAX_TOKENS: usize = 5_000;
/// Brackets of any kind open at once: selections, arguments, lists and objects.
pub(super) const MAX_BRACKETS: usize = 64;

/// Refuses a document that is too long or nests too deep.
pub(super) fn scan(document: &str) -> Result<(), Refusal> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(Refusal::new(
            Code::QueryTooLarge,
            format!("`query` has {} bytes; at most {MAX_DOCUMENT_BYTES} are allowed. Move values into `variables`.", document.len()),
        ));
    }
    let bytes = document.as_bytes();
    let (mut at, mut tokens, mut open) = (0, 0_usize, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        let end = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' | 0xEF | 0xBB | 0xBF => {
                at += 1;
                continue;
            }
            b'#' => {
                at = skip(bytes, at, |byte| byte != b'\n' && byte != b'\r');
                continue;
            }
            b'"' => string_end(bytes, at),
            b'{' | b'(' | b'[' => {
                open += 1;
                at + 1
            }
            b'}' | b')' | b']' => {
                open = open.saturating_sub(1);
                at + 1
            }
            b'.' => skip(bytes, at, |byte| byte == b'.'),
            byte if is_word(byte) => skip(bytes, at, is_word),
            _ => at + 1,
        };
        tokens += 1;
        if open > MAX_BRACKETS {
            let message = format!("Brackets nest deeper than {MAX_BRACKETS}. Split the query, or move values into `variables`.");
            return Err(Refusal::new(Code::QueryTooDeep, message).at(position(document, at)));
        }
        if tokens > MAX_TOKENS {
            let message = format!("`query` has more than {MAX_TOKENS} tokens. Split the query, or move values into `variables`.");
            return Err(Refusal::new(Code::QueryTooLarge, message).at(position(document, at)));
        }
        at = end;
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte == b'+'
}

fn skip(bytes: &[u8], from: usize, still: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|&byte| !still(byte)).map_or(bytes.len(), |length| from + length)
}

/// A string that is not closed ends at the document's end (block) or its line's (plain): the parser will refuse it.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let rest = &bytes[from..];
    if rest.starts_with(b"\"\"\"") {
        let mut at = 3;
        while at < rest.len() {
            if rest[at..].starts_with(b"\\\"\"\"") {
                at += 4;
            } else if rest[at..].starts_with(b"\"\"\"") {
                return from + at + 3;
            } else {
                at += 1;
            }
        }
        return bytes.len();
    }
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return from + at + 1,
            b'\n' | b'\r' => return from + at,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn position(document: &str, at: usize) -> Pos {
    let before = &document[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count()) + 1;
    Pos { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(document: &str) -> Option<Code> {
        scan(document).err().map(|refusal| refusal.code())
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let many = "{[(".repeat(100);
        for document in [
            format!("{{ a(b: \"{many}\") }}"),
            format!("{{ a(b: \"\\\"{many}\") }}"),
            format!("{{ a(b: \"\"\"\\\"\"\" \"{many}\"\"\") }}"),
            format!("# {many}\n{{ a }}"),
        ] {
            assert_eq!(code(&document), None, "{document}");
        }
        assert_eq!(code(&format!("# x\n{many}")), Some(Code::QueryTooDeep));
    }

    #[test]
    fn a_long_document_is_refused_by_bytes_and_by_tokens() {
        assert_eq!(code(&format!("{{ a }} #{}", "x".repeat(MAX_DOCUMENT_BYTES))), Some(Code::QueryTooLarge));
        assert_eq!(code(&format!("{{ {} }}", "a ".repeat(MAX_TOKENS - 2))), None);
        assert_eq!(code(&format!("{{ {} }}", "a ".repeat(MAX_TOKENS))), Some(Code::QueryTooLarge));
    }

    #[test]
    fn unfinished_text_is_left_to_the_parser() {
        for document in ["\"", "\"\"\"", "\"\\", "{", "#", "é", "\u{feff}{a}"] {
            assert_eq!(code(document), None, "{document}");
        }
    }
}
