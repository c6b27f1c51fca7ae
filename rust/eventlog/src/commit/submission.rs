//! A command as writers hand it to each other.

use super::apply::apply;
use crate::command::{COMMANDS, Command, Reply};
use crate::error::Result;
use crate::projection::FOLD_VERSION;
use crate::store::{Outcome, Submission, Transaction};

/// What a leader has to share with whose commands it runs: the bytes of commands and replies, how they
/// are decided, and how their records are folded.
pub const DIALECT: u64 = (COMMANDS as u64) << 32 | FOLD_VERSION as u64;

/// A command of this process.
pub struct Submitted<'c>(pub &'c Command);

impl Submission for Submitted<'_> {
    type Reply = Reply;

    fn command(&self) -> Vec<u8> {
        rmp_serde::to_vec(self.0).expect("a command encodes")
    }

    fn run(&self, transaction: &mut Transaction<'_>) -> Result<Outcome<Reply>> {
        apply(transaction, self.0)
    }

    fn reply(&self, words: &[u8]) -> Reply {
        rmp_serde::from_slice(words).expect("a leader of the same dialect encodes replies")
    }
}
