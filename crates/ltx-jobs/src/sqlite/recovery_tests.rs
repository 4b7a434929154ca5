//! What a start does with what it finds running.

use super::{SqliteStore, test_records::running};
use crate::{
    ClientId, FailureCode, GenerationId, GenerationRecord, State,
    clock::Now,
    ports::{Changes, Records},
};

const NOW: Now = Now { wall_ms: 1, age_ms: 1 };

struct Bed {
    _folder: tempfile::TempDir,
    store: SqliteStore,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("jobs.sqlite"), Box::new(|_| {})).unwrap();
        Self { _folder: folder, store }
    }

    fn running(&self) -> GenerationId {
        running(&self.store, NOW)
    }

    /// The node dies, with the latent at `reached`, and starts again.
    fn crash(&self, id: GenerationId, reached: u64) -> GenerationRecord {
        self.store.recover(3, &|_| reached, NOW).unwrap();
        let record = self.store.any_generation(id).unwrap();
        if record.state == State::Queued {
            self.store.start(id, NOW).unwrap().unwrap();
        }
        record
    }
}

#[test]
fn a_generation_that_kills_the_node_is_given_up() {
    let bed = Bed::new();
    let id = bed.running();
    assert_eq!(bed.crash(id, 0).state, State::Queued);
    assert_eq!(bed.crash(id, 0).state, State::Queued);
    let record = bed.crash(id, 0);
    assert_eq!((record.state, record.failure.unwrap().code), (State::Failed, FailureCode::Crashed));
}

#[test]
fn one_that_gets_on_is_not() {
    let bed = Bed::new();
    let id = bed.running();
    for crash in 0..20 {
        assert_eq!(bed.crash(id, crash / 2).state, State::Queued);
    }
}

#[test]
fn an_acknowledged_cancel_survives_the_crash() {
    let bed = Bed::new();
    let id = bed.running();
    bed.store.cancel(&ClientId::new("a").unwrap(), id, NOW).unwrap();
    assert_eq!(bed.crash(id, 5).state, State::Cancelled);
    assert_eq!(bed.store.start(id, NOW).unwrap(), None);
}
