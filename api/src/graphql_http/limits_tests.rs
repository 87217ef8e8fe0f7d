//! The limits, each at its edge, and the documents that would hurt if they were looked at too late.

use std::{fmt::Write, time::Instant};

use async_graphql::Request;

use super::{document::check, *};

fn code(document: &str) -> Option<Code> {
    check(&mut Request::new(document), true, &Documents::default()).err().map(|refusal| refusal.code())
}

fn nested(levels: usize) -> String {
    format!("{}{}", "{ a ".repeat(levels), "}".repeat(levels))
}

fn fragments(count: usize, spreads: &str) -> String {
    let mut document = "{ ...F0 }".to_owned();
    for index in 0..count {
        let spread = format!("...F{} ", index + 1);
        write!(document, " fragment F{index} on Q {{ {} }}", spreads.replace('X', &spread)).unwrap();
    }
    write!(document, " fragment F{count} on Q {{ a }}").unwrap();
    document
}

#[test]
fn each_limit_holds_at_its_edge() {
    let many = |count: usize, text: &str| format!("{{ {} }}", text.repeat(count));
    for (document, refused) in [
        (nested(MAX_DEPTH), None),
        (nested(MAX_DEPTH + 1), Some(Code::QueryTooDeep)),
        (fragments(MAX_NESTING - 1, "X"), None),
        (fragments(MAX_NESTING, "X"), Some(Code::QueryTooDeep)),
        (many(MAX_ALIASES, "b: a "), None),
        (many(1, &format!("x {{ {} }}", "b: a ".repeat(MAX_ALIASES + 1))), Some(Code::TooManyAliases)),
        (many(MAX_ROOT_FIELDS, "a "), None),
        (many(MAX_ROOT_FIELDS + 1, "a "), Some(Code::TooManyRootFields)),
        (many(1, &format!("a {}", "@d ".repeat(MAX_DIRECTIVES))), None),
        (many(1, &format!("a {}", "@d ".repeat(MAX_DIRECTIVES + 1))), Some(Code::TooManyDirectives)),
        (format!("{{ x {} }}", many(MAX_SELECTIONS - 1, "a ")), None),
        (format!("{{ x {} }}", many(MAX_SELECTIONS, "a ")), Some(Code::QueryTooComplex)),
        (format!("{{ {} }} fragment A on Q {{ b: a c: a }}", "...A ".repeat(26)), Some(Code::TooManyAliases)),
    ] {
        assert_eq!(code(&document), refused, "{}…", &document[..document.len().min(80)]);
    }
}

#[test]
fn aliases_of_an_operation_that_is_not_chosen_do_not_count() {
    let document = format!("query A {{ a }} query B {{ x {{ {} }} }}", "b: a ".repeat(MAX_ALIASES + 1));
    assert!(check(&mut Request::new(&document).operation_name("A"), true, &Documents::default()).is_ok());
    assert!(check(&mut Request::new(&document).operation_name("B"), true, &Documents::default()).is_err());
}

#[test]
fn fragments_that_double_at_each_step_are_refused_at_once() {
    let began = Instant::now();
    assert_eq!(code(&fragments(30, "X X")), Some(Code::QueryTooComplex));
    assert_eq!(code(&fragments(200, "X X X")), Some(Code::QueryTooComplex));
    assert!(began.elapsed().as_secs() < 5);
}

#[test]
fn a_fragment_within_itself_is_refused_wherever_it_stands() {
    for document in [
        "{ ...A } fragment A on Q { a ...A ...A }",
        "{ ...A } fragment A on Q { x { ...B } } fragment B on Q { ...A }",
        "{ a } fragment A on Q { ...A }",
    ] {
        assert_eq!(code(document), Some(Code::ValidationFailed), "{document}");
    }
    // An unknown one is validation's to name.
    assert_eq!(code("{ ...Nowhere }"), None);
}

#[test]
fn brackets_in_brackets_do_not_overflow_the_stack() {
    // A worker thread's stack.
    let run = || {
        for bracket in ["{a", "{a(b:[", "{a(b:{c:", "query($a:["] {
            for times in [31, 10_000] {
                let document = bracket.repeat(times);
                assert!(code(&document).is_some(), "{bracket}");
            }
        }
        assert_eq!(code(&format!("{{ a(b: {}1{}) }}", "[".repeat(61), "]".repeat(61))), None);
    };
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(run).unwrap().join().unwrap();
}

/// The most that passes the limits, through validation, which compares selections with each other.
#[tokio::test]
async fn the_worst_document_within_the_limits_is_judged_soon() {
    struct Query;
    #[async_graphql::Object]
    impl Query {
        async fn me(&self) -> Query {
            Query
        }
        async fn hello(&self, a: Option<i32>) -> i32 {
            a.unwrap_or(0)
        }
    }
    let schema = guarded(async_graphql::Schema::build(Query, async_graphql::EmptyMutation, async_graphql::EmptySubscription)).finish();
    for document in [
        format!("{{ me {{ {} }} }}", "hello ".repeat(2_900)),
        format!("{{ me {{ {} }} }}", "helo ".repeat(2_900)),
        format!("{{ me {{ {} }} }}", "me { hello } ".repeat(900)),
        format!("{{ me {{ {} }} }} fragment A on Query {{ {} }}", "...A ".repeat(50), "hello ".repeat(50)),
        format!("{{ me {{ hello(a: [{}]) }} }}", "1 ".repeat(4_900)),
    ] {
        let mut request = Request::new(&document);
        assert!(check(&mut request, true, &Documents::default()).is_ok());
        let began = Instant::now();
        let response = schema.execute(request).await;
        assert!(!response.errors.is_empty());
        assert!(began.elapsed().as_secs() < 5, "{:?} {}…", began.elapsed(), &document[..40]);
    }
}
