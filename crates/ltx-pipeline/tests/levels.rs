//! The golden cases on every instruction set that this machine has.

use ltx_engine::Run;
use ltx_nn::{Compute, KernelChoice, Level};
use ltx_pipeline::{
    EngineOptions,
    golden::{GoldenCase, GoldenResult, run_case},
};
use ltx_testkit::data;
use ltx_types::CancelToken;

fn run(name: &str, compute: Compute) -> GoldenResult {
    let cancel = CancelToken::new();
    let run = Run::quiet(&cancel);
    let options = EngineOptions { compute, ..EngineOptions::default() };
    run_case(&GoldenCase::open(&data(name)).unwrap(), options, &run).unwrap()
}

#[test]
fn the_goldens_hold_on_every_level_with_the_same_tolerances() {
    for level in Level::available() {
        for name in ["i2v_distilled", "kf_guided"] {
            let result = run(name, Compute { kernels: KernelChoice::at(level), ..Compute::cpu_f32() });
            let failed: Vec<_> = result.comparisons.iter().filter(|comparison| !comparison.passes()).collect();
            assert!(result.passes(), "{level:?} {name}: {failed:?}");
            let worst =
                result.comparisons.iter().filter(|c| c.name != "decoded_raw").map(|c| c.error).fold(0.0, f64::max);
            // AMX multiplies activations of 17 bits with weights in bf16.
            let most = if level.has_tiles() { 1e-4 } else { 1e-5 };
            assert!(worst < most, "{level:?} {name}: {worst:.2e}");
        }
    }
}
