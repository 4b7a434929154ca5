//! The latents of a generation's images: which it needs, by which keys they are known, those that are kept already, and the video
//! encoder for the others.
//!
//! Must not know where latents are kept. A kept one is the same to the last bit as one that is computed.

use crate::{
    Engine, Result,
    conditioning::{ConditionedImage, PreparedImage, StageSize},
    generate::stage_shapes,
    kept::{keep, on_device},
};
use candle_core::Tensor;
use ltx_engine::{Cache, CacheKey, Encodings, Run};
use ltx_model::{
    part::Module,
    video_vae::{LatentStatistics, VideoEncoder},
};
use ltx_nn::Taps;
use ltx_types::{Generation, PixelShape, Progress, Stage};
use sha2::{Digest, Sha256};

/// What is digested first. Another number where a latent's bytes, or what decides them, change for reasons that stand in no file and
/// no option.
const KIND: &str = "ltxd image latent 1";

/// Dimensions of what is kept.
const DIMENSIONS: usize = 5;

/// An image at a stage's size.
struct Wanted {
    size: StageSize,
    /// Which of the generation's images.
    image: usize,
    /// Nothing where no cache keeps anything, or no key can be made.
    key: Option<CacheKey>,
    /// What the encoder makes of it; nothing while that has to be computed.
    encoded: Option<Tensor>,
}

/// The images of a generation at its stages' sizes.
pub(crate) struct ImageLatents {
    /// Stage by stage, image by image; of a first stage that is over none.
    wanted: Vec<Wanted>,
    cached: usize,
    shapes: Vec<PixelShape>,
}

impl ImageLatents {
    /// Whether the video encoder is not needed.
    pub(crate) fn are_complete(&self) -> bool {
        self.wanted.iter().all(|wanted| wanted.encoded.is_some())
    }

    /// Where they came from.
    pub(crate) fn origin(&self) -> Encodings {
        Encodings { cached: self.cached, encoded: self.wanted.len() - self.cached }
    }
}

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
        let shapes = stage_shapes(request);
        let sizes = shapes.iter().enumerate().map(|(stage, shape)| StageSize { stage, shape: *shape });
        let places = sizes.skip(usize::from(over)).flat_map(|size| (0..images.len()).map(move |image| (size, image)));
        let place = |(size, image): (StageSize, usize)| {
            let key = cache.keeps().then(|| self.image_key(size, &images[image])).flatten();
            let kept = key.and_then(|key| cache.get(&key));
            let encoded = kept.and_then(|kept| on_device::<DIMENSIONS>(&kept, &self.options.compute.device));
            Wanted { size, image, key, encoded }
        };
        let wanted: Vec<_> = places.map(place).collect();
        let cached = wanted.iter().filter(|wanted| wanted.encoded.is_some()).count();
        ImageLatents { wanted, cached, shapes }
    }

    /// Computes those that are not there, so that the encoder is loaded once, and has them kept.
    pub(crate) fn complete_images(
        &self,
        latents: &mut ImageLatents,
        encoder: &VideoEncoder,
        images: &[PreparedImage],
        (run, taps): (&Run<'_>, &Taps),
    ) -> Result<()> {
        let lacking: Vec<_> = latents.wanted.iter_mut().filter(|wanted| wanted.encoded.is_none()).collect();
        let total = lacking.len();
        let report = |done| run.progress.report(Progress { stage: Stage::ImageEncoding, done, total });
        for (done, wanted) in lacking.into_iter().enumerate() {
            report(done);
            run.cancel.check()?;
            let (image, device) = (&images[wanted.image], &self.options.compute.device);
            let encoded = image.encode(encoder, wanted.size, device, &of_image(taps, wanted))?;
            if let Some(key) = wanted.key {
                keep(run.cache, &key, &encoded);
            }
            wanted.encoded = Some(encoded);
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
        let ImageLatents { wanted, shapes, .. } = latents;
        let statistics = match images.iter().any(PreparedImage::is_drawn) {
            true => Some(self.latent_statistics()?),
            false => None,
        };
        let mut stages: Vec<Vec<ConditionedImage>> = shapes.iter().map(|_| Vec::new()).collect();
        for wanted in wanted {
            let taps = of_image(taps, &wanted);
            let Wanted { size: StageSize { stage, .. }, image, encoded: Some(encoded), .. } = wanted else { continue };
            stages[stage].push(images[image].conditioned((stage, encoded), statistics.as_ref(), &taps)?);
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
        image.fitted(size).iter().for_each(|value| digest.update(value.to_le_bytes()));
        Some(CacheKey::new(digest.finalize().into()))
    }

    fn identify_encoder(&self) -> Option<[u8; 32]> {
        let own = |key: &str| key.starts_with(VideoEncoder::MARK) || key.starts_with(LatentStatistics::MARK);
        let config = format!("{:?}", self.architecture().vae);
        self.identify((KIND, &config), |sink| self.ltx.tensors.identify(own, sink))
    }
}

fn of_image(taps: &Taps, wanted: &Wanted) -> Taps {
    taps.within(format!("stage{}.image{}.", wanted.size.stage + 1, wanted.image))
}
