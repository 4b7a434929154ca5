//! `list`: every generation once, the newest first, over pages of 100; filters among mixed methods; a table for people.

use super::SMALL;
use crate::support::{
    command::{CANCELLED, DONE},
    files::{end_picture, start_picture},
    node::{MAY_BE_OCCUPIED, Node, Store},
};
use ltx_proto::v1::{
    CreateGenerationRequest, GenerationSpec, Image, generation_service_client::GenerationServiceClient,
    generation_spec::Images, image::Source,
};
use regex::Regex;
use serde_json::Value;
use std::fs;
use test_case::test_case;

const MANY: usize = 130;

/// As many as two pages take, by the contract itself: a process for each would take longer than all else here.
fn create_many(node: &Node) -> Vec<String> {
    let image = Image { source: Some(Source::Data(fs::read(start_picture()).unwrap().into())), ..Image::default() };
    let spec = GenerationSpec {
        prompt: "A cloud.".into(),
        images: Some(Images::Image(image)),
        width: Some(64),
        height: Some(64),
        frames: Some(9),
        ..GenerationSpec::default()
    };
    let request = CreateGenerationRequest { request_id: String::new(), spec: Some(spec), ..Default::default() };
    let address = node.address().to_owned();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut client = GenerationServiceClient::connect(address).await.unwrap();
        let mut made = Vec::new();
        for _ in 0..MANY {
            let answer = client.create_generation(request.clone()).await.unwrap().into_inner();
            made.push(answer.generation.unwrap().id);
        }
        made
    })
}

fn ids(listed: &[Value]) -> Vec<&str> {
    listed.iter().map(|generation| generation["id"].as_str().expect("an id")).collect()
}

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn lists_have_every_generation_once_and_filters(store: Store) {
    let mut node = Node::start_with(store, &[MAY_BE_OCCUPIED]);
    let ends = node.submit(&[&["--end-image", &end_picture()], &SMALL[..]].concat());
    let other = node.submit(&SMALL);
    for id in [&ends, &other] {
        node.run(&["watch", id], DONE);
    }
    // While the device has other work, what comes now waits, and is cancelled before it begins.
    let blocking = node.occupy();
    let made = create_many(&node);
    let all: Vec<&str> = std::iter::once(&blocking).chain(&made).map(String::as_str).collect();
    node.run(&[&["cancel"], &all[..]].concat(), DONE);
    node.run(&["watch", &blocking], CANCELLED);

    let listed = node.ask(&["list", "--limit", "0"]);
    let newest_first: Vec<&str> = [&ends, &other].into_iter().map(String::as_str).chain(all).rev().collect();
    assert_eq!(ids(&listed), newest_first);
    assert_eq!(ids(&node.ask(&["list", "--method", "start_end_frames"])), [&ends]);
    let done = node.ask(&["list", "--state", "done", "--limit", "2"]);
    assert_eq!(ids(&done), [&other, &ends]);
    assert!(done.iter().all(|generation| generation["state"] == "done"), "{done:?}");
    assert_eq!(node.ask(&["list", "--state", "cancelled", "--limit", "0"]).len(), MANY + 1);

    let table = node.run(&["list", "--limit", "2"], DONE).out;
    let rows: Vec<&str> = table.lines().collect();
    let column = |pattern: &str, row: &str| Regex::new(pattern).unwrap().find(row).map(|found| found.start());
    assert_eq!(rows.len(), 3, "{table}");
    assert_eq!(column("STATE", rows[0]), column("cancelled|done", rows[1]), "{table}");
    assert!(column("STATE", rows[0]).is_some(), "{table}");
    node.stop();
}
