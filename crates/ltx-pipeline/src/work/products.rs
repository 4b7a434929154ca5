//! Products of a set of matrices, by the form that each takes.
//!
//! Must not know which part they are of.

use crate::plan::Rule;
use ltx_nn::matrix::{Arithmetic, StoredKind, Use};
use ltx_types::{Unit, Work};
use ltx_weights::Footprint;
use std::collections::BTreeMap;

/// How a matrix comes into a form, so that one like it can be measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// What its values are stored as.
    pub(crate) kind: StoredKind,
    /// What it is loaded for.
    pub(crate) usage: Use,
    /// The arithmetic of its part.
    pub(crate) arithmetic: Arithmetic,
}

/// Products, and what reading the matrices takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Products {
    /// The products.
    pub(crate) work: Work,
    /// Values that are laid out when everything is loaded once.
    pub(crate) layout: Work,
    /// Bytes of layers that stay, of those that are read for every pass, and of all that is read at once.
    pub(crate) held: u64,
    pub(crate) streamed: u64,
    pub(crate) read_whole: u64,
    /// A matrix of every form.
    pub(crate) recipes: BTreeMap<String, Recipe>,
}

impl Products {
    /// Adds a tensor; `layered` says whether it lies in a layer of a stack, which is read while the one before computes.
    pub(crate) fn add(&mut self, rule: Rule<'_>, tensor: Footprint<'_>, (usage, rows): (Use, u64), layered: bool) {
        match (layered, usage) {
            (false, _) => self.read_whole += tensor.stored,
            (true, Use::Streamed) => self.streamed += tensor.stored,
            (true, Use::Stays | Use::Compact | Use::Once) => self.held += tensor.stored,
        }
        let values = tensor.shape.iter().product::<usize>() as u64;
        let Some((matrix, form, pairs)) = rule.product(tensor, usage) else {
            // Kernels of convolutions.
            if tensor.shape.len() > 2 {
                self.layout.add(Unit::Layout(Unit::CONVOLUTIONS.to_owned()), values);
            }
            return;
        };
        let name = form.name();
        if rows > 0 {
            self.work.add(Unit::Product(name.clone()), 2 * rows * (values + pairs));
            self.work.add(Unit::Matrix(name.clone()), values);
            self.work.add(Unit::Call, 1);
        }
        if form.is_laid_out() {
            self.layout.add(Unit::Layout(name.clone()), values);
        }
        self.recipes.entry(name).or_insert(Recipe { kind: matrix.kind, usage, arithmetic: rule.arithmetic });
    }

    /// Bytes of all layers.
    pub(crate) fn read(&self) -> u64 {
        self.held + self.streamed
    }

    /// The products with so many rows, where these have one each.
    pub(crate) fn of_rows(&self, rows: u64) -> Work {
        let scaled = |(unit, count): (&Unit, u64)| match unit {
            Unit::Product(_) => (unit.clone(), count * rows),
            _ => (unit.clone(), count),
        };
        self.work.counts().map(scaled).fold(Work::default(), |work, (unit, count)| work.and(unit, count))
    }
}
