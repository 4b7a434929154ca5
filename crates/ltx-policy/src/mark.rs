//! The mark: what an output says about its own class.
//!
//! Must not know files; the writers in `ltx-media` decide where the entries go.

use ltx_types::{Flow, Generation, Method, Seed, SigmaList, UnixMillis};
use serde::Serialize;

/// What tells one set of weights from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WeightFingerprint {
    /// SHA-256 over the names, sizes and headers of all files, as hexadecimal digits; known at once.
    pub header_sha256: String,
    /// SHA-256 of the checkpoint's bytes; `None` until it was computed.
    pub file_sha256: Option<String>,
    /// Bytes of all files.
    pub total_bytes: u64,
}

/// The model that made an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelIdentity {
    /// The manifest's name, or the file's when a bare path was given.
    pub name: String,
    /// The checkpoint's own `model_version`.
    pub version: String,
    /// Its weights.
    pub weights: WeightFingerprint,
    /// Whether large matrices of it or of its language model are multiplied in 8 bits.
    pub eight_bit: bool,
    /// Whether its frames are drawn from noise by the decoder of its video VAE.
    pub diffusion_decoder: bool,
}

/// Usage class, credits, method, model, weights, seed, sigmas of one's own, LoRAs by name and node of one output. Only an admitted generation
/// makes one.
///
/// A clip's mark is complete when its frames are: see [`completed`](Self::completed).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsageMark {
    usage_class: &'static str,
    credits_charged: u32,
    method: Method,
    model: String,
    model_version: String,
    weights: WeightFingerprint,
    seed: Seed,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<Flow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sigmas: Option<SigmaList>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refine_sigmas: Option<SigmaList>,
    /// `int8` where large matrices were multiplied in 8 bits; left out where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    products: Option<&'static str>,
    /// `diffusion` where the frames were drawn by a diffusion decoder; left out where they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    decoder: Option<&'static str>,
    /// LoRAs that the request named, as `name=strength,strength`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    loras: Vec<String>,
    node: String,
    engine: &'static str,
    /// Whether the node makes faults on purpose; left out where it does not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    testing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

impl UsageMark {
    pub(crate) fn new(request: &Generation, model: &ModelIdentity, node: &str) -> Self {
        Self {
            usage_class: "UNLIMITED",
            credits_charged: 0,
            method: request.method,
            model: model.name.clone(),
            model_version: model.version.clone(),
            weights: model.weights.clone(),
            seed: request.seed,
            flow: request.flow,
            sigmas: request.sigmas.clone(),
            refine_sigmas: request.refine_sigmas.clone(),
            products: model.eight_bit.then_some("int8"),
            decoder: model.diffusion_decoder.then_some("diffusion"),
            loras: request.loras.iter().map(ToString::to_string).collect(),
            node: node.to_owned(),
            engine: concat!("ltxd ", env!("CARGO_PKG_VERSION")),
            testing: false,
            frames_sha256: None,
            time: None,
        }
    }

    /// The mark of a clip that a node for tests of clients has made, where faults can be asked for. It says so for good.
    pub fn of_a_test(self) -> Self {
        Self { testing: true, ..self }
    }

    /// The mark of a finished clip: with the SHA-256 of its decoded frames, and when it was done. Without a time, the same
    /// frames give the same file.
    pub fn completed(self, frames_sha256: &str, time: Option<UnixMillis>) -> Self {
        let time = time.map(|time| time.to_string());
        Self { frames_sha256: Some(frames_sha256.to_owned()), time, ..self }
    }

    /// The mark as key and value pairs, for container metadata and text chunks. What is not known is left out.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let weights = &self.weights;
        let known = [
            ("usage_class", self.usage_class.to_owned()),
            ("credits_charged", self.credits_charged.to_string()),
            ("method", self.method.to_string()),
            ("model", self.model.clone()),
            ("model_version", self.model_version.clone()),
            ("weights_header_sha256", weights.header_sha256.clone()),
            ("weights_bytes", weights.total_bytes.to_string()),
            ("seed", self.seed.to_string()),
            ("node", self.node.clone()),
            ("engine", self.engine.to_owned()),
        ];
        let own = [("sigmas", &self.sigmas), ("refine_sigmas", &self.refine_sigmas)];
        let own = own.into_iter().filter_map(|(key, list)| Some((key, list.as_ref()?.to_string())));
        let later = [
            ("weights_file_sha256", &weights.file_sha256),
            ("frames_sha256", &self.frames_sha256),
            ("time", &self.time),
        ];
        let later = later.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
        let loras = (!self.loras.is_empty()).then(|| ("loras", self.loras.join("; ")));
        let flow = self.flow.map(|flow| ("flow", flow.to_string()));
        let products = self.products.map(|products| ("products", products.to_owned()));
        let decoder = self.decoder.map(|decoder| ("decoder", decoder.to_owned()));
        let products = products.into_iter().chain(decoder);
        let testing = self.testing.then(|| ("testing", "true".to_owned()));
        known.into_iter().chain(testing).chain(flow).chain(own).chain(products).chain(loras).chain(later).collect()
    }
}
