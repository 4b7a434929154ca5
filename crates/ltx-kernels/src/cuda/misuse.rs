//! The emulation refuses what a GPU would do wrongly without a word: one mistake at a time in `emulate_misuse.h`.

use super::{
    emulate::{perform, refusal},
    launch::{Element, Launch, Module, PANEL_ALIGNMENT},
};
use candle_core::{DType, Device, Result, Tensor};

/// What is said in either order of threads; what may be late shows in the first, what may be early in the second.
const MISTAKES: [(usize, [Option<&str>; 2]); 13] = [
    (1, [Some("without a fence behind the copy"); 2]),
    (2, [Some("without a fence before it"); 2]),
    (3, [Some("while its products are under way"); 2]),
    (4, [Some("sums of a product were written to"); 2]),
    (5, [Some("left side's registers of a product were written to"); 2]),
    (6, [Some("does not begin at a multiple of 1024 bytes"); 2]),
    (7, [Some("outside the block's shared memory"); 2]),
    (8, [Some("begin different products"); 2]),
    (9, [Some("another swizzle"); 2]),
    (10, [Some("without a fence behind the copy"), None]),
    (11, [Some("before it is set up"); 2]),
    (12, [Some("while its copies are under way"), None]),
    (13, [Some("announced at a barrier"); 2]),
];

fn launch(mistake: usize) -> Result<Launch> {
    let launch = Launch::new(Module::AttentionHopper, "misuse", Element::Bf16, [1, 1, 1])?.tensors(2);
    let shared = PANEL_ALIGNMENT + 192 * 64 * 2 + 8;
    Ok(Launch { block: 128, ..launch.ints(&[mistake])?.shared(shared as u32) })
}

#[test]
fn one_mistake_at_a_time_is_refused() -> Result<()> {
    let x = Tensor::randn(0f32, 1.0, (64, 64), &Device::Cpu)?.to_dtype(DType::BF16)?;
    let [found] = perform(&launch(0)?, &[&x], [(&[64, 128], DType::BF16)])?;
    let wide = x.to_dtype(DType::F32)?;
    let square = (wide.matmul(&wide.t()?)? * 2.0)?;
    let error = super::formulas::relative_l2(&found, &Tensor::cat(&[&square, &square], 1)?).unwrap();
    assert!(error < 4e-3, "{error}");

    let out = Tensor::zeros((64, 128), DType::BF16, &Device::Cpu)?;
    for (mistake, expected) in MISTAKES {
        for (order, expected) in expected.into_iter().enumerate() {
            let said = refusal(&launch(mistake)?, &[&x, &out], order as u32)?;
            match (expected, &said) {
                (Some(part), Some(said)) => assert!(said.contains(part), "mistake {mistake}, order {order}: {said}"),
                (None, None) => {}
                _ => panic!("mistake {mistake}, order {order}: {said:?} instead of {expected:?}"),
            }
        }
    }
    Ok(())
}
