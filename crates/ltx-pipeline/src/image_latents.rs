//! The latents of a generation's images: which it needs, by which keys they are known, those that are kept already, and the video
//! encoder for the others.
//!
//! Must not know where latents are kept. A kept one is the same to the last bit as one that is computed.

use crate::{
    Engine, Result,
    conditioning::{ConditionedImage, PreparedImage, StageSize},
    generate::stage_shapes,
    kept::Encodes,
};
use ltx_engine::{Cache, CacheKey, Run};
use ltx_model::{
    part::Module,
    video_vae::{LatentStatistics, VideoEncoder},
};
use ltx_nn::Taps;
use ltx_types::{Generation, Progress, Stage};
use sha2::{Digest, Sha256};

/// What is digested first. Another number where a latent's bytes, or what decides them, change for reasons that stand in no file and
/// no option.
const KIND: &str = "ltxd image latent 1";

/// Dimensions of what is kept.
const DIMENSIONS: usize = 5;

/// Which image, at which stage's size.
type Place = (StageSize, usize);

/// The images of a generation at its stages' sizes; of a first stage that is over none.
pub(crate) type ImageLatents = Encodes<Place>;

impl Engine {
    /// Every image at every stage's size, those that are kept already in place. Where the first stage is `over` nothing is wanted
    /// for it.
    pub(crate) fn kept_images(
        &self,
        request: &Generation,
        images: &[PreparedImage],
        cache: &dyn Cache,
        over: bool,
    ) -> ImageLatents {
        let sizes = stage_shapes(request).into_iter().enumerate().map(|(stage, shape)| StageSize { stage, shape });
        let places = sizes.skip(usize::from(over)).flat_map(|size| (0..images.len()).map(move |image| (size, image)));
        let key = |(size, image): &Place| self.image_key(*size, &images[*image]);
        Encodes::of::<DIMENSIONS>(places, key, (cache, &self.options.compute.device))
    }

    /// Computes those that are not there, so that the encoder is loaded once, and has them kept.
    pub(crate) fn complete_images(
        &self,
        latents: &mut ImageLatents,
        encoder: &VideoEncoder,
        images: &[PreparedImage],
        (run, taps): (&Run<'_>, &Taps),
    ) -> Result<()> {
        let lacking: Vec<_> = latents.lacking().collect();
        let total = lacking.len();
        let report = |done| run.progress.report(Progress { stage: Stage::ImageEncoding, done, total });
        for (done, wanted) in lacking.into_iter().enumerate() {
            report(done);
            run.cancel.check()?;
            let (size, image) = wanted.place;
            let taps = of_image(taps, wanted.place);
            let encoded = images[image].encode(encoder, size, &self.options.compute.device, &taps)?;
            wanted.computed(encoded, run.cache);
        }
        report(total);
        Ok(())
    }

    /// Every image at every stage's size, `[stage][image]`, as the sampler takes them. Of a first stage that is over only the noise is
    /// drawn again, for which its images are as many tokens, of whatever value: zeros.
    pub(crate) fn conditioned_images(
        &self,
        latents: ImageLatents,
        request: &Generation,
        images: &[PreparedImage],
        taps: &Taps,
    ) -> Result<Vec<Vec<ConditionedImage>>> {
        let statistics = match images.iter().any(PreparedImage::is_drawn) {
            true => Some(self.latent_statistics()?),
            false => None,
        };
        let shapes = stage_shapes(request);
        let mut stages: Vec<Vec<ConditionedImage>> = shapes.iter().map(|_| Vec::new()).collect();
        for (place, encoded) in latents.into_places() {
            let (StageSize { stage, .. }, image) = place;
            let image = images[image].conditioned((stage, encoded), statistics.as_ref(), &of_image(taps, place))?;
            stages[stage].push(image);
        }
        for (stage, shape) in stages.iter_mut().zip(shapes).filter(|(stage, _)| stage.is_empty()) {
            let zeros = self.empty_latent(request, shape)?.narrow(2, 0, 1)?;
            stage.extend(images.iter().map(|image| image.with_latent(zeros.clone())));
        }
        Ok(stages)
    }

    /// The key of what the encoder makes of an image: everything that decides its bytes, the pixels that it is given among it.
    fn image_key(&self, size: StageSize, image: &PreparedImage) -> Option<CacheKey> {
        let encoder = self.image_weights.get_or_init(|| self.identify_encoder()).as_ref()?;
        let mut digest = Sha256::new();
        digest.update(encoder);
        digest.update(format!("{:?} {}\n", size.shape, image.is_drawn()));
        digest.update(image.fitted(size).iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        Some(CacheKey::new(digest.finalize().into()))
    }

    fn identify_encoder(&self) -> Option<[u8; 32]> {
        let own = |key: &str| key.starts_with(VideoEncoder::MARK) || key.starts_with(LatentStatistics::MARK);
        let config = format!("{:?}", self.architecture().vae);
        self.identify((KIND, &config), |sink| self.ltx.tensors.identify(own, sink))
    }
}

fn of_image(taps: &Taps, (size, image): Place) -> Taps {
    taps.within(format!("stage{}.image{image}.", size.stage + 1))
}
