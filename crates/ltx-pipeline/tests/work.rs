//! What stages have to do is counted exactly: the operations are those that a run of the same case reports, operator by operator,
//! and every unit that is counted has a rate once it was measured. A process of its own, as what a profile counts is the process'.

use ltx_nn::{Compute, EightBitProducts, profile};
use ltx_pipeline::{
    EngineOptions,
    bench::{Bench, BenchStage},
    golden::GoldenCase,
};
use ltx_testkit::data;
use ltx_types::{Stage, StageWork, Unit, Work};

/// Operations by operator, under the profile's names.
fn counted(work: &Work) -> [(&'static str, u64); 3] {
    let sum = |wanted: fn(&Unit) -> bool| work.counts().filter(|(unit, _)| wanted(unit)).map(|(_, count)| count).sum();
    [
        ("linear", sum(|unit| matches!(unit, Unit::Product(_)))),
        ("attention", sum(|unit| matches!(unit, Unit::Attention))),
        ("conv3d", sum(|unit| matches!(unit, Unit::Convolution(_) | Unit::FlatConvolution(_)))),
    ]
}

/// The same of what runs meanwhile.
fn reported(run: impl FnOnce()) -> [(&'static str, u64); 3] {
    profile::start(&Compute::cpu_f32().device);
    run();
    let costs = profile::take();
    let of = |names: &[&str]| names.iter().filter_map(|name| costs.get(name)).map(|cost| cost.operations).sum();
    [
        ("linear", of(&["linear", "packed linear", "linear in 8 bits"])),
        ("attention", of(&["attention"])),
        ("conv3d", of(&["conv3d"])),
    ]
}

#[test]
fn counts_are_those_of_a_run_and_every_unit_gets_a_rate() {
    let folder = tempfile::tempdir().unwrap();
    for (case, compute) in [
        ("i2v_distilled", Compute::cpu_f32()),
        ("i2v_distilled", Compute { eight_bit: EightBitProducts::Always, ..Compute::cpu_f32() }),
        ("strengths_middle", Compute::cpu_f32()),
        ("ltx25/i2v_gemma4", Compute::cpu_f32()),
    ] {
        let options = EngineOptions { compute, ..EngineOptions::default() };
        let mut bench = Bench::open(GoldenCase::open(&data(case)).unwrap(), options).unwrap();
        let stages = bench.work();
        for (stage, run) in [
            (Stage::TextEncoding, BenchStage::TextEncoding),
            (Stage::ImageEncoding, BenchStage::ImageEncoding),
            (Stage::Denoising, BenchStage::Sampling),
            (Stage::Decoding, BenchStage::Decoding),
        ] {
            let work = stages.iter().find(|work| work.stage == stage).map(StageWork::total).unwrap();
            let found = reported(|| bench.run(run, None).map(drop).unwrap());
            assert_eq!(counted(&work), found, "{case} {stage:?}");
        }
        let rates = bench.rates(folder.path()).unwrap();
        for stage in &stages {
            let seconds = rates.stage_seconds(stage);
            assert!(seconds.is_some_and(|seconds| seconds > 0.0), "{case} {:?}: {:?}", stage.stage, stage.total());
        }
    }
    // T5's attention is none of a profile's operators; its products are.
    let options = EngineOptions { compute: Compute::cpu_f32(), ..EngineOptions::default() };
    let mut bench = Bench::open(GoldenCase::open(&data("ltxv09/i2v_distilled")).unwrap(), options).unwrap();
    let work = bench.work().iter().find(|work| work.stage == Stage::TextEncoding).map(StageWork::total).unwrap();
    let found = reported(|| bench.run(BenchStage::TextEncoding, None).map(drop).unwrap());
    assert_eq!(counted(&work)[0], found[0], "T5");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the clip that was begun is gone");
    // Where guidance changes from step to step, a step has the passes that it needs and no others.
    let options = EngineOptions { compute: Compute::cpu_f32(), ..EngineOptions::default() };
    let mut bench = Bench::open(GoldenCase::open(&data("ltxv09/first_last_multi_scale")).unwrap(), options).unwrap();
    let all = bench.work().iter().fold(Work::default(), |all, stage| all.plus(&stage.total()));
    bench.run(BenchStage::ImageEncoding, None).unwrap();
    // The few products of the timestep that the decoder is told are not counted.
    let [(_, told), ..] = reported(|| bench.run(BenchStage::Decoding, None).map(drop).unwrap());
    let [(_, found), ..] = reported(|| bench.run(BenchStage::Whole, None).map(drop).unwrap());
    assert_eq!(counted(&all)[0].1 + told, found, "guided by noise level");
}
