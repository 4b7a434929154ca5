//! Previews between the nodes of a service. A node alone has nobody to show them to.
//!
//! Must not know how they are made, or who watches. None is kept, and one that is lost does no harm.

use crate::GenerationId;
use ltx_types::Progress;
use std::sync::Arc;

/// Takes in a preview: the steps after which it was made, and its PNG.
pub type Shown = Box<dyn Fn(Progress, Arc<[u8]>) + Send + Sync>;

/// Carries previews to whoever watches at another node.
pub trait PreviewExchange: Send + Sync {
    /// Has previews of a generation that other nodes make shown here, until what comes back is dropped.
    fn follow(&self, id: GenerationId, shown: Shown) -> Box<dyn Send + Sync>;

    /// Whether another node wants previews of a generation that this one makes. Answers at once.
    fn wanted(&self, id: GenerationId) -> bool;

    /// Shows other nodes a preview of a generation that this one makes. Returns at once.
    fn show(&self, id: GenerationId, after: Progress, png: &Arc<[u8]>);
}

/// There is no other node.
#[derive(Debug, Clone, Copy, Default)]
pub struct NobodyElse;

impl PreviewExchange for NobodyElse {
    fn follow(&self, _: GenerationId, _: Shown) -> Box<dyn Send + Sync> {
        Box::new(())
    }

    fn wanted(&self, _: GenerationId) -> bool {
        false
    }

    fn show(&self, _: GenerationId, _: Progress, _: &Arc<[u8]>) {}
}
