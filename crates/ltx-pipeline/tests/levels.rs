//! The golden cases on every instruction set that this machine has. A file of its own, because the level is the
//! whole process's.

use ltx_engine::{NoPreviews, NotSaved, Run};
use ltx_nn::{Compute, Level};
use ltx_pipeline::{
    EngineOptions,
    golden::{GoldenCase, GoldenResult, run_case},
};
use ltx_testkit::data;
use ltx_types::{CancelToken, NoProgress};

fn run(name: &str, compute: Compute) -> GoldenResult {
    let run = Run { progress: &NoProgress, cancel: &CancelToken::new(), store: &NotSaved, previews: &NoPreviews };
    let options = EngineOptions { compute, ..EngineOptions::default() };
    run_case(&GoldenCase::open(&data(name)).unwrap(), options, &run).unwrap()
}

#[test]
fn the_goldens_hold_on_every_level_with_the_same_tolerances() {
    let before = Level::current();
    for level in Level::available() {
        level.force().unwrap();
        for name in ["i2v_distilled", "kf_guided"] {
            let result = run(name, Compute::cpu_f32());
            let failed: Vec<_> = result.comparisons.iter().filter(|comparison| !comparison.passes()).collect();
            assert!(result.passes(), "{level:?} {name}: {failed:?}");
            let worst =
                result.comparisons.iter().filter(|c| c.name != "decoded_raw").map(|c| c.error).fold(0.0, f64::max);
            // AMX multiplies activations of 17 bits with weights in bf16.
            let most = if level == Level::Amx { 1e-4 } else { 1e-5 };
            assert!(worst < most, "{level:?} {name}: {worst:.2e}");
        }
    }
    before.force().unwrap();
}
