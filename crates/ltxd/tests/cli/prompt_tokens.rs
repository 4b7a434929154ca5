//! A prompt of 2,400 tokens, asked of a node with the tiny model's own tokenizer: refused before it is queued, as `generate` does.
//!
//! Must not know the tokenizer.

use crate::support::{
    command::BAD_INPUT,
    files::start_picture,
    node::{Node, Store},
};
use test_case::test_case;

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn a_prompt_of_too_many_tokens_is_refused_by_check_and_by_submit(store: Store) {
    let node = Node::start_with(store, &[]);
    let (long, image) = ("heron ".repeat(2400), start_picture());
    let refused = node.run(&["submit", "--image", &image, "--prompt", &long], BAD_INPUT);
    assert!(refused.err.contains("prompt: ") && refused.err.contains("1024"), "{}", refused.err);
    let judged = node.run(&["check", "--image", &image, "--prompt", &long], BAD_INPUT);
    assert!(judged.said().contains("1024") && judged.said().contains("prompt"), "{}", judged.said());
    assert!(node.ask(&["list"]).is_empty(), "nothing was queued");
    node.stop();
}
