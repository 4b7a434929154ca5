//! The diffusion transformer, video stream only: it predicts the velocity of every token.
//! Source: the public `ltx_core` reference, `model/transformer/`.
//!
//! Must not know sigmas' schedule, guidance, or where tokens come from.

mod adaln;
mod block;
mod captions;
mod config;
mod entries;
mod footprint;
mod model;
mod timesteps;
mod work;

pub use config::TransformerConfig;
use entries::SECTION;
pub use footprint::StepShape;
pub use model::{BlockSkips, HeldBlocks, Transformer, TransformerInput};
pub use timesteps::TokenTimesteps;
pub use work::PassShape;
