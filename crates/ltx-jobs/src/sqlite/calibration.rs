//! How long stages take on this node: the line through 0 that fits its own finished runs best (least squares). Large runs
//! decide it; small ones, which mostly load weights, do not speak for them, and are wrong by no more than that loading. Nor does
//! the first: it reads files that the system does not hold yet, and stands only until another one is there.
//!
//! Must not know what a unit of work is.

use super::{Durability, SqliteStore, to_json};
use crate::{
    Result, StageTime,
    estimate::{Basis, Measured},
    ports::Calibration,
};
use ltx_types::Schedule;
use rusqlite::params;

/// What earlier runs of the same size still count when another follows. A smaller one takes no more from them than it adds.
const FADING: f64 = 0.8;
/// What the first run counts when others follow.
const FIRST: f64 = 0.05;

impl Calibration for SqliteStore {
    fn seconds_per_unit(&self, model: &str, schedule: Schedule, basis: &Basis) -> Result<Vec<StageTime>> {
        self.read(|connection| {
            let sql =
                "SELECT stage, seconds_per_unit FROM calibration WHERE model = ?1 AND schedule = ?2 AND basis = ?3";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params![model, schedule.as_str(), basis.as_str()])?;
            let mut times = Vec::new();
            while let Some(row) = rows.next()? {
                let stage = super::from_json("stage", &row.get::<_, String>(0)?)?;
                times.push(StageTime { stage, seconds: row.get(1)? });
            }
            Ok(times)
        })
    }

    fn calibrate(&self, model: &str, schedule: Schedule, (basis, run): (&Basis, &[Measured])) -> Result<()> {
        self.write(Durability::Progress, |tx, _| {
            for Measured { stage, seconds, units } in run {
                tx.execute(
                    "INSERT INTO calibration (model, schedule, stage, seconds_per_unit, weight, runs, basis)
                     VALUES (?1, ?2, ?3, ?4, ?5 * ?8, 1, ?7)
                     ON CONFLICT DO UPDATE SET
                        seconds_per_unit = (seconds_per_unit * MAX(weight * ?6, weight - ?5) + ?4 * ?5)
                            / (MAX(weight * ?6, weight - ?5) + ?5),
                        weight = MAX(weight * ?6, weight - ?5) + ?5,
                        runs = runs + 1",
                    params![
                        model,
                        schedule.as_str(),
                        to_json("stage", stage)?,
                        seconds / units,
                        units * units,
                        FADING,
                        basis.as_str(),
                        FIRST
                    ],
                )?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ltx_types::Stage;

    #[test]
    fn a_first_run_stands_only_until_another_one_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("jobs.sqlite"), Box::new(|_| {})).unwrap();
        let run = |seconds| {
            let run = [Measured { stage: Stage::TextEncoding, seconds, units: 1.0 }];
            store.calibrate("m", Schedule::Distilled, (&Basis::of("x"), &run)).unwrap();
            store.seconds_per_unit("m", Schedule::Distilled, &Basis::of("x")).unwrap()[0].seconds
        };
        // Files that nobody has read yet, then files that are there.
        assert_eq!(run(5.3), 5.3);
        assert!((1.3..1.3 * 1.15).contains(&run(1.3)));
    }

    #[test]
    fn small_runs_do_not_speak_for_large_ones_and_old_ones_fade() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("jobs.sqlite"), Box::new(|_| {})).unwrap();
        let add = |seconds, units| {
            let run = [Measured { stage: Stage::Denoising, seconds, units }];
            store.calibrate("m", Schedule::Distilled, (&Basis::of("x"), &run)).unwrap();
            store.seconds_per_unit("m", Schedule::Distilled, &Basis::of("x")).unwrap()[0].seconds
        };
        // A second to load, and a thousandth for each unit.
        assert_eq!(add(1.01, 10.0), 0.101);
        assert!((add(11.0, 10_000.0) - 0.0011).abs() < 1e-6);
        for _ in 0..200 {
            assert!((add(1.01, 10.0) - 0.0011).abs() < 1e-4);
        }
        // The machine is twice as fast now.
        let faster: Vec<_> = [(); 20].map(|()| add(5.5, 10_000.0)).to_vec();
        assert!(faster[0] > 0.0006 && (faster[19] - 0.00055).abs() < 1e-5, "{faster:?}");
        for (schedule, basis) in
            [(Schedule::Guided, "x"), (Schedule::Distilled, "another machine"), (Schedule::Distilled, "")]
        {
            assert_eq!(store.seconds_per_unit("m", schedule, &Basis::of(basis)).unwrap(), []);
        }
    }
}
