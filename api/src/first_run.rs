//! What `annals serve --demo` prints once it listens: where to click, and a first query to paste.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The demo's workspace.
pub const WORKSPACE: &str = "demo";
/// Who owns it.
pub const OWNER: &str = "owner@demo.example";
/// Works with the demo, and with any schema that has pipelines.
pub const QUERY: &str = "{ pipelines(first: 3) { edges { node { id name } } } }";

/// The lines to print. They hold a token of the demo's owner, which is good for a quarter of an hour.
#[must_use]
pub fn text(address: SocketAddr, token: &str) -> String {
    // As it was called, so that the line can be pasted.
    let program = std::env::args().next().unwrap_or_else(|| "annals".to_owned());
    let url = format!("http://{}/graphql", reachable(address));
    format!(
        "
Annals is ready, with the demo workspace `{WORKSPACE}` of {OWNER}.

  In the browser (GraphiQL; for the next 15 minutes you are signed in):

    {url}#workspace={WORKSPACE}&token={token}

  A first query, to paste into another terminal:

    curl -s {url} -H 'Content-Type: application/json' \\
      -H 'Annals-Workspace: {WORKSPACE}' -H 'Authorization: Bearer {token}' \\
      -d '{{\"query\":\"{QUERY}\"}}'

  A new token: {program} token --email {OWNER}
  To stop: Ctrl-C

"
    )
}

/// Where a client on this machine reaches a listener: one on all addresses is reached by the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_by_the_loopback() {
        let printed = text("0.0.0.0:9000".parse().unwrap(), "abc");
        assert!(printed.contains("http://127.0.0.1:9000/graphql#workspace=demo&token=abc"), "{printed}");
        assert!(printed.contains("-H 'Authorization: Bearer abc'"), "{printed}");
        assert_eq!(reachable("[::]:1".parse().unwrap()), "[::1]:1".parse().unwrap());
    }

    #[test]
    fn the_first_query_is_json_once_a_shell_has_read_it() {
        let printed = text("127.0.0.1:1".parse().unwrap(), "abc");
        let body = printed.split("-d '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        async_graphql_parser::parse_query(body["query"].as_str().unwrap()).unwrap();
    }
}
