//! `submit` with images that are none: all that is wrong is told at once, whether an image travels in the request or before it.
//!
//! Must not know how images are decoded.

use super::SMALL;
use crate::support::{
    command::BAD_INPUT,
    files::{scratch, start_picture, text},
    node::Node,
};
use std::fs;

#[test]
fn images_that_are_none_are_told_with_everything_else() {
    let node = Node::start(&[]);
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
