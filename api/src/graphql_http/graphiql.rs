//! The GraphiQL page and its files, all of them inside the program. Invariant: the page loads nothing from elsewhere
//! and runs no script but these.

use std::{fmt::Write, sync::LazyLock};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};
use sha2::{Digest, Sha256};

/// Where the page expects [`assets`].
pub const ASSETS_PATH: &str = "/graphql/assets";

/// Scripts are files of ours; styles are also set by the editor itself, on its own elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

struct Asset {
    /// With a hash of the content in it, so that it may be kept for ever.
    name: String,
    media: &'static str,
    bytes: &'static [u8],
}

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/graphiql/", $name)).as_slice()
    };
}

/// In the order the page needs them.
static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    [
        Asset::new("graphiql.css", "text/css; charset=utf-8", file!("graphiql.min.css")),
        Asset::new("react.js", SCRIPT, file!("react.production.min.js")),
        Asset::new("react-dom.js", SCRIPT, file!("react-dom.production.min.js")),
        Asset::new("graphiql.js", SCRIPT, file!("graphiql.min.js")),
        Asset::new("page.js", SCRIPT, file!("page.js")),
    ]
});

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let mut links = String::new();
    for Asset { name, media, .. } in ASSETS.iter() {
        // Writing to a String cannot fail.
        let _ = if media.starts_with("text/css") {
            writeln!(links, "<link rel=\"stylesheet\" href=\"{ASSETS_PATH}/{name}\">")
        } else {
            writeln!(links, "<script defer src=\"{ASSETS_PATH}/{name}\"></script>")
        };
    }
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/graphiql/page.html")).replace("<!-- assets -->\n", &links)
});

impl Asset {
    fn new(name: &str, media: &'static str, bytes: &'static [u8]) -> Self {
        let hash = Sha256::digest(bytes);
        let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
        let mut name = format!("{stem}-");
        for byte in &hash[..8] {
            let _ = write!(name, "{byte:02x}");
        }
        let _ = write!(name, ".{extension}");
        Self { name, media, bytes }
    }
}

/// The page. It holds nothing of anybody; what it asks, it asks with the caller's own token.
pub(super) fn page() -> Response {
    let mut response = Response::new(Body::from(PAGE.as_str()));
    let headers = response.headers_mut();
    secure(headers, "text/html; charset=utf-8", "no-cache");
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// The page's files, to be merged into the program's router.
pub fn assets<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route(&format!("{ASSETS_PATH}/{{name}}"), get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        let mut response = Response::new(Body::from("There is no such file. Load /graphql again.\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        secure(response.headers_mut(), "text/plain; charset=utf-8", "no-store");
        return response;
    };
    let mut response = Response::new(Body::from(asset.bytes));
    secure(response.headers_mut(), asset.media, "public, max-age=31536000, immutable");
    response
}

fn secure(headers: &mut HeaderMap, media: &'static str, cache: &'static str) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_file_the_page_names_is_served_for_ever_under_a_name_of_its_content() {
        for (position, reference) in PAGE.match_indices(ASSETS_PATH) {
            let rest = &PAGE[position + reference.len() + 1..];
            let name = rest.split('"').next().unwrap().to_owned();
            let response = asset(Path(name.clone())).await;
            assert_eq!(response.status(), 200, "{name}");
            let media = if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
            assert_eq!(response.headers()[header::CONTENT_TYPE], media, "{name}");
            assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        }
        assert_eq!(asset(Path("page.js".into())).await.status(), 404);
    }

    #[test]
    fn no_file_of_the_page_is_fetched_from_elsewhere() {
        for asset in ASSETS.iter() {
            let text = String::from_utf8_lossy(asset.bytes);
            assert!(!text.contains("sourceMappingURL="), "{}", asset.name);
            assert!(!text.contains("@import") && !text.contains("url(http"), "{}", asset.name);
        }
    }
}
