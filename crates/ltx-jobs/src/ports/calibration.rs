//! How long stages took on this node.
//!
//! Must not know what a unit of work is.

use crate::{
    Result, StageTime,
    estimate::{Basis, Measured},
};
use ltx_types::Schedule;

/// What finished runs have shown of the device's speed.
pub trait Calibration {
    /// Seconds per unit of work by stage, for a model and a schedule, in units of a basis.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    fn seconds_per_unit(&self, model: &str, schedule: Schedule, basis: &Basis) -> Result<Vec<StageTime>>;

    /// Adds a finished run, measured in units of a basis; earlier ones fade.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    fn calibrate(&self, model: &str, schedule: Schedule, run: (&Basis, &[Measured])) -> Result<()>;
}
