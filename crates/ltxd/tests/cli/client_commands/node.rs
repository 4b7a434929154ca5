//! `node`, and the operator's own name for a model.

use super::SMALL;
use crate::support::{
    command::{DONE, REFUSED},
    files::start_picture,
    node::{Node, Store},
};
use test_case::test_case;

const ALIAS: &str = "Carat Basic Video (LTX 2.3)";

#[test_case(Store::Own; "on a node alone")]
#[test_case(Store::Nats; "on a service")]
fn a_node_says_what_it_serves_and_knows_its_alias(store: Store) {
    let node = Node::start_with(store, &[&format!("aliases.{ALIAS}=ltx-2.3-tiny")]);
    let about = &node.ask(&["node"])[0];
    let models = about["models"].as_array().expect("models");
    let tiny = models.iter().find(|model| model["name"] == "ltx-2.3-tiny").expect("the tiny model");
    assert!(tiny["aliases"].as_array().is_some_and(|aliases| aliases.contains(&ALIAS.into())), "{about}");
    assert_eq!(tiny["loaded"], true);
    assert!(about["limits"]["calls_per_second"].as_f64() > Some(0.0), "{about}");
    assert!(node.run(&["node"], DONE).out.contains("ltx-2.3-tiny"));

    let image = start_picture();
    let submit = [&["submit", "--image", &image], &SMALL[..]].concat();
    let with_model = |name| [&submit[..], &["--model", name]].concat();
    let not_a_name = format!("Use {ALIAS}");
    node.run(&with_model(&not_a_name), REFUSED);
    node.run(&["watch", &node.submit(&SMALL)], DONE);
    let made = &node.ask(&with_model(ALIAS))[0];
    assert_eq!(made["model"], "ltx-2.3-tiny");
    assert!(made["predicted"]["stages"].as_object().is_some_and(|stages| !stages.is_empty()), "{made}");
    let refused = node.run(&with_model("ltx-2.3-dev"), REFUSED).err;
    assert!(refused.contains("the models that are loaded: ltx-2.3-tiny; name one of them"), "{refused}");
    node.stop();
}
