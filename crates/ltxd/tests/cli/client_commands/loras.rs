//! LoRAs that the operator lists and requests name.

use super::SMALL;
use crate::support::{
    command::{BAD_INPUT, DONE, FAILED, ltxd, run},
    files::{models, scratch, start_picture, text},
    node::Node,
};
use serde_json::{Value, json};
use std::{fs, path::Path};

const LORA: &str = "../ltx-pipeline/tests/data/tiny-distilled-lora.safetensors";

/// A folder with the tiny model's manifest and a LoRA in its list.
fn folder() -> tempfile::TempDir {
    let folder = scratch();
    let manifest = fs::read_to_string(Path::new(&models()).join("ltx-2.3-tiny.toml")).expect("the manifest");
    let manifest = manifest.replace("path = \"tiny/", &format!("path = \"{}/tiny/", models()));
    let lora = Path::new(env!("CARGO_MANIFEST_DIR")).join(LORA);
    let listed =
        format!("[[files.loras]]\nname = \"distilled\"\npath = \"{}\"\nstrength = 0.5\n\n[defaults]", text(&lora));
    fs::write(folder.path().join("tiny.toml"), manifest.replacen("[defaults]", &listed, 1)).expect("room for a file");
    folder
}

#[test]
fn a_request_names_what_the_operator_lists() {
    let folder = folder();
    let mut node = Node::serve(&[format!("--models-dir={}", text(folder.path())), "--model=ltx-2.3-tiny".into()]);
    node.await_log("ready models=");
    let listed = json!([{ "name": "distilled", "strength": 0.5, "stage_2_strength": 0.5 }]);
    assert_eq!(node.ask(&["node"])[0]["models"][0]["loras"], listed);
    assert!(node.run(&["node"], DONE).out.contains("distilled"));

    let image = start_picture();
    let two = ["--stages=2", "--seed=3"];
    let made = |lora: &[&str]| -> Value {
        let id = node.submit(&[&SMALL[..], &two, lora].concat());
        node.run(&["watch", &id], DONE);
        node.ask(&["get", &id])[0].clone()
    };
    let frames = |made: &Value| made["mark"]["frames_sha256"].as_str().expect("a digest").to_owned();
    let file = text(&Path::new(env!("CARGO_MANIFEST_DIR")).join(LORA));
    // What a node makes of a name is what `generate` makes of the file.
    let alone = |lora: &[String]| {
        let out = folder.path().join("clip.mp4");
        let checkpoint = format!("{}/tiny/ltx-2.3-tiny-dev.safetensors", models());
        let upscaler = format!("{}/tiny/ltx-2.3-tiny-spatial-upscaler-x2.safetensors", models());
        let gemma = format!("{}/tiny/gemma", models());
        let words = ["generate", "--json", "--schedule=distilled", "--image", &image, "--model", &checkpoint];
        let files = ["--upscaler", &upscaler, "--text-encoder", &gemma, "--out", out.to_str().expect("a path")];
        let words = [&words[..], &files, &SMALL, &two].concat();
        let words = words.into_iter().map(str::to_owned).chain(lora.iter().cloned()).collect::<Vec<_>>();
        run(ltxd(&words)).with(DONE).json()["frames_sha256"].as_str().expect("a digest").to_owned()
    };
    let plain = made(&[]);
    assert_eq!(frames(&plain), alone(&[]));
    assert_eq!(plain["loras"], json!([]));
    for (named, strengths, mark) in [
        ("--use-lora=distilled", "0.5", "distilled=0.5"),
        ("--use-lora=distilled=0,0.8", "0,0.8", "distilled=0,0.8"),
        ("--use-lora=distilled=1", "1", "distilled=1"),
    ] {
        let found = made(&[named]);
        assert_eq!(frames(&found), alone(&[format!("--lora={file}={strengths}")]), "{named}");
        assert_ne!(frames(&found), frames(&plain), "{named}");
        assert_eq!(found["mark"]["loras"], json!([mark]), "{found}");
    }
    // Without one again, after those.
    assert_eq!(frames(&made(&[])), frames(&plain));

    let refused = |flags: &[&str], says: &[&str]| {
        let asked = [&["--image", &image], &SMALL[..], flags].concat();
        let said = node.run(&[&["submit"], &asked[..]].concat(), BAD_INPUT).err;
        let judged = node.run(&[&["check"], &asked[..]].concat(), BAD_INPUT).out;
        for says in says {
            assert!(said.contains(says) && judged.contains(says), "{says}: {said}{judged}");
        }
    };
    refused(&["--use-lora=destilled"], &["is no LoRA that this model lists", "distilled"]);
    refused(&["--use-lora=distilled=101"], &["has a strength outside -100..=100", "distilled=100"]);
    refused(&["--use-lora=distilled=0.5,0.8"], &["there is no second stage"]);
    refused(&["--use-lora=destilled", "--use-lora=distilled=101", "--fps=0"], &["destilled", "distilled=100", "fps"]);
    let words = ["check", "--image", &image, "--use-lora=distilled"];
    let verdict = &node.ask(&[&words[..], &SMALL].concat())[0];
    assert!(!verdict["estimate"].is_null(), "{verdict}");
    node.stop();
}

#[test]
fn names_are_listed_and_files_of_others_may_be_missing() {
    let folder = folder();
    let models_dir = format!("--models-dir={}", text(folder.path()));
    let listed = run(ltxd(&["models", &models_dir, "--json"])).with(DONE).json();
    let files = listed["models"][0]["files"].as_array().expect("a list").clone();
    let lora = files.iter().find(|file| file["part"] == "lora").expect("a LoRA");
    assert_eq!((&lora["name"], &lora["strength"]), (&json!("distilled"), &json!(0.5)));
    assert!(files.iter().filter(|file| file["part"] != "lora").all(|file| file["name"].is_null()), "{listed}");
    assert!(run(ltxd(&["models", &models_dir])).with(DONE).out.contains("distilled where a request names it"));

    let manifest = folder.path().join("tiny.toml");
    let elsewhere =
        fs::read_to_string(&manifest).expect("it is there").replace("-lora.safetensors", "-gone.safetensors");
    fs::write(&manifest, elsewhere).expect("room for a file");
    let (image, out) = (start_picture(), folder.path().join("clip.mp4"));
    let words = ["generate", &models_dir, "--model=ltx-2.3-tiny", "--image", &image, "--json", "--out", &text(&out)];
    let made = |flags: &[&str]| run(ltxd(&[&words[..], &SMALL, flags].concat()));
    let summary = made(&[]).with(DONE).json();
    assert_eq!((&summary["loras"], &summary["mark"]["loras"]), (&json!([]), &Value::Null));
    let missing = made(&["--use-lora=distilled"]).with(FAILED).err;
    assert!(missing.contains("-gone.safetensors"), "{missing}");
    let both = made(&["--use-lora=destilled", "--use-lora=distilled=-101", "--fps=0"]).with(BAD_INPUT).json();
    let fields: Vec<_> = both["violations"].as_array().expect("a list").iter().map(|fault| &fault["field"]).collect();
    assert_eq!(fields, ["loras", "loras", "fps"], "{both}");
}
