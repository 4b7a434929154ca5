//! How far a node is on its way from serving to its end, told to whoever waits for it.
//!
//! Must not know what ends in which phase.

use tokio::sync::watch::Sender;

/// What a node does now. The phases follow one another and none comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Everything is served.
    Serving,
    /// Nothing more is admitted and what runs is saved; calls are answered.
    Stopping,
    /// Faces take no more calls and close.
    Closing,
}

/// The phase of a node.
pub(crate) struct Life(Sender<Phase>);

impl Life {
    /// The life of a node that serves.
    pub(crate) fn new() -> Self {
        Self(Sender::new(Phase::Serving))
    }

    /// Goes on to a phase; never back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = *now < phase;
            *now = phase.max(*now);
            later
        });
    }

    /// Whether the node is in this phase or a later one.
    pub(crate) fn is_in(&self, phase: Phase) -> bool {
        *self.0.borrow() >= phase
    }

    /// Waits until the node is in this phase or a later one.
    pub(crate) async fn reaches(&self, phase: Phase) {
        // The sender is part of `self`, so it is there as long as this waits.
        let _ = self.0.subscribe().wait_for(|now| *now >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_go_forward_only() {
        let life = Life::new();
        assert!(!life.is_in(Phase::Stopping));
        life.enter(Phase::Closing);
        life.enter(Phase::Stopping);
        assert!(life.is_in(Phase::Stopping) && life.is_in(Phase::Closing));
        life.reaches(Phase::Stopping).await;
    }
}
