//! `delete`: what waits has to be cancelled first, and what is gone is not found.

use super::SMALL;
use crate::support::{
    command::{BAD_INPUT, CANCELLED, DONE, NOT_FOUND},
    node::{MAY_BE_OCCUPIED, Node, Store},
};
use test_case::test_case;

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn what_waits_is_cancelled_first_and_what_is_gone_is_not_found(store: Store) {
    let mut node = Node::start_with(store, &[MAY_BE_OCCUPIED]);
    let done = node.submit(&SMALL);
    node.run(&["watch", &done], DONE);
    let blocking = node.occupy();
    let waiting = node.submit(&SMALL);
    let refused = node.run(&["delete", &waiting], BAD_INPUT).err;
    assert!(refused.contains("WRONG_STATE"), "{refused}");
    node.run(&["cancel", &waiting], DONE);
    node.run(&["watch", &waiting], CANCELLED);
    node.run(&["delete", &waiting, &done], DONE);
    node.run(&["get", &done], NOT_FOUND);
    node.run(&["delete", &done], NOT_FOUND);
    node.run(&["cancel", &blocking], DONE);
    node.stop();
}
