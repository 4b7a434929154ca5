//! Whatever a request states is obeyed or refused by name with what to say instead: here, and by a node that is asked. A schedule
//! of one's own, and clips that are longer than the model was trained on.
//!
//! Must not know how requests are judged.

use crate::support::{
    command::{BAD_INPUT, DONE, ltxd, run},
    files::{checkpoint, gemma, repository, scratch, start_picture, text, upscaler},
    node::Node,
    request::{Request, good},
};
use serde_json::Value;
use test_case::test_case;

/// The noise levels of the distilled schedule and of the refinement, as `docs/generate.md` lists them.
const DISTILLED: &str = "1,0.99375,0.9875,0.98125,0.975,0.909375,0.725,0.421875,0";
const REFINING: &str = "0.909375,0.725,0.421875,0";

/// A small request of the sort that the command line and a node take alike, with flags over its own.
fn small(flags: &[&str]) -> Vec<String> {
    let image = start_picture();
    let own = [("--image", image.as_str()), ("--prompt", "A lake."), ("--width", "64"), ("--height", "64")];
    let own = own.into_iter().chain([("--frames", "9"), ("--seed", "7")]).filter(|(flag, _)| !flags.contains(flag));
    let own = own.flat_map(|(flag, value)| [flag, value]);
    own.chain(flags.iter().copied()).map(str::to_owned).collect()
}

/// Field and nearest legal value of every violation that `--json` prints.
fn violations(said: &Value) -> Vec<(String, String)> {
    let one = |of: &Value, key: &str| of[key].as_str().unwrap_or_else(|| panic!("{said}")).to_owned();
    let found = said["violations"].as_array().unwrap_or_else(|| panic!("{said}"));
    found.iter().map(|of| (one(of, "field"), one(of, "nearest"))).collect()
}

/// What `generate` on the tiny model finds wrong; each of it stands on a line of its own as well.
fn refused_here(flags: &[&str]) -> Vec<(String, String)> {
    let folder = scratch();
    let out = text(&folder.path().join("clip.mp4"));
    let model = ["--model", "ltx-2.3-tiny", "--json", "--out", &out].map(str::to_owned);
    let words = [
        vec!["generate".to_owned()],
        small(flags),
        model.to_vec(),
        vec!["--models-dir".to_owned(), crate::support::files::models()],
    ]
    .concat();
    let ended = run(ltxd(&words)).with(BAD_INPUT);
    let found = violations(&ended.json());
    let lines: Vec<_> = ended.err.lines().collect();
    assert_eq!(lines.len(), found.len(), "{}", ended.said());
    for (line, (field, nearest)) in lines.iter().zip(&found) {
        assert!(line.starts_with(&format!("ltxd: {field}: ")) && line.contains(nearest.as_str()), "{line}");
    }
    assert!(!folder.path().join("clip.mp4").exists());
    found
}

/// Flags that state something which nothing reads: the field, and what to say instead.
fn unread() -> Vec<(Vec<&'static str>, &'static str, &'static str)> {
    vec![
        (vec!["--steps", "4"], "steps", "8"),
        (vec!["--schedule", "distilled", "--steps", "9"], "steps", "8"),
        (vec!["--guidance-scale", "3"], "guidance_scale", "1"),
        (vec!["--stg-scale", "1"], "stg_scale", "0"),
        (vec!["--guidance-rescale", "0.7"], "guidance_rescale", "0"),
        (vec!["--stg-blocks", "1"], "stg_blocks", "none"),
        (vec!["--negative-prompt", "blurry"], "negative_prompt", "\"\""),
        (vec!["--refine-sigmas", "0.5,0"], "refine_sigmas", "none"),
        (vec!["--sigmas", "1,0.5,0", "--steps", "8"], "steps", "2"),
        (vec!["--schedule", "guided", "--stg-scale", "0", "--stg-blocks", "1"], "stg_blocks", "none"),
        (vec!["--schedule", "guided", "--guidance-scale", "1", "--negative-prompt", "x"], "negative_prompt", "\"\""),
        (
            vec!["--schedule", "guided", "--guidance-scale", "1", "--stg-scale", "0", "--guidance-rescale", "1"],
            "guidance_rescale",
            "0",
        ),
    ]
}

/// The name that a field of the command line has on a node.
fn on_a_node(field: &str) -> &str {
    match field {
        "guidance_scale" => "guidance.cfg_scale",
        "stg_scale" => "guidance.stg_scale",
        "guidance_rescale" => "guidance.rescale_scale",
        "stg_blocks" => "guidance.stg_blocks",
        other => other,
    }
}

#[test]
fn what_nothing_reads_is_refused_by_name() {
    for (flags, field, nearest) in unread() {
        assert_eq!(refused_here(&flags), [(field.to_owned(), nearest.to_owned())], "{flags:?}");
    }
    let all =
        refused_here(&["--steps", "4", "--guidance-scale", "3", "--frames", "18", "--width", "130", "--stages", "3"]);
    let fields: Vec<_> = all.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["steps", "guidance_scale", "stages", "frames", "width"]);
}

#[test]
fn a_node_refuses_the_same_by_the_same_rule() {
    let node = Node::start(&[]);
    for (flags, field, nearest) in unread() {
        let expected = [(on_a_node(field).to_owned(), nearest.to_owned())];
        let asked = small(&flags);
        let asked: Vec<_> = asked.iter().map(String::as_str).collect();
        for command in ["submit", "check"] {
            let ended = node.run(&[&[command, "--json"], &asked[..]].concat(), BAD_INPUT);
            assert_eq!(violations(&ended.json_lines()[0]), expected, "{command} {flags:?}");
        }
    }
    // Each wrong field has a line of its own.
    let asked = small(&["--steps", "4", "--frames", "18"]);
    let asked: Vec<_> = asked.iter().map(String::as_str).collect();
    let told = node.run(&[&["submit"], &asked[..]].concat(), BAD_INPUT).err;
    let lines: Vec<_> = told.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("steps: 4") && lines[1].contains("frames: 18"), "{told}");
    node.stop();
}

/// A name stands for the manifest's files; those that are said beside it would be read by nobody.
#[test]
fn files_beside_a_models_name_are_refused() {
    let found =
        refused_here(&["--text-encoder", "gemma", "--upscaler", "x2.safetensors", "--component", "vae.safetensors"]);
    let fields: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["component", "text_encoder", "upscaler"]);
}

/// What counts in a second stage says nothing where there is none, beside a path as beside a name.
#[test]
fn files_and_strengths_of_a_second_stage_need_one() {
    let lora = text(&repository("crates/ltx-pipeline/tests/data/tiny-distilled-lora.safetensors"));
    let bare = || {
        good()
            .without("models-dir")
            .with("model", checkpoint())
            .with("text-encoder", gemma())
            .with("schedule", "distilled")
    };
    let both = |request: Request| request.with("lora", format!("{lora}=0.5,1"));
    for request in [both(bare()), both(good())] {
        let told = run(ltxd(&request.words())).with(BAD_INPUT).said();
        assert!(
            told.contains("lora: ") && told.contains("=0.5,1") && told.contains("there is no second stage"),
            "{told}"
        );
        assert!(told.contains("nearest legal: ") && told.contains("=0.5\n"), "{told}");
    }
    let told = run(ltxd(&both(bare().with("upscaler", upscaler())).words())).with(BAD_INPUT).said();
    assert!(told.contains("upscaler: ") && told.contains("ask for stages 2") && told.contains("lora: "), "{told}");
    // Each is read in two stages.
    let two = both(bare().with("upscaler", upscaler()).with("stages", 2).with("width", 128).with("height", 128));
    assert_eq!(frames_of(two).1["loras"][0]["stage_2_strength"], 1.0);
    let plan = [
        "inspect",
        "--plan",
        &checkpoint(),
        &gemma(),
        "--width=64",
        "--height=64",
        "--frames=9",
        &format!("--lora={lora}=0.5,1"),
    ];
    assert!(run(ltxd(&plan)).with(BAD_INPUT).said().contains("there is no second stage"));
}

#[test]
fn an_end_images_strength_needs_an_end_image() {
    let told = run(ltxd(&good().with("end-strength", 0.5).words())).with(BAD_INPUT).said();
    assert!(told.contains("--end-image"), "{told}");
}

fn frames_of(request: Request) -> (String, Value) {
    let folder = scratch();
    let out = folder.path().join("clip.mp4");
    let words = [request.with("out", out.display()).words(), vec!["--json".to_owned()]].concat();
    let summary = run(ltxd(&words)).with(DONE).json();
    (summary["frames_sha256"].as_str().unwrap_or_else(|| panic!("{summary}")).to_owned(), summary)
}

#[test]
fn the_distilled_sigmas_by_hand_are_the_distilled_schedule() {
    let two = good().with("stages", 2).with("width", 128).with("height", 128);
    let (named, _) = frames_of(two.clone());
    let (by_hand, summary) = frames_of(two.clone().with("sigmas", DISTILLED).with("refine-sigmas", REFINING));
    assert_eq!(named, by_hand);
    assert_eq!(summary["steps"], 8);
    assert_eq!(summary["mark"]["sigmas"].as_array().map(Vec::len), Some(9), "{summary}");
    let (fewer, summary) = frames_of(two.with("sigmas", "1,0.9,0.5,0").with("steps", 3));
    assert_ne!(named, fewer);
    assert_eq!((&summary["steps"], &summary["sigmas"]), (&3.into(), &serde_json::json!([1.0, 0.9, 0.5, 0.0])));
    // With guidance, where the schedule has it.
    let guided = |scale| good().with("schedule", "guided").with("guidance-scale", scale).with("sigmas", "1,0.5,0");
    assert_ne!(frames_of(guided(1)).0, frames_of(guided(4)).0);
}

#[test_case("1,0.5", "ends at 0"; "no zero")]
#[test_case("0.5,0.7,0", "fall strictly"; "rising")]
#[test_case("1,1,0", "fall strictly"; "level")]
#[test_case("1.25,0", r"outside \(0, 1\]"; "above one")]
#[test_case("1,NaN,0", r"outside \(0, 1\]"; "not a number")]
#[test_case("0", "has no step"; "no step")]
fn sigmas_that_are_no_schedule_are_refused(sigmas: &str, says: &str) {
    let told = run(ltxd(&good().with("sigmas", sigmas).words())).with(BAD_INPUT).said();
    let told = told.lines().filter(|line| line.starts_with("ltxd: sigmas: ")).collect::<Vec<_>>();
    assert!(told.len() == 1 && regex::Regex::new(says).unwrap().is_match(told[0]), "{told:?}");
}

/// The tiny model has three blocks; without a manifest the default block is 28.
#[test]
fn default_blocks_refuse_nothing_at_scale_0() {
    let bare = good()
        .without("models-dir")
        .with("model", checkpoint())
        .with("text-encoder", gemma())
        .with("schedule", "guided")
        .with("steps", 2);
    frames_of(bare.clone().with("stg-scale", 0));
    for flags in [bare.clone(), bare.with("stg-blocks", 3)] {
        let told = run(ltxd(&flags.words())).with(BAD_INPUT).said();
        assert!(told.contains("stg_blocks: ") && told.contains("0..=2") && told.contains("nearest legal: 2"), "{told}");
    }
}

#[test]
fn clips_beyond_the_trained_length_need_a_word() {
    let long = ["--frames", "489", "--width", "32", "--height", "32"];
    assert_eq!(refused_here(&long), [("frames".to_owned(), "481".to_owned())]);
    assert_eq!(refused_here(&["--fps", "12.5", "--frames", "257"]), [("frames".to_owned(), "249".to_owned())]);
    // 33 frames at one a second are 32 seconds.
    let slow = good().with("width", 32).with("height", 32).with("fps", 1).with("frames", 33);
    let words = [slow.words(), vec!["--beyond-trained-length".to_owned()]].concat();
    let folder = scratch();
    let out = text(&folder.path().join("clip.mp4"));
    let words: Vec<_> = words.iter().map(|word| word.replace("{out}/clip.mp4", &out)).collect();
    run(ltxd(&words)).with(DONE);

    let node = Node::start(&["limits.beyond_trained_length=true"]);
    let asked = ["check", "--prompt", "A lake.", "--fps", "1", "--frames", "33", "--image"];
    let image = start_picture();
    let asked = [&asked[..], &[&image]].concat();
    node.run(&asked, BAD_INPUT);
    node.run(&[&asked[..], &["--beyond-trained-length"]].concat(), DONE);
    node.stop();
}
