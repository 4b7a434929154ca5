//! The states of a generation, and the one table of what may follow what.
//!
//! Must not know where states are stored.

use serde::{Deserialize, Serialize};

/// Where a generation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Stored and waiting.
    Queued,
    /// On the device.
    Running,
    /// Its outputs are there.
    Done,
    /// It ended without outputs; the failure says why.
    Failed,
    /// Its client stopped it.
    Cancelled,
}

/// What can happen to a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The device takes it.
    Start,
    /// Its outputs are complete.
    Finish,
    /// It cannot be completed.
    Fail,
    /// Its client stops it.
    Cancel,
    /// The node stopped under it, cleanly or not; it will go on from its saved latent.
    Requeue,
}

/// A change that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{change:?} is not possible in state {}", from.as_str())]
pub struct NotPossible {
    /// The state.
    pub from: State,
    /// The change.
    pub change: Change,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// The state after a change.
    ///
    /// # Errors
    /// The table has no such change.
    pub fn after(self, change: Change) -> Result<Self, NotPossible> {
        match (self, change) {
            (Self::Queued, Change::Start) => Ok(Self::Running),
            (Self::Queued | Self::Running, Change::Cancel) => Ok(Self::Cancelled),
            (Self::Running, Change::Finish) => Ok(Self::Done),
            (Self::Running, Change::Fail) => Ok(Self::Failed),
            (Self::Running, Change::Requeue) => Ok(Self::Queued),
            _ => Err(NotPossible { from: self, change }),
        }
    }

    /// Whether nothing can follow.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }

    /// The stored and shown name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Done => "DONE",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_this_and_nothing_more() {
        use Change::{Cancel, Fail, Finish, Requeue, Start};
        let possible = [
            (State::Queued, Start, State::Running),
            (State::Queued, Cancel, State::Cancelled),
            (State::Running, Finish, State::Done),
            (State::Running, Fail, State::Failed),
            (State::Running, Cancel, State::Cancelled),
            (State::Running, Requeue, State::Queued),
        ];
        for from in State::ALL {
            assert_eq!(State::parse(from.as_str()), Some(from));
            for change in [Start, Finish, Fail, Cancel, Requeue] {
                let expected = possible.iter().find(|row| (row.0, row.1) == (from, change)).map(|row| row.2);
                assert_eq!(from.after(change).ok(), expected, "{from:?} {change:?}");
                assert!(!(from.is_final() && expected.is_some()));
            }
        }
    }
}
