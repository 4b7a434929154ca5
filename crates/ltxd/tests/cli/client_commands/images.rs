//! `submit` with images that are none: all that is wrong is told at once, whether an image travels in the request or before it. And
//! with one of which something is to be said.
//!
//! Must not know how images are decoded.

use super::SMALL;
use crate::support::{
    command::{BAD_INPUT, DONE},
    files::{scratch, start_picture, text},
    node::{Node, Store},
    pictures::adobe_png,
};
use std::fs;
use test_case::test_case;

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn images_that_are_none_are_told_with_everything_else(store: Store) {
    let node = Node::start_with(store, &[]);
    let folder = scratch();
    let [small, large] = [("small.png", 5), ("large.png", 3 << 20)].map(|(name, length)| {
        let path = folder.path().join(name);
        fs::write(&path, vec![b'x'; length]).expect("room for a file");
        text(&path)
    });
    let (good, start, end) = (start_picture(), "start_end_images.start", "start_end_images.end");
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--image", &small, "--fps", "0"], &["fps", "image"]),
        (&["--image", &large, "--fps", "0"], &["fps", "image"]),
        (&["--image", &large, "--end-image", &large], &[end, start]),
        (&["--image", &small, "--end-image", &good, "--fps", "0"], &["fps", start]),
        (&["--image", &good, "--end-image", &large, "--fps", "0"], &["fps", end]),
    ];
    for (flags, expected) in cases {
        let refused = node.run(&[&["submit", "--json"], flags, &SMALL].concat(), BAD_INPUT).json();
        let violations = refused["violations"].as_array().unwrap_or_else(|| panic!("{refused}"));
        let mut fields: Vec<_> = violations.iter().filter_map(|violation| violation["field"].as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, expected, "{refused}");
        let said = refused.to_string();
        assert!(said.contains("bytes from the request) is not an image"), "{said}");
    }
    node.stop();
}

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn what_is_to_be_said_of_images_is_said(store: Store) {
    let node = Node::start_with(store, &[]);
    let end = node.folder().join("end.png");
    fs::write(&end, adobe_png()).expect("room for a file");
    let (start, end) = (start_picture(), text(&end));
    let words = ["submit", "--image", &start, "--end-image", &end, "--request-id", "once"];
    let words = [&words[..], &SMALL].concat();
    let said = node.run(&words, DONE).err;
    assert!(
        said.contains("start_end_images.end states Adobe RGB") && !said.contains("start_end_images.start"),
        "{said}"
    );
    assert!(!node.run(&words, DONE).err.contains("Adobe"), "it came before");
    node.stop();
}
