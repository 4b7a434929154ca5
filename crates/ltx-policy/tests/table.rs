//! The policy table, row by row, each judged by `admit`.
//!
//! Must not know how the rules are written.

mod common;

use common::{draft, naming, node, reasons, remedy};
use ltx_policy::{Agent, Ask, Audio, Reason, admit};
use ltx_types::Method;

const SAY_LTX: &str = "“Use Carat Basic Video (LTX 2.3)”";

fn agent(agent: Agent) -> Ask {
    Ask { agent: Some(agent), ..Ask::default() }
}

#[test]
fn row_01_one_image_is_unlimited() {
    assert_eq!(admit(&Ask::default(), draft(&[0]), &node()).unwrap().method(), Method::ImageToVideo);
}

#[test]
fn row_02_start_and_end_images_are_unlimited() {
    for images in [&[0, 16], &[16, 0]] {
        assert_eq!(admit(&Ask::default(), draft(images), &node()).unwrap().method(), Method::StartEndFrames);
    }
}

#[test]
fn row_03_every_other_method_is_refused() {
    for images in [&[][..], &[16], &[0, 8], &[0, 8, 16], &[0, 0], &[0, 4, 8, 16]] {
        assert_eq!(reasons(images, &Ask::default()), [Reason::NotAnUnlimitedMethod], "{images:?}");
    }
    let video = Ask { video_input: true, ..Ask::default() };
    assert_eq!(reasons(&[0], &video), [Reason::NotAnUnlimitedMethod]);
    assert_eq!(reasons(&[], &video), [Reason::NotAnUnlimitedMethod]);
    assert_eq!(remedy(&[], &Ask::default()), "attach an image, or a start and an end image");
}

#[test]
fn row_04_editing_elements_is_refused() {
    let ask = Ask { element_edit: true, ..Ask::default() };
    assert_eq!(reasons(&[0], &ask), [Reason::ElementEditingNotSupported]);
    assert_eq!(remedy(&[0], &ask), "generate again from an image");
}

#[test]
fn row_05_audio_is_refused() {
    for audio in [Audio::Track, Audio::SoundEffects, Audio::BackgroundMusic, Audio::Input] {
        let ask = Ask { audio: vec![audio], ..Ask::default() };
        assert_eq!(reasons(&[0], &ask), [Reason::AudioNotCovered], "{audio:?}");
        assert_eq!(remedy(&[0], &ask), "ask without audio");
    }
}

#[test]
fn row_06_external_models_are_refused() {
    for model in ["Kling 2.1", "Google Veo", "veo3", "SEEDANCE 2.0 Fast", "Hailuo"] {
        assert_eq!(reasons(&[0], &naming(model)), [Reason::ExternalModelNotCovered], "{model}");
        assert_eq!(remedy(&[0], &naming(model)), format!("say {SAY_LTX}"));
    }
}

#[test]
fn row_07_agent_1_without_a_model_is_unlimited() {
    assert_eq!(reasons(&[0], &agent(Agent::Agent1)), []);
}

#[test]
fn row_08_agent_2_without_a_model_is_refused() {
    assert_eq!(reasons(&[0], &agent(Agent::Agent2)), [Reason::ExternalModelNotCovered]);
    assert_eq!(remedy(&[0], &agent(Agent::Agent2)), format!("request LTX explicitly: {SAY_LTX}"));
}

#[test]
fn row_09_agent_2_with_low_credits_is_refused_whatever_the_model() {
    let low = |model: Option<&str>| Ask {
        agent: Some(Agent::Agent2),
        credits_low: Some(true),
        model: model.map(str::to_owned),
        ..Ask::default()
    };
    assert_eq!(reasons(&[0], &low(Some("LTX 2.3"))), [Reason::LowCredits]);
    assert_eq!(reasons(&[0], &low(Some("Kling"))), [Reason::ExternalModelNotCovered, Reason::LowCredits]);
    assert_eq!(reasons(&[0], &low(None)), [Reason::ExternalModelNotCovered, Reason::LowCredits]);
    let remedy = remedy(&[0], &low(Some("ltx")));
    assert_eq!(remedy, "use Agent 1.0 (web: the v1 tab; app: Home → Menu → Agent 2.0 → Agent 1.0), or top up");
}

#[test]
fn row_10_agent_2_naming_ltx_is_unlimited() {
    for credits_low in [None, Some(false)] {
        let ask = Ask { agent: Some(Agent::Agent2), credits_low, ..naming("Use Carat Basic Video (LTX 2.3)") };
        assert_eq!(reasons(&[0], &ask), []);
    }
}

#[test]
fn row_11_agent_1_with_low_credits_is_unlimited() {
    let ask = Ask { credits_low: Some(true), ..agent(Agent::Agent1) };
    assert_eq!(reasons(&[0, 16], &ask), []);
}

#[test]
fn row_12_a_direct_client_is_unlimited() {
    for credits_low in [None, Some(false), Some(true)] {
        assert_eq!(reasons(&[0], &Ask { credits_low, ..Ask::default() }), []);
        assert_eq!(reasons(&[0], &Ask { credits_low, ..naming("carat video") }), []);
    }
}

#[test]
fn row_13_a_plan_without_the_benefit_is_refused() {
    let plan = |plan: &str| Ask { plan: Some(plan.to_owned()), ..Ask::default() };
    for covered in ["Premium", "pro", " BUSINESS "] {
        assert_eq!(reasons(&[0], &plan(covered)), [], "{covered}");
    }
    for other in ["Free", "Professional", ""] {
        assert_eq!(reasons(&[0], &plan(other)), [Reason::PlanNotCovered], "{other}");
    }
    assert_eq!(remedy(&[0], &plan("Free")), "the plans that carry it: Premium, Pro, Business");
    let only_team = node().with_plans(["Team".to_owned()]);
    assert!(admit(&plan("team"), draft(&[0]), &only_team).is_ok());
    assert!(admit(&plan("Premium"), draft(&[0]), &only_team).is_err());
}

#[test]
fn row_14_an_unknown_model_is_refused() {
    for model in ["wan", "ltx 9", "", "…"] {
        assert_eq!(reasons(&[0], &naming(model)), [Reason::UnknownModel], "{model}");
    }
    assert_eq!(remedy(&[0], &naming("wan")), "the names it knows: ltx-2.3-dev, ltx-2.3-distilled");
}

#[test]
fn row_15_a_known_model_that_is_not_loaded_is_refused() {
    assert_eq!(reasons(&[0], &naming("LTX dev")), [Reason::ModelNotLoaded]);
    let said = remedy(&[0], &naming("LTX dev"));
    assert!(said.starts_with("the models that are loaded: ltx-2.3-distilled; name one of them"), "{said}");
    let loading = node().with_loaded([]);
    let refusal = admit(&Ask::default(), draft(&[0]), &loading).unwrap_err();
    assert_eq!(refusal.reason(), Reason::ModelNotLoaded);
}
