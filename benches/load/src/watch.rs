//! What is seen from outside while the load goes on, second by second: how far behind the read models are, and what
//! the processes use.

use crate::program::Process;
use anyhow::Result;
use benches::machine::{Cpu, memory, spent};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Values so far by their upper bound in microseconds, each bound counting those below it too.
type Buckets = BTreeMap<u64, u64>;

/// One look.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) at: Duration,
    delays: Buckets,
    /// Microseconds of CPU time so far: the program's processes, the server's, and ours.
    cpu: [f64; 3],
    /// Bytes.
    memory: [u64; 2],
}

impl Look {
    pub(crate) async fn take(begun: Instant, processes: &[Process], cpu: &Cpu, http: &reqwest::Client) -> Result<Self> {
        let (mut delays, mut program, mut bytes) = (Buckets::new(), 0.0, 0);
        for process in processes {
            process.metrics(http).await?.add_buckets("projection_delay_seconds", &mut delays);
            program += spent(process.pid).unwrap_or_default();
            bytes += memory(process.pid).unwrap_or_default();
        }
        let now = cpu.read();
        let cpu_spent = [program, now.postgres.unwrap_or_default(), now.program.unwrap_or_default()];
        Ok(Self { at: begun.elapsed(), delays, cpu: cpu_spent, memory: [bytes, cpu.server_memory().unwrap_or_default()] })
    }
}

/// What a stretch of time cost.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    /// Processors that were busy on average with the program, the server, and the clients.
    pub(crate) program_cores: f64,
    pub(crate) postgres_cores: f64,
    pub(crate) client_cores: f64,
    /// The most bytes seen.
    pub(crate) program_bytes: u64,
    pub(crate) postgres_bytes: u64,
    /// Milliseconds from an event's writing to its rows.
    pub(crate) delay_p50: f64,
    pub(crate) delay_p99: f64,
}

/// All looks, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(pub(crate) Vec<Look>);

impl Watched {
    pub(crate) fn between(&self, from: Duration, to: Duration) -> Usage {
        let looks: Vec<&Look> = self.0.iter().filter(|look| (from..=to).contains(&look.at)).collect();
        let [first, .., last] = looks[..] else { return Usage::default() };
        let micros = (last.at - first.at).as_secs_f64() * 1e6;
        let cores = |n: usize| (last.cpu[n] - first.cpu[n]) / micros;
        let most = |n: usize| looks.iter().map(|look| look.memory[n]).max().unwrap_or_default();
        let delays = since(&first.delays, &last.delays);
        Usage {
            program_cores: cores(0),
            postgres_cores: cores(1),
            client_cores: cores(2),
            program_bytes: most(0),
            postgres_bytes: most(1),
            delay_p50: quantile(&delays, 0.5),
            delay_p99: quantile(&delays, 0.99),
        }
    }

    /// The 99th percentile of the delay in milliseconds, look by look, at its second.
    pub(crate) fn delays(&self) -> Vec<(f64, f64)> {
        let pairs = self.0.windows(2);
        pairs.map(|pair| (pair[1].at.as_secs_f64(), quantile(&since(&pair[0].delays, &pair[1].delays), 0.99))).collect()
    }
}

fn since(before: &Buckets, after: &Buckets) -> Buckets {
    after.iter().map(|(bound, count)| (*bound, count.saturating_sub(*before.get(bound).unwrap_or(&0)))).collect()
}

/// In milliseconds, as if values lay evenly within their bucket; the highest bound where they lie beyond it.
fn quantile(buckets: &Buckets, part: f64) -> f64 {
    let wanted = buckets.values().max().copied().unwrap_or_default() as f64 * part;
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        let count = *count as f64;
        if *bound == u64::MAX {
            break;
        }
        let high = *bound as f64 / 1000.0;
        if count >= wanted && count > below {
            return low + (high - low) * (wanted - below) / (count - below);
        }
        (low, below) = (high, count);
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket_and_never_beyond_the_last() {
        let buckets: Buckets = [(1000, 50), (5000, 90), (10_000, 100), (u64::MAX, 100)].into();
        assert_eq!((quantile(&buckets, 0.5), quantile(&buckets, 0.7)), (1.0, 3.0));
        let beyond: Buckets = [(1000, 0), (u64::MAX, 10)].into();
        assert_eq!((quantile(&beyond, 0.5), quantile(&Buckets::new(), 0.99)), (1.0, 0.0));
    }
}
