//! How long stages take on this node, as a moving average of its own finished runs.
//!
//! Must not know what a unit of work is.

use super::{Durability, Store, to_json};
use crate::{Result, StageTime};
use ltx_types::{Schedule, Stage};
use rusqlite::params;

/// A new run counts at least this much.
const WEIGHT: f64 = 0.3;

impl Store {
    /// Seconds per unit of work by stage, for a model and a schedule.
    ///
    /// # Errors
    /// `Database`, `Corrupt`.
    pub(crate) fn seconds_per_unit(&self, model: &str, schedule: Schedule) -> Result<Vec<StageTime>> {
        self.read(|connection| {
            let sql = "SELECT stage, seconds_per_unit FROM calibration WHERE model = ?1 AND schedule = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params![model, schedule.as_str()])?;
            let mut times = Vec::new();
            while let Some(row) = rows.next()? {
                let stage = super::from_json("stage", &row.get::<_, String>(0)?)?;
                times.push(StageTime { stage, seconds: row.get(1)? });
            }
            Ok(times)
        })
    }

    /// Mixes a finished run in. The first runs are averaged; later ones fade.
    ///
    /// # Errors
    /// `Database`, `StorageFull`.
    pub(crate) fn calibrate(&self, model: &str, schedule: Schedule, per_unit: &[(Stage, f64)]) -> Result<()> {
        self.write(Durability::Progress, |tx, _| {
            for (stage, seconds) in per_unit {
                tx.execute(
                    "INSERT INTO calibration (model, schedule, stage, seconds_per_unit, runs) VALUES (?1, ?2, ?3, ?4, 1)
                     ON CONFLICT DO UPDATE SET
                        seconds_per_unit = seconds_per_unit
                            + (excluded.seconds_per_unit - seconds_per_unit) * MAX(?5, 1.0 / (runs + 1)),
                        runs = runs + 1",
                    params![model, schedule.as_str(), to_json("stage", stage)?, seconds, WEIGHT],
                )?;
            }
            Ok(())
        })
    }
}
