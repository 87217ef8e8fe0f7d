//! What breaks in operation, broken on purpose under processes at work, and what must hold afterwards: nothing lost,
//! nothing twice, no gap, nothing stuck, and read models as a replay makes them. `make chaos` goes on for a hundred
//! rounds; the ordinary run does a few of each.
//!
//! `CHAOS_ROUNDS` says how many rounds, `CHAOS_SEED` repeats what chance did to which process and about when. Connections
//! cut in mid-commit are in `processes/loss.rs`, a fold that panics is in `projections/tests/it/fragile.rs`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what was broken, and what could not be, is what one runs these for")]

mod clock;
mod disk;
mod drain;
mod faults;
mod kills;
mod load;
mod poison;
mod site;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How many rounds, if nobody says.
const FEW: usize = 3;

/// How often to break something.
fn rounds() -> usize {
    number("CHAOS_ROUNDS").map_or(FEW, |rounds| usize::try_from(rounds).unwrap().clamp(1, 10_000))
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Chance, which can be had again.
struct Dice(StdRng);

impl Dice {
    fn new() -> Self {
        let seed = number("CHAOS_SEED").unwrap_or_else(rand::random);
        eprintln!("CHAOS_SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    /// 0 to one less than this.
    fn below(&mut self, end: usize) -> usize {
        self.0.gen_range(0..end)
    }
}
