//! The bar of `ltxd watch` on a terminal: place, stages with seconds left, and the end.
//!
//! Must not know how often it is drawn. What is watched goes on until the bar was seen.

use crate::support::{
    command::{CANCELLED, DONE},
    node::{MAY_BE_OCCUPIED, Node, Store},
    terminal::{COLUMNS, Terminal},
};
use test_case::test_case;

const CLIP: [&str; 5] = ["--prompt", "A wave.", "--width=512", "--height=384", "--frames=17"];

fn assert_fits(shown: &[String]) {
    let bars = shown.iter().filter(|part| part.starts_with("denoising"));
    bars.for_each(|bar| assert!(bar.chars().count() <= COLUMNS, "a line too long: {bar}"));
}

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn it_shows_stage_step_and_seconds_left(store: Store) {
    let mut node = Node::start_with(store, &[MAY_BE_OCCUPIED]);
    // What is left is known from a clip that was made by the same schedule.
    node.run(&["watch", &node.submit(&[&CLIP[..], &["--schedule=guided", "--steps=2"]].concat())], DONE);
    let long = node.occupy();
    let terminal = Terminal::start(node.client(&["watch", &long]));
    terminal.await_shown(r"^denoising +.*\d/\d.*left in all");
    node.run(&["cancel", &long], DONE);
    let (finished, shown) = terminal.finish();
    assert_eq!(finished.code, Some(CANCELLED), "{shown:?}");
    assert!(shown.iter().any(|part| part.trim() == "cancelled"), "{shown:?}");
    assert_fits(&shown);
    node.stop();
}

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn it_shows_what_waits_and_ends_with_the_mark(store: Store) {
    let mut node = Node::start_with(store, &[MAY_BE_OCCUPIED]);
    let blocking = node.occupy();
    let id = node.submit(&CLIP);
    let terminal = Terminal::start(node.client(&["watch", &id]));
    terminal.await_shown("^queued, 0 before it");
    node.run(&["cancel", &blocking], DONE);
    let (finished, shown) = terminal.finish();
    assert_eq!(finished.code, Some(DONE), "{shown:?}");
    assert!(shown.iter().any(|part| part.contains("UNLIMITED")), "{shown:?}");
    assert_fits(&shown);
    node.stop();
}
