//! The flows that shipped manifests state.

use ltx_catalog::{Manifest, ModelLibrary};
use ltx_types::{Defaults, Flow, FramePosition, ImageInput, ImageSource, Overrides, Schedule, Stages, Strength};
use std::path::Path;

fn shipped() -> Vec<Manifest> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    ModelLibrary::open(&folder).unwrap().manifests().to_vec()
}

#[test]
fn every_manifest_whose_defaults_are_its_authors_flow_states_it() {
    // One pass is none of its authors' flows; theirs is asked for by name.
    let without = "ltxv-0.9.8-13b-dev";
    for Manifest { name, files, defaults, .. } in shipped().into_iter().filter(|one| one.name != without) {
        let published = files.checkpoint.source.is_some();
        let stated = defaults.flow;
        assert!(stated.is_some() || !published, "{name} states no flow");
        let of_schedule = if defaults.schedule == Schedule::Distilled { Flow::Distilled } else { Flow::Dev };
        assert!(stated.is_none_or(|flow| flow == of_schedule || flow == Flow::Hq), "{name}");
    }
}

#[test]
fn a_flow_that_a_manifest_states_changes_nothing_but_the_mark() {
    let image =
        |position| ImageInput { source: ImageSource::Path("image.png".into()), position, strength: Strength::FULL };
    for Manifest { name, defaults, .. } in shipped() {
        let Some(flow) = defaults.flow.filter(|flow| *flow != Flow::Hq) else { continue };
        let bare = Defaults { flow: None, ..defaults.clone() };
        let other = if defaults.schedule == Schedule::Distilled { Schedule::Guided } else { Schedule::Distilled };
        for (said, has) in [
            (Overrides::default(), Some(flow)),
            (Overrides { stages: Some(defaults.stages), ..Overrides::default() }, Some(flow)),
            (Overrides { schedule: Some(defaults.schedule), frames: Some(9), ..Overrides::default() }, Some(flow)),
            (Overrides { schedule: Some(other), stages: Some(Stages::One), ..Overrides::default() }, None),
        ] {
            let filled = |defaults: &Defaults| {
                let images = vec![image(FramePosition::First), image(FramePosition::Last)];
                defaults.fill(said.clone(), "A lake".into(), images)
            };
            let mut found = filled(&defaults);
            assert_eq!(found.flow.take(), has, "{name}");
            assert_eq!(found, filled(&bare), "{name}");
        }
    }
}
