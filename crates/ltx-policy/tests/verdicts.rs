//! What holds across the rows: order, precedence, the dry run, judging again, and what cannot be forged.
//!
//! Must not know how the rules are written.

mod common;

use common::{draft, listed, naming, node, reasons};
use ltx_policy::{
    Admitted, Agent, Ask, Audio, Eligibility, KnownModel, ModelIdentity, ModelNames, PolicyConfig, Reason,
    StoredRequest, UsageMark, WeightFingerprint, admit, readmit, refuse_edit_elements, refuse_generate_audio,
};
use ltx_types::{Generation, GenerationDraft, ImageSource, ModelRules, UnixMillis};
use serde::de::DeserializeOwned;

/// Asks for everything that can be refused at once.
fn everything() -> Ask {
    Ask {
        agent: Some(Agent::Agent2),
        credits_low: Some(true),
        plan: Some("Free".into()),
        model: Some("Veo".into()),
        audio: vec![Audio::BackgroundMusic, Audio::SoundEffects],
        video_input: true,
        element_edit: true,
    }
}

#[test]
fn every_reason_that_holds_is_listed_in_table_order() {
    let all = Reason::ALL;
    assert_eq!(reasons(&[], &everything()), all[..6]);
    assert_eq!(reasons(&[0], &Ask { video_input: false, ..everything() }), all[1..6]);
    let unknown = Ask { model: Some("wan".into()), ..everything() };
    assert_eq!(reasons(&[], &unknown), [&all[..3], &all[4..7]].concat());
    let not_loaded = Ask { model: Some("LTX dev".into()), ..everything() };
    assert_eq!(reasons(&[], &not_loaded), [&all[..3], &all[4..6], &all[7..]].concat());
    let refusal = admit(&everything(), draft(&[]), &node()).unwrap_err();
    assert_eq!(refusal.reason(), Reason::NotAnUnlimitedMethod);
    assert!(all.is_sorted());
}

#[test]
fn policy_speaks_before_the_fields_do() {
    let bad_size = GenerationDraft { width: 65, ..draft(&[0]) };
    let audio = Ask { audio: vec![Audio::Track], ..Ask::default() };
    assert_eq!(admit(&audio, bad_size.clone(), &node()).unwrap_err().reason(), Reason::AudioNotCovered);
    let admitted = admit(&Ask::default(), bad_size, &node()).unwrap();
    let fields = |admitted: Admitted<GenerationDraft>| {
        let faults = admitted.check(&ModelRules::LTX).unwrap_err();
        faults.iter().map(|fault| fault.field).collect::<Vec<_>>()
    };
    assert_eq!(fields(admitted), ["width"]);
    // Too short a clip for two images is a wrong field, not another method.
    for frames in [0, 1] {
        let short = GenerationDraft { frames, ..draft(&[0, 1]) };
        assert_eq!(fields(admit(&Ask::default(), short, &node()).unwrap()), ["frames"]);
    }
}

#[test]
fn an_external_name_wins_over_an_ltx_one() {
    for model in ["LTX 2.3, or Kling", "Seedance like LTX", "Carat Basic Video (Veo 3)"] {
        assert_eq!(reasons(&[0], &naming(model)), [Reason::ExternalModelNotCovered], "{model}");
    }
}

#[test]
fn the_prompt_is_never_parsed() {
    assert!(draft(&[0]).prompt.contains("Seedance") && draft(&[0]).prompt.contains("music"));
    assert_eq!(reasons(&[0], &Ask::default()), []);
    let asks_for_ltx = GenerationDraft { prompt: "Use Carat Basic Video (LTX 2.3)".into(), ..draft(&[0]) };
    let agent_2 = Ask { agent: Some(Agent::Agent2), ..Ask::default() };
    assert!(admit(&agent_2, asks_for_ltx, &node()).is_err());
}

#[test]
fn a_loaded_model_answers_first_to_a_shared_name() {
    let known = |name: &str| KnownModel::new(name, vec!["ltx".into()], "ltx-2.3").unwrap();
    let names = ModelNames::new(vec![known("big"), known("small")], []);
    let model = |config: &PolicyConfig, ask: &Ask| {
        admit(ask, draft(&[0]), config).map(|admitted| admitted.model().map(str::to_owned))
    };
    let small = PolicyConfig::new(names.clone()).with_loaded(["small".to_owned()]);
    assert_eq!(model(&small, &naming("LTX")), Ok(Some("small".into())));
    assert_eq!(model(&small, &Ask::default()), Ok(Some("small".into())));
    let all = PolicyConfig::new(names);
    assert_eq!(model(&all, &naming("LTX")), Ok(Some("big".into())));
    assert_eq!(model(&all, &Ask::default()), Ok(None));
}

#[test]
fn the_dry_run_says_what_admission_would() {
    for (images, ask) in [(&[0][..], Ask::default()), (&[0, 16], naming("Kling")), (&[], everything())] {
        let dry = Eligibility::of(&ask, &draft(images), &node());
        let admission = admit(&ask, draft(images), &node());
        assert_eq!(dry.refusal(), admission.as_ref().err());
        assert_eq!(dry.method(), admission.as_ref().ok().map(Admitted::method));
        assert_eq!(dry.model(), admission.as_ref().ok().and_then(Admitted::model));
        assert_eq!(dry.is_unlimited(), admission.is_ok());
    }
    assert_eq!(
        Eligibility::of(&Ask::default(), &draft(&[0, 16]), &node()).sentence(),
        "This is unlimited: a video from a start and an end image with LTX (ltx-2.3-distilled). No credits are deducted."
    );
    assert_eq!(
        Eligibility::of(&naming("kling"), &draft(&[]), &node()).sentence(),
        "This is not unlimited, and nothing was deducted: text alone is not one of the two unlimited methods. What to \
         do: attach an image, or a start and an end image. Also: Kling is not an LTX model; it is not covered and would \
         deduct credits. What to do: say “Use Carat Basic Video (LTX 2.3)”."
    );
}

#[test]
fn the_excluded_operations_are_always_refused() {
    assert_eq!(listed(&refuse_edit_elements(&Ask::default(), &node())), [Reason::ElementEditingNotSupported]);
    assert_eq!(listed(&refuse_generate_audio(&Ask::default(), &node())), [Reason::AudioNotCovered]);
    assert_eq!(listed(&refuse_edit_elements(&everything(), &node())), Reason::ALL[1..6]);
    let sound = Ask { element_edit: false, ..everything() };
    assert_eq!(listed(&refuse_generate_audio(&sound, &node())), Reason::ALL[2..6]);
    let asked = Ask { audio: vec![Audio::Track], ..Ask::default() };
    let create = admit(&asked, draft(&[0]), &node()).unwrap_err();
    assert_eq!(refuse_generate_audio(&asked, &node()), create);
}

#[test]
fn a_stored_request_is_judged_again() {
    let ask = Ask { agent: Some(Agent::Agent1), credits_low: Some(true), ..naming("LTX 2.3") };
    let admitted = admit(&ask, draft(&[0, 16]), &node()).unwrap();
    let json = serde_json::to_string(&admitted.to_stored()).unwrap();
    let stored: StoredRequest = serde_json::from_str(&json).unwrap();
    assert_eq!((&stored.ask, &stored.draft), (&ask, admitted.request()));
    let again = readmit(stored.clone(), &node()).unwrap();
    assert_eq!((again.method(), again.model()), (admitted.method(), admitted.model()));

    let gone = node().with_loaded(["ltx-2.3-dev".to_owned()]);
    assert_eq!(readmit(stored.clone(), &gone).unwrap_err().reason(), Reason::ModelNotLoaded);
    let forged = StoredRequest { ask: Ask { audio: vec![Audio::Track], ..ask }, ..stored.clone() };
    assert_eq!(readmit(forged, &node()).unwrap_err().reason(), Reason::AudioNotCovered);
    let forged = StoredRequest { draft: draft(&[]), ..stored };
    assert_eq!(readmit(forged, &node()).unwrap_err().reason(), Reason::NotAnUnlimitedMethod);
}

#[test]
fn a_restart_keeps_the_model_that_was_given() {
    let both = |first: &str, second: &str| node().with_loaded([first.to_owned(), second.to_owned()]);
    let before = both("ltx-2.3-distilled", "ltx-2.3-dev");
    let stored = admit(&Ask::default(), draft(&[0]), &before).unwrap().to_stored();
    let after = both("ltx-2.3-dev", "ltx-2.3-distilled");
    assert_eq!(readmit(stored, &after).unwrap().model(), Some("ltx-2.3-distilled"));
}

#[test]
fn image_bytes_are_not_stored_in_a_request() {
    let mut stored = admit(&Ask::default(), draft(&[0]), &node()).unwrap().to_stored();
    stored.draft.images[0].source = ImageSource::Bytes([0u8; 4].as_slice().into());
    assert!(serde_json::to_string(&stored).is_err());
}

/// Compiles only while none of the types can be deserialised: else `marker` would be ambiguous.
#[test]
fn evidence_cannot_be_deserialised() {
    trait Ambiguous<A> {
        fn marker() {}
    }
    impl<T: ?Sized> Ambiguous<()> for T {}
    impl<T: DeserializeOwned> Ambiguous<u8> for T {}
    <Admitted<GenerationDraft> as Ambiguous<_>>::marker();
    <Admitted<Generation> as Ambiguous<_>>::marker();
    <UsageMark as Ambiguous<_>>::marker();
}

#[test]
fn an_answer_repeats_little_of_what_it_was_told() {
    let long = "x\n".repeat(1 << 20);
    let refusal = admit(&Ask { plan: Some(long.clone()), ..naming(&long) }, draft(&[0]), &node()).unwrap_err();
    assert!(refusal.to_string().len() < 600 && !refusal.to_string().contains('\n'), "{refusal}");
}

#[test]
fn the_mark_says_what_the_class_is() {
    let admitted = admit(&Ask::default(), draft(&[0, 16]), &node()).unwrap().check(&ModelRules::LTX).unwrap();
    let weights = WeightFingerprint { header_sha256: "ab".into(), file_sha256: None, total_bytes: 7 };
    let model = ModelIdentity {
        name: "tiny".into(),
        version: "2.3.0".into(),
        weights,
        eight_bit: false,
        diffusion_decoder: false,
    };
    let mark = admitted.mark(&model, "node-1");
    let entry = |key| mark.entries().into_iter().find(|(k, _)| *k == key).map(|(_, v)| v);
    assert_eq!(entry("usage_class").as_deref(), Some("UNLIMITED"));
    assert_eq!(entry("credits_charged").as_deref(), Some("0"));
    assert_eq!(entry("method").as_deref(), Some("start_end_frames"));
    let json = serde_json::to_value(&mark).unwrap();
    assert_eq!(json["model_version"], "2.3.0");
    assert_eq!(json["seed"], 1);
    assert_eq!(entry("weights_header_sha256").as_deref(), Some("ab"));
    assert_eq!(json["weights"]["total_bytes"], 7);
    for unknown in ["weights_file_sha256", "frames_sha256", "time", "sigmas", "refine_sigmas"] {
        assert_eq!(entry(unknown), None, "{unknown} is not known yet");
    }

    // Of the schedule, what no name says.
    let own = GenerationDraft { sigmas: Some(vec![1.0, 0.421875, 0.0]), ..draft(&[0, 16]) };
    let own = admit(&Ask::default(), own, &node()).unwrap().check(&ModelRules::LTX).unwrap().mark(&model, "node-1");
    assert!(own.entries().contains(&("sigmas", "1,0.421875,0".to_owned())), "{own:?}");
    assert_eq!(serde_json::to_value(&own).unwrap()["sigmas"], serde_json::json!([1.0, 0.421875, 0.0]));

    let complete = mark.clone().completed("cd", Some(UnixMillis(0)));
    let entry = |key| complete.entries().into_iter().find(|(k, _)| *k == key).map(|(_, v)| v);
    assert_eq!(entry("frames_sha256").as_deref(), Some("cd"));
    assert_eq!(entry("time").as_deref(), Some("1970-01-01T00:00:00.000Z"));
    assert_eq!(mark.clone().completed("cd", None), mark.completed("cd", None));
}

#[test]
fn a_stored_request_is_as_it_always_was() {
    let admitted = |draft| admit(&Ask::default(), draft, &node()).unwrap().to_stored();
    let stored = serde_json::to_value(admitted(draft(&[0]))).unwrap();
    for added in ["sigmas", "refine_sigmas", "beyond_trained_length", "faults"] {
        assert!(stored["draft"].get(added).is_none(), "{added} would change what saved states belong to");
    }
    assert_eq!(serde_json::from_value::<StoredRequest>(stored).unwrap().draft, draft(&[0]));
    let own = GenerationDraft { sigmas: Some(vec![1.0, 0.909_375, 0.0]), ..draft(&[0]) };
    let text = serde_json::to_string(&admitted(own.clone())).unwrap();
    assert_eq!(serde_json::from_str::<StoredRequest>(&text).unwrap().draft, own);
}
