//! A record for tests of the store.

use super::SqliteStore;
use crate::{
    ClientId, GenerationId, Prediction,
    clock::Now,
    ports::{Changes, NewGeneration},
};
use ltx_types::Method;

/// A generation that was submitted and started.
pub(super) fn running(store: &SqliteStore, now: Now) -> GenerationId {
    let id = GenerationId::new();
    let request = serde_json::from_str(include_str!("../../tests/data/request-1.json")).unwrap();
    let new = NewGeneration {
        id,
        client: &ClientId::new("a").unwrap(),
        request_id: None,
        body_sha256: "x",
        batch: None,
        request: &request,
        images: &[],
        method: Method::ImageToVideo,
        model: "m",
        predicted: Prediction { peak_bytes: 1, seconds: None, stages: Vec::new(), counted: false },
        position: 0,
        wait_seconds: None,
        trace: None,
        faults: None,
    };
    store.insert(&[new], now).unwrap();
    assert_eq!(store.start(id, now).unwrap(), Some(1));
    id
}
