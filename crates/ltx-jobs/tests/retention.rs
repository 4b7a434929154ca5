//! What is kept, for how long, and how much of it.

mod common;

use common::{behind, client, ended, files, settings, submit, surroundings};
use ltx_jobs::{Jobs, JobsError, OutputKind, Retention, State, Swept};
use ltx_testkit::{
    default_settings,
    fake::{Gate, picture},
};
use ltx_types::{Stage, settings::Bounded};
use std::{path::Path, time::Duration};

/// What is kept where nobody says otherwise.
fn usual() -> Retention {
    default_settings::<ltx_jobs::Settings>().retention
}

fn keeping(data: &Path, retention: Retention) -> Jobs {
    keeping_behind(&Gate::default(), data, retention)
}

fn keeping_behind(gate: &Gate, data: &Path, retention: Retention) -> Jobs {
    let settings = ltx_jobs::Settings { retention, ..settings(data) };
    Jobs::open(settings.check().unwrap(), surroundings(behind(gate))).unwrap()
}

#[test]
fn the_oldest_outputs_go_when_there_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = keeping(folder.path(), usual());
    let ids: Vec<_> = (0..4).map(|seed| submit(&jobs, "a", seed)).collect();
    ids.iter().for_each(|id| drop(ended(&jobs, "a", *id)));
    assert_eq!(jobs.sweep().unwrap(), Swept::default());
    let kept = jobs.status().unwrap().output_bytes;
    let written =
        |id| jobs.get(&client("a"), id).unwrap().outcome.unwrap().files.iter().map(|file| file.bytes).sum::<u64>();
    let images = picture().len() as u64 * 4;
    assert_eq!(
        kept,
        ids.iter().map(|id| written(*id)).sum::<u64>() + images,
        "images count with what was made from them"
    );
    drop(jobs);
    let jobs = keeping(folder.path(), Retention { outputs_bytes: Bounded::new(kept * 5 / 8).unwrap(), ..usual() });
    assert_eq!(jobs.sweep().unwrap(), Swept { outputs: 2, ..Swept::default() });
    for (n, id) in ids.iter().enumerate() {
        let record = jobs.get(&client("a"), *id).unwrap();
        assert_eq!((record.state, record.outputs_kept), (State::Done, n >= 2));
        let opened = jobs.open_output(&client("a"), *id, OutputKind::Video);
        match n {
            0 | 1 => assert!(matches!(opened, Err(JobsError::NoOutput { expired: true, .. }))),
            _ => assert!(opened.is_ok()),
        }
    }
    assert_eq!(files(&folder.path().join("outputs")).len(), 6);
}

#[test]
fn age_removes_what_has_ended_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let retention = Retention {
        outputs_for: Duration::ZERO,
        uploads_for: Duration::ZERO,
        records_for: Duration::from_secs(24 * 60 * 60),
        ..usual()
    };
    let gate = Gate::default();
    let jobs = keeping_behind(&gate, folder.path(), retention.clone());
    let upload = jobs.upload(&client("a"), picture()).unwrap();
    let old = submit(&jobs, "a", 1);
    ended(&jobs, "a", old);
    gate.close();
    let running = submit(&jobs, "a", 2);
    let queued = submit(&jobs, "a", 3);
    gate.bring_to(2, Stage::Denoising, 3);
    std::thread::sleep(Duration::from_millis(3));
    let swept = jobs.sweep().unwrap();
    assert_eq!(swept, Swept { outputs: 1, uploads: 1, records: 0 });
    let state = |id| jobs.get(&client("a"), id).unwrap().state;
    assert_eq!((state(running), state(queued)), (State::Running, State::Queued));
    assert!(matches!(jobs.uploaded(&client("a"), upload), Err(JobsError::UploadNotFound { .. })));
    // The picture of what still waits is kept, although the upload of the same bytes is gone.
    gate.open();
    let (running, queued) = (ended(&jobs, "a", running), ended(&jobs, "a", queued));
    assert_eq!((running.state, queued.state), (State::Done, State::Done));
    drop(jobs);

    let jobs = keeping(folder.path(), Retention { records_for: Duration::ZERO, ..retention });
    std::thread::sleep(Duration::from_millis(3));
    assert_eq!(jobs.sweep().unwrap().records, 3);
    assert!(matches!(jobs.get(&client("a"), old), Err(JobsError::NotFound { .. })));
    drop(jobs);
    for folder in ["outputs", "images", "latents"].map(|name| folder.path().join(name)) {
        assert_eq!(files(&folder), [""; 0], "{}", folder.display());
    }
}

#[test]
fn uploads_of_too_many_bytes_are_refused_or_expire() {
    let folder = tempfile::tempdir().unwrap();
    let size = picture().len() as u64;
    let jobs = keeping(folder.path(), Retention { uploads_bytes: Bounded::new(size * 2).unwrap(), ..usual() });
    let owners = ["a", "b", "c"].map(client);
    let uploads = owners.clone().map(|owner| jobs.upload(&owner, picture()).unwrap());
    assert_eq!(jobs.sweep().unwrap().uploads, 1);
    assert!(jobs.uploaded(&owners[0], uploads[0]).is_err() && jobs.uploaded(&owners[2], uploads[2]).is_ok());
    // The same bytes again make it the newest.
    std::thread::sleep(Duration::from_millis(3));
    assert_eq!(jobs.upload(&owners[1], picture()).unwrap(), uploads[1]);
    jobs.upload(&owners[0], picture()).unwrap();
    assert_eq!(jobs.sweep().unwrap().uploads, 1);
    assert!(jobs.uploaded(&owners[1], uploads[1]).is_ok() && jobs.uploaded(&owners[2], uploads[2]).is_err());
    assert!(matches!(jobs.upload(&client("a"), [].into()), Err(JobsError::Fields(_))));
    assert!(matches!(jobs.upload(&client("a"), vec![0; 1000].into()), Err(JobsError::Media(_))));
    let large = vec![0; (64 << 20) + 1];
    assert!(matches!(jobs.upload(&client("a"), large.into()), Err(JobsError::Fields(_))));
}
