//! One clip of a run: through the engine into its files.
//!
//! Must not know flags and defaults; what it is told has been checked.

use super::{
    Arguments, NODE,
    summary::{LoraAccount, Summary},
};
use crate::{
    forecast::Forecast,
    progress::{Bar, StagePeaks},
    several::named_by_seed,
};
use anyhow::{Context, Result};
use ltx_engine::{Generator, MemoryPlan, Run};
use ltx_jobs::TensorCache;
use ltx_media::{FrameWriter, Mp4Writer, PngFolderWriter, Seal};
use ltx_pipeline::Engine;
use ltx_policy::{Admitted, ModelIdentity, UsageMark};
use ltx_provenance::{ClipSeal, Credentials, Input};
use ltx_types::{CancelToken, Generation, Seed};
use std::{path::PathBuf, sync::Arc, time::Instant};

/// What all clips of a run have in common.
pub(super) struct Clip<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) identity: &'a ModelIdentity,
    pub(super) cache: &'a TensorCache,
    /// What was planned and forecast of it.
    pub(super) told: (&'a MemoryPlan, Option<&'a Forecast>),
    pub(super) loras: &'a [LoraAccount],
    pub(super) cancel: &'a CancelToken,
    /// What signs its outputs.
    pub(super) credentials: Option<Arc<Credentials>>,
}

impl Clip<'_> {
    /// Makes one, and says what came of it.
    pub(super) fn make(&self, engine: &mut Engine, admitted: &Admitted<Generation>, of_several: bool) -> Result<()> {
        let Self { arguments, identity, cache, told: (plan, forecast), loras, cancel, ref credentials } = *self;
        let files = Files::of(arguments, of_several.then_some(admitted.request().seed));
        let mark = admitted.mark(identity, NODE);
        let bar = Bar::new(arguments.json);
        let peaks = StagePeaks::new(&bar);
        let (started, damaged) = (Instant::now(), cache.damaged());
        let inputs = || Input::of(admitted.request()).context("an image cannot be read");
        let seal =
            credentials.as_ref().map(|credentials| anyhow::Ok(ClipSeal::new(Arc::clone(credentials), inputs()?)));
        let seal = seal.transpose()?.map(Arc::new);
        let mut writers = files.writers(admitted, &mark, seal.as_ref())?;
        let outcome = engine.generate(admitted, &mut writers, &Run { progress: &peaks, cache, ..Run::quiet(cancel) });
        bar.clear();
        let outcome = outcome?;
        cancel.check()?;
        // No time: the same request and seed give the same bytes.
        let mark = mark.completed(&outcome.frames_sha256, None);
        writers.into_iter().try_for_each(|writer| writer.finish(&mark))?;
        if cache.damaged() > damaged && !arguments.json {
            eprintln!("a kept context or latent was damaged; it was dropped and computed again");
        }
        let stage_peaks = peaks.take();
        let summary = Summary {
            files: &files,
            loras,
            request: admitted.request(),
            mark: &mark,
            outcome: &outcome,
            sealed: seal.and_then(|seal| seal.sealed()),
            plan,
            forecast,
            peak_rss_bytes: stage_peaks.iter().map(|(_, bytes)| *bytes).max().max(ltx_jobs::memory::peak_bytes()),
            stage_peaks,
            total_seconds: started.elapsed().as_secs_f64(),
        };
        if arguments.json {
            println!("{}", summary.json())
        } else {
            eprintln!("{}", summary.text())
        }
        Ok(())
    }
}

/// Where a clip is written.
pub(super) struct Files {
    pub(super) out: PathBuf,
    pub(super) frames_dir: Option<PathBuf>,
}

impl Files {
    /// As the flags name them; of one of several clips with its seed.
    pub(super) fn of(arguments: &Arguments, seed: Option<Seed>) -> Self {
        let named = |name: &PathBuf| seed.map_or_else(|| name.clone(), |seed| named_by_seed(name, seed));
        Self { out: named(&arguments.out), frames_dir: arguments.frames_dir.as_ref().map(named) }
    }

    /// The outputs; each is marked, and none is visible before it is finished.
    fn writers(
        &self,
        admitted: &Admitted<Generation>,
        mark: &UsageMark,
        seal: Option<&Arc<ClipSeal>>,
    ) -> Result<Vec<Box<dyn FrameWriter>>> {
        let seal = || seal.map(|seal| Arc::clone(seal) as Arc<dyn Seal>);
        let Generation { pixels, rate, .. } = *admitted.request();
        let mut writers: Vec<Box<dyn FrameWriter>> =
            vec![Box::new(Mp4Writer::create(&self.out, pixels, rate)?.sealed_by(seal()))];
        if let Some(folder) = &self.frames_dir {
            writers.push(Box::new(PngFolderWriter::create(folder, pixels, mark)?.sealed_by(seal())));
        }
        Ok(writers)
    }
}
