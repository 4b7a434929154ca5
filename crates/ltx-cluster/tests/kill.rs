//! `kill -9` of workers in the middle of their steps: what was acknowledged ends once, goes on elsewhere from its last saved latent,
//! and whoever watches misses nothing.
//!
//! Workers run in children: this same test binary, told by the environment to be one. A child that will be killed is let so many
//! steps far and held there, so that it never ends before it is killed, on a machine however slow.

mod common;

use common::{
    FACE, LONG, Nats, Node, Plan, WORKER, client, draft, ended, eventually, frames_of, node, submit, undisturbed,
};
use ltx_jobs::{GenerationId, JobsError, State, Watched};
use ltx_testkit::{
    Guarded,
    fake::{FakeOptions, Gate, StepLog},
};
use std::{
    collections::BTreeMap,
    env,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const ADDRESS: &str = "LTX_CLUSTER_ADDRESS";
const ROOT: &str = "LTX_CLUSTER_ROOT";
const NAME: &str = "LTX_CLUSTER_NAME";
/// How many steps of any stage a child makes at most; without it, all.
const STEPS: &str = "LTX_CLUSTER_STEPS";
/// How often in a row a generation may end a child without a new step of it; without it, however often a test kills.
const CRASHES: &str = "LTX_CLUSTER_CRASHES";
const JOBS: u64 = 9;
const ROUNDS: usize = 4;
const WORKERS: [&str; 2] = ["left", "right"];

fn owner(seed: u64) -> String {
    format!("client-{}", seed % 3)
}

/// The child.
#[test]
fn be_a_worker() {
    let (Ok(address), Ok(root), Ok(name)) = (env::var(ADDRESS), env::var(ROOT), env::var(NAME)) else { return };
    let gate = Gate::default();
    let told = |name| env::var(name).ok().map(|number| number.parse::<u64>().unwrap());
    if let Some(steps) = told(STEPS) {
        gate.close();
        gate.open_n(steps as usize);
    }
    let log = Some(Path::new(&root).join("steps"));
    let fake = FakeOptions { gate, log, step_time: Duration::from_millis(2), ..FakeOptions::default() };
    let mut plan = Plan { fake, ..Plan::of(WORKER) };
    plan.fruitless_crashes = told(CRASHES).unwrap_or(plan.fruitless_crashes);
    let _node = node(&address, Path::new(&root), &name, &plan);
    // Until it is killed.
    loop {
        thread::park();
    }
}

fn worker(nats: &Nats, root: &Path, name: &str, told: &[(&str, usize)]) -> Guarded {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "be_a_worker", "--nocapture"]);
    child.env(ADDRESS, &nats.address).env(ROOT, root).env(NAME, name).stdout(Stdio::null()).stderr(Stdio::null());
    child.envs(told.iter().map(|(name, number)| (name, number.to_string())));
    Guarded(child.spawn().unwrap())
}

/// Follows a generation to its end through one face and the other, as a client does that is cut off again and again.
fn followed(faces: &[Node], owner: &str, id: GenerationId) -> Vec<u64> {
    let mut numbers: Vec<u64> = Vec::new();
    for face in faces.iter().cycle() {
        let mut watch = match face.jobs.watch(&client(owner), id, numbers.last().copied().unwrap_or(0)) {
            Err(JobsError::Unavailable { .. }) => continue,
            watch => watch.unwrap(),
        };
        for _ in 0..3 {
            match watch.next_within(LONG) {
                Ok(Watched::Event(event)) => numbers.push(event.number),
                Ok(_) => return numbers,
                Err(JobsError::Unavailable { .. }) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    numbers
}

#[test]
fn what_was_acknowledged_ends_once_however_often_workers_are_killed() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let faces = ["one", "two"].map(|name| node(&nats.address, root.path(), name, &Plan::of(FACE)));
    let ids: Vec<_> =
        (0..JOBS).map(|seed| (seed, submit(&faces[seed as usize % 2].jobs, &owner(seed), seed))).collect();
    let log = root.path().join("steps");
    thread::scope(|scope| {
        let watching: Vec<_> =
            ids.iter().map(|(seed, id)| (*id, scope.spawn(|| followed(&faces, &owner(*seed), *id)))).collect();
        for round in 0..ROUNDS {
            let before = StepLog::read(&log).len();
            let _killed = WORKERS.map(|name| worker(&nats, root.path(), name, &[(STEPS, 9 + round)]));
            eventually("a worker has made some steps", || StepLog::read(&log).len() > before + 8);
        }
        let _workers = WORKERS.map(|name| worker(&nats, root.path(), name, &[]));
        let frames: BTreeMap<_, _> = undisturbed(0..JOBS).into_iter().collect();
        let mut resumed = 0;
        for (seed, id) in &ids {
            let record = ended(&faces[0].jobs, &owner(*seed), *id);
            assert_eq!((record.state, frames_of(&record)), (State::Done, frames[seed].clone()));
            resumed += usize::from(record.attempts > 1);
        }
        assert!(resumed > 1, "no worker was killed in the middle of a generation");
        for (id, watching) in watching {
            let last = ids.iter().find(|(_, known)| *known == id).unwrap().0;
            let last = faces[1].jobs.get(&client(&owner(last)), id).unwrap().last_event;
            assert_eq!(watching.join().unwrap(), (1..=last).collect::<Vec<_>>(), "none lost, none twice");
        }
    });
    assert_eq!(StepLog::read(&log).repeated_after_saving(), 0);
}

/// A generation that ends its worker is given up after so many deaths without a new step, and what is behind it runs.
#[test]
fn what_kills_every_worker_is_given_up() {
    let (nats, root) = (Nats::start(), tempfile::tempdir().unwrap());
    let face = node(&nats.address, root.path(), "face", &Plan::of(FACE));
    let deadly = common::submit_draft(&face.jobs, "a", draft("abort", 1)).unwrap().record.id;
    let behind = submit(&face.jobs, "a", 2);
    let start = || worker(&nats, root.path(), "left", &[(CRASHES, 3)]);
    let mut worker = start();
    eventually("it is given up", || {
        if worker.try_wait().unwrap().is_some() {
            worker = start();
        }
        face.jobs.get(&client("a"), deadly).unwrap().state == State::Failed
    });
    assert_eq!(ended(&face.jobs, "a", behind).state, State::Done);
}
