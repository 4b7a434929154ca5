//! How much of each unit of work a machine does in a second.
//!
//! Must not know how rates are measured, or where they are kept.

use crate::{StageWork, Unit, Work, work::Phase};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Units a second; every rate is above 0 and finite.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Unit, f64>")]
pub struct Rates(BTreeMap<Unit, f64>);

impl From<BTreeMap<Unit, f64>> for Rates {
    /// A rate that is none is left out.
    fn from(rates: BTreeMap<Unit, f64>) -> Self {
        Self(rates.into_iter().filter(|(_, rate)| is_rate(*rate)).collect())
    }
}

fn is_rate(rate: f64) -> bool {
    rate.is_finite() && rate > 0.0
}

impl Rates {
    /// With the rate of a unit; one that is not above 0 and finite is left out.
    #[must_use]
    pub fn and(mut self, unit: Unit, per_second: f64) -> Self {
        if is_rate(per_second) {
            self.0.insert(unit, per_second);
        }
        self
    }

    /// Of one unit. Convolutions of a frame that was not measured are as fast as those of several, at least.
    pub fn of(&self, unit: &Unit) -> Option<f64> {
        let near = || match unit {
            Unit::FlatConvolution(channels) => self.0.get(&Unit::Convolution(*channels)),
            _ => None,
        };
        self.0.get(unit).or_else(near).copied()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (&Unit, f64)> {
        self.0.iter().map(|(unit, rate)| (unit, *rate))
    }

    /// Seconds of some work; `None` if a unit of it has no rate.
    pub fn seconds(&self, work: &Work) -> Option<f64> {
        work.counts().map(|(unit, count)| Some(count as f64 / self.of(unit)?)).sum()
    }

    /// Seconds of a stage: of every phase the longer of its work and what is read beside it.
    pub fn stage_seconds(&self, stage: &StageWork) -> Option<f64> {
        let phase = |Phase { times, work, beside }: &Phase| {
            let beside = self.seconds(&Work::of(Unit::Read, *beside))?;
            Some(*times as f64 * self.seconds(work)?.max(beside))
        };
        stage.phases.iter().map(phase).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;

    #[test]
    fn the_longer_of_work_and_reading_decides() {
        let rates = Rates::default().and(Unit::Call, 10.0).and(Unit::Read, 100.0);
        let phase = |beside| Phase { times: 2, work: Work::of(Unit::Call, 5), beside };
        let stage = |beside| StageWork { stage: Stage::Denoising, phases: vec![phase(beside)] };
        assert_eq!([0, 50, 200].map(|beside| rates.stage_seconds(&stage(beside))), [Some(1.0), Some(1.0), Some(4.0)]);
        let unknown = Phase { work: Work::of(Unit::Value, 1), ..phase(0) };
        assert_eq!(rates.stage_seconds(&StageWork { phases: vec![unknown], ..stage(0) }), None);
    }

    #[test]
    fn what_is_no_rate_is_left_out_wherever_it_comes_from() {
        let rates = [0.0, -1.0, f64::NAN, f64::INFINITY].into_iter();
        let rates = rates.fold(Rates::default().and(Unit::Call, 2.0), |rates, rate| rates.and(Unit::Read, rate));
        assert_eq!(rates.all().count(), 1);
        let text = serde_json::to_string(&rates).unwrap();
        assert_eq!(serde_json::from_str::<Rates>(&text).unwrap(), rates);
        assert_eq!(serde_json::from_str::<Rates>(r#"{"calls": 0.0, "bytes read": 3.0}"#).unwrap().all().count(), 1);
        assert!(serde_json::from_str::<Rates>(r#"{"wishes": 1.0}"#).is_err());
    }
}
