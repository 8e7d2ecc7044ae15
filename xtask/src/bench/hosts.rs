//! The daemons that are measured.

use std::path::Path;

use anyhow::{Context, Result};

use crate::host::{Host, Runs, Setup};
use crate::program::Program;

/// A program that takes part.
pub(super) struct Contestant {
    pub(super) label: &'static str,
    pub(super) program: Program,
}

/// Its running daemon.
pub(super) struct Player {
    pub(super) label: &'static str,
    pub(super) host: Host,
    /// Its id in every lockspace.
    pub(super) host_id: u64,
}

/// Starts a daemon of each, with run directories in `dir`.
pub(super) fn start(contestants: &[Contestant], dir: &Path) -> Result<Vec<Player>> {
    start_with(contestants, dir, &[], None)
}

/// The same, with more options of `sanlock daemon`, and with a library that is loaded into each.
pub(super) fn start_with(
    contestants: &[Contestant],
    dir: &Path,
    options: &[&str],
    preload: Option<&Path>,
) -> Result<Vec<Player>> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut players = Vec::new();
    for (contestant, host_id) in contestants.iter().zip(1..) {
        let host = Host::start(&Setup {
            program: &contestant.program,
            name: contestant.label,
            dir,
            conf: "",
            options,
            preload,
            runs: Runs::InBackground,
        })?;
        players.push(Player {
            label: contestant.label,
            host,
            host_id,
        });
    }
    Ok(players)
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The player of this index.
    Player(usize),
    /// The bare input and output.
    Floor,
}

/// Lets everyone have a turn in each round, the one that begins changing from round to round. What they
/// returned, by player, the floor last.
pub(super) fn take_turns<T>(
    players: usize,
    rounds: usize,
    mut turn: impl FnMut(Turn) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut results: Vec<Vec<T>> = (0..=players).map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for place in 0..=players {
            let who = (round + place) % (players + 1);
            let result = turn(if who == players {
                Turn::Floor
            } else {
                Turn::Player(who)
            })?;
            if let Some(own) = results.get_mut(who) {
                own.push(result);
            }
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_begins_once() {
        let mut order = Vec::new();
        let results = take_turns(2, 3, |turn| {
            order.push(turn);
            Ok(())
        });
        assert_eq!(
            results
                .map(|all| all.iter().map(Vec::len).collect::<Vec<_>>())
                .ok(),
            Some(vec![3, 3, 3])
        );
        assert_eq!(order.first(), Some(&Turn::Player(0)));
        assert_eq!(order.get(3), Some(&Turn::Player(1)));
        assert_eq!(order.get(6), Some(&Turn::Floor));
    }
}
