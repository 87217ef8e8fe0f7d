//! The program's own log, on standard error: lines for people on a terminal, JSON otherwise. Invariant: what may
//! hold a secret is not logged by anybody; this module adds no fields of its own.

use crate::config::{Config, LogFormat};
use std::io::IsTerminal;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The target of events that report an attack or what may be one; each names its `kind`.
const SECURITY: &str = "security";

/// Starts the log. Does nothing where there is one already, as in tests.
pub fn start(config: &Config) {
    let json = is_json(config.log_format, std::io::stderr().is_terminal());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.with_ansi(std::io::stderr().is_terminal()).boxed() };
    let filter = EnvFilter::new(&config.log_filter);
    let incidents = Incidents.with_filter(Targets::new().with_target(SECURITY, tracing::Level::TRACE));
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).with(incidents).try_init();
}

/// Whether a format means JSON.
#[must_use]
pub fn is_json(format: LogFormat, on_terminal: bool) -> bool {
    match format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    }
}

/// Counts incidents, whatever the log's filter lets through.
struct Incidents;

impl<S: Subscriber> Layer<S> for Incidents {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut kind = Kind(String::from("UNNAMED"));
        event.record(&mut kind);
        crate::metrics::incident(kind.0);
    }
}

struct Kind(String);

impl Visit for Kind {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "kind" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_lines_and_machines_json_unless_told_otherwise() {
        assert!(is_json(LogFormat::Auto, false) && !is_json(LogFormat::Auto, true));
        assert!(is_json(LogFormat::Json, true) && !is_json(LogFormat::Human, false));
    }

    #[test]
    fn an_incident_is_counted_by_its_kind_though_the_filter_hides_it() {
        crate::metrics::start();
        let incidents = Incidents.with_filter(Targets::new().with_target(SECURITY, tracing::Level::TRACE));
        let subscriber =
            tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().with_filter(EnvFilter::new("off"))).with(incidents);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "security", kind = "PROBING_OF_THIS_TEST", "somebody tried");
            tracing::warn!(kind = "NOTHING_OF_THE_KIND", "an ordinary event");
        });
        let text = crate::metrics::render();
        assert!(text.contains("security_incidents_total{kind=\"PROBING_OF_THIS_TEST\"} 1"), "{text}");
        assert!(!text.contains("NOTHING_OF_THE_KIND"));
    }
}
