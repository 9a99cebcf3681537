//! The turns after the rungs: what is left of the budget, for one optimizer after the other.

use std::collections::VecDeque;

use super::arm::Arm;
use super::plan;
use super::search::{Rung, Search, names};
use crate::engine::{ExampleFor, Program, Stop};

/// The number of optimizers of the rungs that take turns.
const IN_TURN: usize = 3;

impl<P: Program, E: ExampleFor<P>> Search<'_, '_, P, E> {
    /// Runs optimizers in turn on the best program, each with half of what is left. Returns whether the best program
    /// leaves no headroom.
    pub(super) async fn turns(
        &mut self,
        first: usize,
        chosen: Vec<Arm>,
        left_out: &[Arm],
    ) -> Result<bool, Stop> {
        let mut queue = self.in_turn(chosen, left_out);
        let (mut idle, mut number) = (0, first);
        while let Some(arm) = queue.pop_front().filter(|_| number < first + plan::FURTHER) {
            // Without runs, an optimizer makes nothing better of its own result.
            let repeats = arm.makes_no_runs() && self.best.arm == Some(arm);
            let spent = self.spent;
            match self.parts_for(arm).filter(|_| !repeats) {
                Some(left) => {
                    self.rung(&Rung { number, left, of: number + left, own: false }, &[arm]).await?;
                    if self.is_done(number) {
                        return Ok(true);
                    }
                    number += 1;
                    idle = if self.spent.requests > spent.requests { 0 } else { idle + 1 };
                    if left_out.contains(&arm) && !self.gained.contains(&arm) {
                        self.study
                            .decide(format!("{} has no further turn, as it has gained nothing", arm.name()));
                        continue;
                    }
                }
                None => idle += 1,
            }
            queue.push_back(arm);
            if idle >= queue.len() {
                break;
            }
        }
        Ok(false)
    }

    /// Returns the optimizers that take turns: the best ones, or the best of those that have gained something and those that
    /// were left out but fit into what is left.
    fn in_turn(&self, mut chosen: Vec<Arm>, left_out: &[Arm]) -> VecDeque<Arm> {
        let waiting: Vec<Arm> =
            left_out.iter().copied().filter(|arm| self.parts_for(*arm).is_some()).collect();
        chosen.retain(|arm| self.own(*arm).is_some());
        if !waiting.is_empty() {
            chosen.retain(|arm| self.gained.contains(arm));
        }
        // Stable, so that ties keep their order.
        chosen.sort_by(|a, b| self.key(*b).total_cmp(&self.key(*a)));
        chosen.truncate(IN_TURN);
        if !waiting.is_empty() {
            let before = if self.gained.is_empty() {
                "no optimizer has gained anything yet".to_owned()
            } else {
                format!("{} take turns", names(&chosen))
            };
            let waiting = names(&waiting);
            self.study
                .decide(format!("{before}; what is left also pays for those that were left out: {waiting}"));
        }
        chosen.into_iter().chain(waiting).collect()
    }

    /// Returns of how many equal parts of what is left one pays for a round of an optimizer: of two, or of one.
    fn parts_for(&self, arm: Arm) -> Option<usize> {
        let round = arm.round(self.val.len());
        [2, 1].into_iter().find(|parts| self.purse.share(&self.spent, *parts, 1).rollouts >= round)
    }
}
