//! `submit` with images larger than a message, `watch` from any event, and previews in a file.

use super::SMALL;
use crate::support::{
    command::{BAD_INPUT, CANCELLED, DONE},
    files::{paths_in, start_picture, text},
    node::{MAY_BE_OCCUPIED, Node, Store},
    pictures::noise_png,
    process::Running,
};
use serde_json::Value;
use std::{fs, time::Duration};
use test_case::test_case;

/// Bytes of a message, at most; less than an image of noise has.
const SMALL_MESSAGES: &str = "limits.message_bytes=2097152";

fn number(event: &Value) -> u64 {
    event["number"].as_u64().unwrap_or_else(|| panic!("an event without number: {event}"))
}

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn images_larger_than_a_message_are_uploaded(store: Store) {
    let node = Node::start_with(store, &[SMALL_MESSAGES]);
    let large = node.folder().join("large.png");
    fs::write(&large, noise_png(1100)).unwrap();
    assert!(fs::metadata(&large).unwrap().len() > 2 << 20);
    let large = text(&large);
    let told = node.ask(&[&["submit", "--image", &large, "--end-image", &large, "--wait"], &SMALL[..]].concat());
    let last = &told[told.len() - 1];
    assert_eq!([&last["event"], &last["done"]["method"]], ["done", "start_end_frames"], "{last}");
    node.stop();
}

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn an_image_of_more_bytes_than_one_may_have_is_refused(store: Store) {
    let node = Node::start_with(store, &[SMALL_MESSAGES]);
    let too_large = node.folder().join("too-large.png");
    fs::write(&too_large, noise_png(3400)).unwrap();
    let refused = node.run(&[&["submit", "--image", &text(&too_large)], &SMALL[..]].concat(), BAD_INPUT);
    assert!(refused.err.contains("33554432"), "{}", refused.err);
    node.stop();
}

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn events_are_numbered_and_watched_from_any_of_them(store: Store) {
    let node = Node::start_with(store, &[]);
    let id = node.submit(&SMALL);
    let events = node.ask(&["watch", &id]);
    let numbers: Vec<u64> = events.iter().filter(|event| event["event"] != "place").map(number).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(events[events.len() - 1]["event"], "done");
    for seen in [1, numbers.len() / 2, numbers.len()] {
        let later = node.ask(&["watch", &id, "--resume-after", &seen.to_string()]);
        assert_eq!(later.iter().map(number).collect::<Vec<_>>(), numbers[seen..], "after {seen}");
    }
    let beyond = (numbers.len() + 1).to_string();
    let refused = node.run(&["watch", &id, "--resume-after", &beyond], BAD_INPUT);
    assert!(refused.err.contains("EVENT_OUT_OF_RANGE"), "{}", refused.err);
    node.stop();
}

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn the_latest_preview_is_in_a_file(store: Store) {
    let node = Node::start_with(store, &[MAY_BE_OCCUPIED]);
    // For seconds each is the latest, a thousand times: that of one of them is seen by whoever watches.
    let id = node.submit_slow(Duration::from_secs(4));
    let picture = text(&node.folder().join("now.png"));
    let mut running = Running::printing(node.client(&["watch", &id, "--json", "--preview", &picture]));
    running.await_line(r#""preview_bytes":"#);
    node.run(&["cancel", &id], DONE);
    assert_eq!(running.finish().0.code, Some(CANCELLED));

    let png = fs::read(&picture).unwrap();
    assert_eq!(png[..4], *b"\x89PNG");
    assert!(png.windows(7).any(|bytes| bytes == b"preview"), "it has no label");
    let beside = |path: &std::path::PathBuf| text(path).contains(".now.png");
    assert!(!paths_in(node.folder()).iter().any(beside), "something is left beside it");
    node.stop();
}

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn frames_are_the_same_with_previews(store: Store) {
    let mut node = Node::start_with(store, &[MAY_BE_OCCUPIED]);
    let size = ["--prompt", "A boat.", "--width=256", "--height=192", "--frames=17", "--seed=5"];
    let shape = [&size[..], &["--schedule=guided", "--steps=8"]].concat();
    let image = start_picture();
    let submit = [&["submit", "--image", &image], &shape[..]].concat();
    let frames = |last: &Value| last["done"]["mark"]["frames_sha256"].as_str().expect("a digest").to_owned();

    let without = node.ask(&[&submit[..], &["--wait"]].concat());
    assert!(without.iter().all(|event| event["preview_bytes"].is_null()), "nobody asked: {without:?}");

    // It waits until somebody watches: previews are made for those who look, whether or not they are seen in time.
    let blocking = node.occupy();
    let picture = text(&node.folder().join("now.png"));
    let with = [&submit[..], &["--json", "--preview", &picture]].concat();
    let mut running = Running::printing(node.client(&with));
    running.await_line(r#""event":"queued""#);
    node.run(&["cancel", &blocking], DONE);
    let (finished, told) = running.finish();
    assert_eq!(finished.code, Some(DONE), "{told:?}");
    let with: Value = serde_json::from_str(told.last().unwrap()).unwrap();
    assert_eq!(frames(&with), frames(&without[without.len() - 1]));
    node.stop();
}
