//! What follows when something happens to a generation: its next state, what is noted of it, and the event that tells it.
//!
//! Must not know where any of it is stored. Every store asks here, so that a generation's life is the same in all of them.

use crate::{Change, EventKind, Failure, Finished, NotPossible, State};

/// What a decision looks at: a generation as its store has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Its state.
    pub(crate) state: State,
    /// Whether its client asked to stop it.
    pub(crate) cancel_requested: bool,
    /// How often it was started.
    pub(crate) attempts: u32,
    /// How far its saved latent was when the node last died under it.
    pub(crate) reached: u64,
    /// How often in a row the node has died under it without a new step.
    pub(crate) fruitless: u32,
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Ending {
    /// The outputs are complete.
    Done(Box<Finished>),
    /// It cannot be completed.
    Failed(Failure),
    /// It was told to stop.
    Stopped,
}

/// Something that happens to a generation.
#[derive(Debug, Clone, Copy)]
pub enum Happening<'a> {
    /// The device would take it.
    Start,
    /// Its attempt ended.
    Settle(&'a Ending),
    /// Its client wants it stopped.
    Cancel,
    /// A node that starts finds it running: the last one died under it.
    Recover {
        /// How far its saved latent is now.
        reached: u64,
        /// Deaths in a row without a new step after which it is given up.
        max_fruitless: u32,
    },
}

/// One thing that a store writes. All effects of a decision are written at once or not at all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect<'a> {
    /// It is in this state from now on. A final one also gets its time, and its images are needed no more.
    Enter(State),
    /// It has been started once more.
    CountAttempt,
    /// Its client asked to stop it.
    NoteCancel,
    /// How far it had got when the node died, and how often that was in vain.
    NoteDeath {
        /// The furthest that its saved latent has been.
        reached: u64,
        /// Deaths in a row without a new step.
        fruitless: u32,
    },
    /// What came of it.
    KeepOutcome(&'a Finished),
    /// Why it failed.
    KeepFailure(Failure),
    /// The event that tells its watchers.
    Tell(EventKind),
}

/// What follows from a happening. An empty list: nothing is to be written.
///
/// # Errors
/// The table of [`State::after`] has no such change.
pub(crate) fn decide<'a>(standing: Standing, happening: Happening<'a>) -> Result<Vec<Effect<'a>>, NotPossible> {
    let Standing { state, cancel_requested, .. } = standing;
    match happening {
        Happening::Start => {
            let running = state.after(Change::Start)?;
            let attempt = standing.attempts + 1;
            Ok(vec![Effect::Enter(running), Effect::CountAttempt, Effect::Tell(EventKind::Running { attempt })])
        }
        // A cancel that was acknowledged wins over everything else.
        Happening::Settle(_) if cancel_requested => cancelled(state),
        Happening::Settle(Ending::Done(finished)) => {
            let done = state.after(Change::Finish)?;
            Ok(vec![Effect::KeepOutcome(finished), Effect::Enter(done), Effect::Tell(EventKind::Done)])
        }
        Happening::Settle(Ending::Failed(failure)) => failed(state, failure.clone()),
        Happening::Settle(Ending::Stopped) => requeued(state),
        Happening::Cancel => cancel(standing),
        Happening::Recover { reached, max_fruitless } => {
            let fruitless = if reached > standing.reached { 0 } else { standing.fruitless + 1 };
            let noted = Effect::NoteDeath { reached: reached.max(standing.reached), fruitless };
            let then = match () {
                () if cancel_requested => cancelled(state),
                () if fruitless >= max_fruitless => failed(state, Failure::crashed(fruitless)),
                () => requeued(state),
            };
            Ok([vec![noted], then?].concat())
        }
    }
}

/// One that waits has ended then; one that runs has to be told.
fn cancel<'a>(standing: Standing) -> Result<Vec<Effect<'a>>, NotPossible> {
    let cancelled = cancelled(standing.state)?;
    let first = (!standing.cancel_requested).then_some(Effect::NoteCancel);
    let then = match standing.state {
        State::Queued => cancelled,
        _ if standing.cancel_requested => vec![],
        _ => vec![Effect::Tell(EventKind::Cancelling)],
    };
    Ok(first.into_iter().chain(then).collect())
}

fn cancelled<'a>(state: State) -> Result<Vec<Effect<'a>>, NotPossible> {
    Ok(vec![Effect::Enter(state.after(Change::Cancel)?), Effect::Tell(EventKind::Cancelled)])
}

fn failed<'a>(state: State, failure: Failure) -> Result<Vec<Effect<'a>>, NotPossible> {
    let failed = state.after(Change::Fail)?;
    Ok(vec![Effect::KeepFailure(failure.clone()), Effect::Enter(failed), Effect::Tell(EventKind::Failed(failure))])
}

fn requeued<'a>(state: State) -> Result<Vec<Effect<'a>>, NotPossible> {
    let waits = EventKind::Queued { position: 0, resumed: true, seconds_left: None };
    Ok(vec![Effect::Enter(state.after(Change::Requeue)?), Effect::Tell(waits)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureCode;

    fn standing(state: State, cancel_requested: bool) -> Standing {
        Standing { state, cancel_requested, attempts: 2, reached: 7, fruitless: 1 }
    }

    /// The state that a decision leads to; `None` where it stays.
    fn enters(effects: &[Effect<'_>]) -> Option<State> {
        effects.iter().find_map(|effect| if let Effect::Enter(state) = effect { Some(*state) } else { None })
    }

    #[test]
    fn a_start_counts_and_tells_the_attempt() {
        let effects = decide(standing(State::Queued, false), Happening::Start).unwrap();
        let told = Effect::Tell(EventKind::Running { attempt: 3 });
        assert_eq!(effects, [Effect::Enter(State::Running), Effect::CountAttempt, told]);
        for state in [State::Running, State::Done, State::Failed, State::Cancelled] {
            assert!(decide(standing(state, false), Happening::Start).is_err());
        }
    }

    #[test]
    fn an_acknowledged_cancel_wins_over_every_ending() {
        let failure = Failure { code: FailureCode::Engine, message: "x".into() };
        for ending in [Ending::Failed(failure), Ending::Stopped] {
            let effects = decide(standing(State::Running, true), Happening::Settle(&ending)).unwrap();
            assert_eq!(effects, [Effect::Enter(State::Cancelled), Effect::Tell(EventKind::Cancelled)]);
        }
        let stopped = decide(standing(State::Running, false), Happening::Settle(&Ending::Stopped)).unwrap();
        assert_eq!(enters(&stopped), Some(State::Queued));
    }

    #[test]
    fn a_cancel_ends_what_waits_and_tells_what_runs_once() {
        let queued = decide(standing(State::Queued, false), Happening::Cancel).unwrap();
        assert_eq!(queued[0], Effect::NoteCancel);
        assert_eq!(enters(&queued), Some(State::Cancelled));
        let running = decide(standing(State::Running, false), Happening::Cancel).unwrap();
        assert_eq!(running, [Effect::NoteCancel, Effect::Tell(EventKind::Cancelling)]);
        assert_eq!(decide(standing(State::Running, true), Happening::Cancel).unwrap(), []);
        assert!(decide(standing(State::Done, false), Happening::Cancel).is_err());
    }

    #[test]
    fn deaths_without_a_new_step_are_counted_and_given_up() {
        let recover = |reached| Happening::Recover { reached, max_fruitless: 2 };
        let again = decide(standing(State::Running, false), recover(8)).unwrap();
        assert_eq!((&again[0], enters(&again)), (&Effect::NoteDeath { reached: 8, fruitless: 0 }, Some(State::Queued)));
        let given_up = decide(standing(State::Running, false), recover(7)).unwrap();
        assert_eq!(given_up[0], Effect::NoteDeath { reached: 7, fruitless: 2 });
        assert_eq!(enters(&given_up), Some(State::Failed));
        let cancelled = decide(standing(State::Running, true), recover(7)).unwrap();
        assert_eq!(enters(&cancelled), Some(State::Cancelled));
    }
}
