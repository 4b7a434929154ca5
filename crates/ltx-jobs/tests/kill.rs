//! `kill -9` at many moments over a mix of jobs: the short form of the durability script.
//!
//! The node runs in a child: this same test binary, told by the environment to be one. A child that will be killed is let so many
//! steps far and held there, so that it never ends before it is killed, on a machine however slow.

mod common;

use common::{
    Dice, client, ended, eventually, files, frames_of, is_locked, millis, open, opened, settings, submission,
    surroundings, undisturbed,
};
use ltx_jobs::{FailureCode, Filter, GenerationId, Jobs, JobsError, State};
use ltx_testkit::{
    Guarded,
    fake::{FakeOptions, Gate, StepLog, draft},
};
use ltx_types::{GenerationDraft, Stages, settings::Bounded};
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

const FOLDER: &str = "LTX_JOBS_KILL_FOLDER";
/// How many steps of any stage a child makes at most; without it, all of them once the cancels are there.
const STEPS: &str = "LTX_JOBS_KILL_STEPS";
const DEADLY: &str = "LTX_JOBS_DEADLY_FOLDER";
const JOBS: u64 = 24;
const KILLS: usize = 12;
const CLIENTS: u64 = 3;
/// A life is ended behind so many lines of its log, at most.
const LINES: u64 = 12;
/// Enough steps for those lines: four encode text and images, and two that decode leave no line either.
const STEPS_OF_A_LIFE: &str = "16";

fn owner(seed: u64) -> String {
    format!("client-{}", seed % CLIENTS)
}

/// Whether a job is one that its client cancels.
fn cancels(seed: u64) -> bool {
    seed % 6 == 5
}

/// Every other job in two stages, every third with sigmas of its own.
fn job(seed: u64) -> GenerationDraft {
    let stages = if seed.is_multiple_of(2) { Stages::One } else { Stages::Two };
    let sigmas = seed.is_multiple_of(3).then(|| vec![1.0, 0.9, 0.725, 0.421875, 0.1, 0.0]);
    GenerationDraft { stages, sigmas, ..draft("a lake", seed) }
}

fn options(folder: &Path) -> FakeOptions {
    FakeOptions { log: Some(folder.join("steps.log")), ..millis(4) }
}

/// The child: submits every job, cancels some, and says what was acknowledged. Submitting again is no new job.
#[test]
fn be_the_node() {
    let Ok(folder) = env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let (gate, steps) = (Gate::closed(), env::var(STEPS).ok().map(|steps| steps.parse::<usize>().unwrap()));
    if let Some(steps) = steps {
        gate.open_n(steps);
    }
    let jobs = open(&folder.join("data"), FakeOptions { gate: gate.clone(), ..options(folder) });
    println!("\nopen");
    let mut ids = Vec::new();
    for seed in 0..JOBS {
        let submission = submission(job(seed), Some(&format!("job-{seed}")));
        let submitted = jobs.submit(&client(&owner(seed)), submission).unwrap();
        println!("ack {seed} {}", submitted.record.id);
        ids.push((seed, submitted.record.id));
    }
    for (seed, id) in ids.iter().filter(|(seed, _)| cancels(*seed)) {
        match jobs.cancel(&client(&owner(*seed)), *id) {
            Ok(_) => println!("cancelled {seed} {id}"),
            Err(JobsError::Ended { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    if steps.is_none() {
        gate.open();
    }
    ids.iter().for_each(|(seed, id)| drop(ended(&jobs, &owner(*seed), *id)));
    println!("all ended");
}

/// What kills its node is tried again so often without a new step.
const FRUITLESS: u32 = 3;

fn patient(folder: &Path) -> Jobs {
    let mut settings = settings(&folder.join("data"));
    settings.limits.fruitless_crashes = Bounded::new(FRUITLESS.into()).unwrap();
    opened(|| Jobs::open(settings.clone().check().unwrap(), surroundings(options(folder))), is_locked)
}

/// The child: one generation that ends the process, and one behind it.
#[test]
fn be_a_node_that_dies() {
    let Ok(folder) = env::var(DEADLY) else { return };
    let jobs = patient(Path::new(&folder));
    for (seed, prompt) in [(1, "abort"), (2, "a lake")] {
        let submitted = jobs.submit(&client("a"), submission(draft(prompt, seed), Some(prompt))).unwrap();
        ended(&jobs, "a", submitted.record.id);
    }
}

#[test]
fn what_kills_the_node_again_and_again_is_given_up_and_the_next_one_runs() {
    let folder = tempfile::tempdir().unwrap();
    let live = || {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "be_a_node_that_dies", "--nocapture"]).env(DEADLY, folder.path());
        child.output().unwrap().status.success()
    };
    // The first life makes two steps; those that follow none.
    let deaths = (0..10).take_while(|_| !live()).count() as u32;
    assert_eq!(deaths, 1 + FRUITLESS);
    let jobs = patient(folder.path());
    let records = jobs.list(&client("a"), &Filter::default(), 10, None).unwrap().records;
    let states: Vec<_> = records.iter().map(|record| (record.state, record.attempts)).collect();
    assert_eq!(states, [(State::Done, 1), (State::Failed, 1 + FRUITLESS)]);
    assert_eq!(records[1].failure.as_ref().unwrap().code, FailureCode::Crashed);
    assert_eq!(records[0].outcome.as_ref().unwrap().frames_sha256, undisturbed([draft("a lake", 2)])[0].1);
    assert_eq!(files(&folder.path().join("data/latents")), [""; 0]);
}

/// Seeds that the database says are done.
fn done(database: &Path) -> Vec<u64> {
    let Ok(connection) = rusqlite::Connection::open(database) else { return vec![] };
    let sql = "SELECT json_extract(request, '$.draft.seed') FROM generations WHERE state = 'DONE'";
    let Ok(mut statement) = connection.prepare(sql) else { return vec![] };
    statement.query_map([], |row| row.get::<_, i64>(0)).unwrap().map(|seed| seed.unwrap() as u64).collect()
}

#[test]
fn kills_lose_nothing_and_repeat_at_most_the_step_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("steps.log"));
    let mut dice = Dice(20_261_129);
    let mut acknowledged = BTreeMap::<u64, GenerationId>::new();
    let mut cancelled = BTreeSet::new();
    let mut done_by_line = Vec::new();
    for life in 0..=KILLS {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "be_the_node", "--nocapture"]).env(FOLDER, folder.path()).stdout(Stdio::piped());
        if life < KILLS {
            child.env(STEPS, STEPS_OF_A_LIFE);
        }
        let lines = StepLog::read(&log).len();
        let mut child = Guarded(child.spawn().unwrap());
        let said = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || said.lines().map_while(Result::ok).collect::<Vec<_>>());
        if life < KILLS {
            let wanted = lines + 1 + dice.below(LINES) as usize;
            eventually("the node gets that far", || {
                assert_eq!(child.try_wait().unwrap(), None, "the node ended by itself");
                StepLog::read(&log).len() >= wanted
            });
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        let said = reader.join().unwrap();
        for line in &said {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["ack", seed, id] => {
                    let (seed, id) = (seed.parse().unwrap(), id.parse().unwrap());
                    assert_eq!(*acknowledged.entry(seed).or_insert(id), id, "{seed} is another generation now");
                }
                ["cancelled", seed, _] => drop(cancelled.insert(seed.parse::<u64>().unwrap())),
                _ => {}
            }
        }
        if life == KILLS {
            assert!(status.success() && said.contains(&"all ended".to_owned()), "{said:?}");
        }
        done_by_line.push((StepLog::read(&log).len(), done(&data.join("jobs.sqlite"))));
    }

    let steps = StepLog::read(&log);
    for (line, seeds) in &done_by_line {
        let again = steps.started_after(*line).into_iter().find(|seed| seeds.contains(seed));
        assert_eq!(again, None, "a finished generation ran again");
    }
    assert!(steps.repeated() <= KILLS, "{} steps repeated", steps.repeated());
    assert_eq!(steps.repeated_after_saving(), 0);

    let jobs = open(&data, FakeOptions::default());
    let frames: BTreeMap<_, _> = undisturbed((0..JOBS).map(job)).into_iter().collect();
    assert_eq!(acknowledged.len() as u64, JOBS);
    let (mut finished, mut resumed) = (0, 0);
    for (seed, id) in &acknowledged {
        let record = jobs.get(&client(&owner(*seed)), *id).unwrap();
        match record.state {
            State::Done => {
                assert_eq!(frames_of(&record), frames[seed], "seed {seed}");
                finished += 1;
                resumed += usize::from(record.attempts > 1);
            }
            State::Cancelled => assert!(cancels(*seed)),
            state => panic!("{seed} ended {state:?}: {:?}", record.failure),
        }
        assert!(!cancelled.contains(seed) || record.state == State::Cancelled, "{seed}: an acknowledged cancel");
        let mut watch = jobs.watch(&client(&owner(*seed)), *id, 0).unwrap();
        let mut numbers = Vec::new();
        while let ltx_jobs::Watched::Event(event) = watch.poll().unwrap() {
            numbers.push(event.number);
        }
        assert_eq!(numbers, (1..=record.last_event).collect::<Vec<_>>());
    }
    assert!(resumed > 0, "no kill met a generation that was running");
    assert!(!cancelled.is_empty(), "no cancel was acknowledged");
    assert_eq!(files(&data.join("latents")), [""; 0]);
    assert_eq!(files(&data.join("outputs")).len(), finished * 3);
    println!(
        "{KILLS} kills, {JOBS} jobs: {finished} done ({resumed} after a restart), {} cancelled, {} steps repeated",
        acknowledged.len() - finished,
        steps.repeated()
    );
}
