//! What the program counts, as Prometheus text. Labels come from closed lists, so that no client can make new
//! series: routes, methods, commands, codes; never ids.

use crate::health::Progress;
use axum::http::Method;
use event_store::AppendCounts;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use projections::ReadModelStatus;
use sqlx::PgPool;
use std::sync::OnceLock;
use std::time::Duration;

/// Upper bounds of the histograms, in seconds.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts counting; what was counted before is lost. Once a process; later calls do nothing.
pub fn start() {
    HANDLE.get_or_init(|| match build() {
        Ok(handle) => handle,
        Err(error) => {
            tracing::error!(%error, "nothing is measured: /metrics will be empty");
            PrometheusBuilder::new().build_recorder().handle()
        }
    });
}

fn build() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?.build_recorder();
    let handle = recorder.handle();
    // An embedder's recorder, were there one, would win; ours then stays empty.
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another recorder of metrics is installed already");
    }
    describe();
    metrics::gauge!("process_start_time_seconds").set(f64::from(u32::try_from(crate::clock::now().timestamp()).unwrap_or_default()));
    metrics::gauge!("annals_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram};
    histogram!("http_request_seconds", "Time to answer an HTTP request.");
    histogram!("command_seconds", "Time to execute a command, by what came of it.");
    counter!("errors_total", "Errors answered or met, by code.");
    counter!("security_incidents_total", "Attacks and what may be one, by kind.");
    gauge!("projection_lag_events", "Events of all tenants that the read models have not taken in.");
    gauge!("projection_lag_seconds", "Age of the oldest event that the read models have not taken in.");
    histogram!("projection_delay_seconds", "From when an event was written to when the read models had taken it in.");
    gauge!("read_model_lag_events", "Events by which a read model is behind, in the log where it is furthest behind.");
    gauge!("read_model_parked", "Logs in which a read model stands still because of an error.");
    counter!("projection_control_total", "What operators did about read models that stood still, by what and which.");
    gauge!("projection_parked", "Read models of a tenant that stand still because of an error.");
    counter!(
        "append_commands_total",
        "Commands the appender has answered, by path: swift (a batch as a whole) or locking (each for itself)."
    );
    counter!("append_missed_total", "Batches that were tried swiftly in vain and went on under locks.");
    counter!("append_connections_lost_total", "Connections that append and were lost.");
    gauge!("projection_leases", "Shards of the tenants that this process projects, of 64.");
    counter!("projection_leases_lost_total", "Leases that another worker took over, or a newer program revoked.");
    counter!("notifications_sent_total", "Wake-up calls sent to other processes.");
    counter!("notifications_received_total", "Wake-up calls heard from other processes.");
    gauge!("pool_connections", "Open connections of a pool.");
    gauge!("pool_idle_connections", "Open connections of a pool that nobody uses.");
    gauge!("pool_max_connections", "Connections a pool may open.");
    gauge!("process_resident_memory_bytes", "Memory of the process.");
    gauge!("process_open_fds", "Open files of the process.");
    gauge!("process_start_time_seconds", "When the process started, since 1970.");
    gauge!("annals_build_info", "The version that runs.");
}

/// An HTTP request was answered. `route` is the router's pattern, none where no route matched.
pub fn http_request(method: &Method, route: Option<&str>, status: u16, elapsed: Duration) {
    let method = match method.as_str() {
        name @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => name.to_owned(),
        _ => "OTHER".to_owned(),
    };
    let route = route.unwrap_or("none").to_owned();
    metrics::histogram!("http_request_seconds", "method" => method, "route" => route, "status" => status.to_string()).record(elapsed);
}

/// A command was executed. `outcome` is one of a few words: `committed`, `unchanged`, `refused`, `denied`, `failed`.
pub fn command(command: &'static str, outcome: &'static str, elapsed: Duration) {
    metrics::histogram!("command_seconds", "command" => command, "outcome" => outcome).record(elapsed);
}

/// An error was answered, or met.
pub fn error(code: &'static str) {
    metrics::counter!("errors_total", "code" => code).increment(1);
}

/// Somebody tried what they must not. Called for each log event of the target `security`; log such an event
/// instead of calling this.
pub(crate) fn incident(kind: String) {
    metrics::counter!("security_incidents_total", "kind" => kind).increment(1);
}

/// How far the projector has come.
pub(crate) fn progress(progress: Progress) {
    gauge("projection_lag_events", progress.lag_events);
    gauge("projection_lag_seconds", i64::try_from(progress.lag.as_secs()).unwrap_or(i64::MAX));
    gauge("projection_parked", progress.parked);
}

/// What the appender has done.
pub(crate) fn append(counts: AppendCounts) {
    metrics::counter!("append_commands_total", "path" => "swift").absolute(counts.swift);
    metrics::counter!("append_commands_total", "path" => "locking").absolute(counts.locking);
    metrics::counter!("append_missed_total").absolute(counts.missed);
    metrics::counter!("append_connections_lost_total").absolute(counts.lost);
}

/// How each read model stands.
pub(crate) fn read_models(read_models: &[ReadModelStatus]) {
    for model in read_models {
        let set = |metric: &'static str, value: i64| {
            #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, beyond which nobody counts")]
            metrics::gauge!(metric, "read_model" => model.name.clone()).set(value as f64);
        };
        set("read_model_lag_events", model.lag_events);
        set("read_model_parked", model.parked);
    }
}

/// An operator did something about a read model, which exists: `retry` or `skip`.
pub(crate) fn controlled(what: &'static str, read_model: &str) {
    metrics::counter!("projection_control_total", "what" => what, "read_model" => read_model.to_owned()).increment(1);
}

/// How a pool stands.
pub(crate) fn pool(name: &'static str, pool: &PgPool) {
    let set = |metric: &'static str, value: u32| metrics::gauge!(metric, "pool" => name).set(f64::from(value));
    set("pool_connections", pool.size());
    set("pool_idle_connections", u32::try_from(pool.num_idle()).unwrap_or(u32::MAX));
    set("pool_max_connections", pool.options().get_max_connections());
}

/// All of it, in Prometheus' text format; empty before [`start`].
#[must_use]
pub fn render() -> String {
    process();
    let Some(handle) = HANDLE.get() else { return String::new() };
    handle.run_upkeep();
    handle.render()
}

/// Histograms keep every sample until somebody looks; this looks, so that they do not grow unscraped.
pub(crate) fn keep_up() {
    if let Some(handle) = HANDLE.get() {
        handle.run_upkeep();
    }
}

/// What Linux tells of a process; elsewhere these are left out.
fn process() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<i64>().ok());
    if let Some(kilobytes) = resident {
        gauge("process_resident_memory_bytes", kilobytes * 1024);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        gauge("process_open_fds", i64::try_from(files.count()).unwrap_or(i64::MAX));
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, beyond which nobody counts")]
fn gauge(name: &'static str, value: i64) {
    metrics::gauge!(name).set(value as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_under_the_names_that_dashboards_use() {
        start();
        start();
        http_request(&Method::from_bytes(b"BREW").unwrap(), None, 404, Duration::from_millis(3));
        http_request(&Method::GET, Some("/livez"), 200, Duration::from_millis(1));
        command("MoveItem", "committed", Duration::from_millis(20));
        error("STALE_READ");
        progress(Progress { lag_events: 7, lag: Duration::from_secs(61), parked: 2 });
        append(AppendCounts { swift: 5, locking: 4, missed: 3, lost: 2 });
        let model = ReadModelStatus { name: "users".into(), version: 1, stored_version: Some(1), lag_events: 9, parked: 3, rebuild: None };
        read_models(&[model]);
        controlled("retry", "users");
        let text = render();
        for line in [
            "http_request_seconds_bucket{method=\"OTHER\",route=\"none\",status=\"404\",le=\"0.005\"} 1",
            "http_request_seconds_count{method=\"GET\",route=\"/livez\",status=\"200\"} 1",
            "command_seconds_bucket{command=\"MoveItem\",outcome=\"committed\",le=\"0.025\"} 1",
            "errors_total{code=\"STALE_READ\"} 1",
            "projection_lag_events 7",
            "projection_lag_seconds 61",
            "projection_parked 2",
            "append_commands_total{path=\"swift\"} 5",
            "append_commands_total{path=\"locking\"} 4",
            "append_missed_total 3",
            "append_connections_lost_total 2",
            "read_model_lag_events{read_model=\"users\"} 9",
            "read_model_parked{read_model=\"users\"} 3",
            "projection_control_total{what=\"retry\",read_model=\"users\"} 1",
            "annals_build_info{",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }
}
