//! `check`: verdicts without the images' bytes, and what a clip would need.

use super::SMALL;
use crate::support::{
    command::{BAD_INPUT, DONE, REFUSED},
    files::{end_picture, start_picture},
    node::{Node, Store},
};
use test_case::test_case;

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn a_verdict_has_its_reasons_and_an_estimate(store: Store) {
    let node = Node::start_with(store, &[]);
    let image = start_picture();
    let check = ["check", "--image", &image];
    let asked = [&check[..], &SMALL].concat();
    // What a clip takes is known from those that were made.
    node.run(&["watch", &node.submit(&SMALL)], DONE);

    node.run(&asked, DONE);
    let verdict = &node.ask(&[&asked[..], &["--end-image", &end_picture()]].concat())[0];
    assert_eq!(verdict["verdict"], "unlimited");
    let estimate = &verdict["estimate"];
    assert!(estimate["resources"]["stages"].as_object().is_some_and(|stages| !stages.is_empty()), "{verdict}");
    assert!(!estimate["wait_seconds"].is_null(), "{verdict}");

    let kling = node.run(&[&check[..], &["--model", "Kling"]].concat(), REFUSED).out;
    assert!(kling.contains("EXTERNAL_MODEL_NOT_COVERED"), "{kling}");
    let width = node.run(&[&check[..], &["--width", "7"]].concat(), BAD_INPUT).out;
    assert!(width.contains("width"), "{width}");
    node.stop();
}
