//! Messages of the contract with any fields: mostly good ones, so that each odd one gets past the others.
//!
//! Must not know what becomes of them.

use ltx_proto::v1::{self, generation_spec::Images, image::Source, upload_image_request::Part, video_input};
use ltx_testkit::{
    fake::{FakeModels, picture},
    fuzz::{Bytes, damaged, edits, odd_text},
};
use proptest::{
    arbitrary::any,
    collection::vec,
    option, prop_oneof,
    sample::select,
    strategy::{BoxedStrategy, Just, Strategy},
};
use prost::Message as _;
use prost_types::Timestamp;
use sha2::{Digest, Sha256};

/// One call: its path, and its messages without frames.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) path: String,
    pub(super) parts: Vec<Bytes>,
}

impl Message {
    fn new(path: &str, message: &impl prost::Message) -> Self {
        Self { path: format!("/ltx.v1.{path}"), parts: vec![Bytes(message.encode_to_vec())] }
    }

    pub(super) fn framed(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|part| frame(&part.0)).collect()
    }
}

pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat()
}

/// What the node has, so that ids may hit.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) generation: String,
    pub(super) upload: String,
    pub(super) page_token: String,
}

/// A good request of each seed.
pub(super) fn plain(seed: u64) -> Message {
    let image = v1::Image { source: Some(Source::Data(picture().to_vec().into())), strength: None };
    let spec = v1::GenerationSpec {
        prompt: "A lake".into(),
        seed: Some(seed),
        width: Some(64),
        height: Some(64),
        frames: Some(9),
        images: Some(Images::Image(image)),
        ..v1::GenerationSpec::default()
    };
    let request = v1::CreateGenerationRequest { request_id: String::new(), spec: Some(spec), ..Default::default() };
    Message::new("GenerationService/CreateGeneration", &request)
}

pub(super) fn first_page() -> Message {
    let request = v1::ListGenerationsRequest { page_size: 1, ..v1::ListGenerationsRequest::default() };
    Message::new("GenerationService/ListGenerations", &request)
}

/// Mostly the good ones.
fn mostly<T: std::fmt::Debug + Clone + 'static>(
    good: impl Strategy<Value = T> + 'static,
    odd: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    prop_oneof![14 => good, 1 => odd].boxed()
}

fn count() -> impl Strategy<Value = u32> {
    let telling = [0, 1, 2, 8, 31, 32, 33, 96, 1000, 1001, 8001, 8002, 8192, 8193, 8224, 65_536, 1 << 31, u32::MAX];
    prop_oneof![3 => select(telling.to_vec()), 1 => any::<u32>()]
}

fn real() -> impl Strategy<Value = f64> {
    let telling = [0.0, -0.0, 1.0, -1.0, 1.0 + f64::EPSILON, 23.976, 24.0004, 120.0, 120.001, 100.0, 1e-320, f64::MAX];
    let strange = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE];
    prop_oneof![3 => select(telling.to_vec()), 1 => select(strange.to_vec()), 1 => any::<f64>()]
}

fn choice() -> impl Strategy<Value = i32> {
    prop_oneof![Just(-1), 3..9i32, Just(i32::MAX), Just(i32::MIN)]
}

fn data() -> BoxedStrategy<Vec<u8>> {
    let broken = edits(3).prop_map(|edits| damaged(picture().to_vec(), &edits));
    let none = prop_oneof![Just(vec![]), vec(any::<u8>(), 1..40), Just(vec![7; 65_537])];
    prop_oneof![20 => Just(picture().to_vec()), 2 => broken, 1 => none].boxed()
}

fn image(known: &Known) -> BoxedStrategy<v1::Image> {
    let upload = prop_oneof![4 => Just(known.upload.clone()), 1 => odd_id(&known.upload)];
    let source = prop_oneof![
        6 => data().prop_map(|data| Some(Source::Data(data.into()))),
        3 => upload.prop_map(|id| Some(Source::UploadId(id))),
        1 => Just(None),
    ];
    let strength = mostly(option::of(0.0..=1.0f64), real().prop_map(Some));
    (source, strength).prop_map(|(source, strength)| v1::Image { source, strength }).boxed()
}

fn odd_id(good: &str) -> BoxedStrategy<String> {
    let good = good.to_owned();
    let near =
        edits(2).prop_map(move |edits| String::from_utf8_lossy(&damaged(good.clone().into(), &edits)).into_owned());
    prop_oneof![near, odd_text(), Just("01890000-0000-7000-8000-000000000000".to_owned())].boxed()
}

fn images(known: &Known) -> BoxedStrategy<Option<Images>> {
    let both = (option::weighted(0.95, image(known)), option::weighted(0.95, image(known)));
    let both = both.prop_map(|(start, end)| Some(Images::StartEndImages(v1::StartEndImages { start, end })));
    prop_oneof![8 => image(known).prop_map(|image| Some(Images::Image(image))), 6 => both, 1 => Just(None)].boxed()
}

fn guidance() -> BoxedStrategy<Option<v1::Guidance>> {
    let number = || mostly(option::of(0.0..=1.0f64), real().prop_map(Some));
    let blocks = mostly(vec(0..3u32, 0..3), prop_oneof![vec(any::<u32>(), 0..8), Just(vec![1; 300])].boxed());
    let guidance =
        (number(), number(), number(), blocks).prop_map(|(cfg_scale, stg_scale, rescale_scale, stg_blocks)| {
            v1::Guidance { cfg_scale, stg_scale, rescale_scale, stg_blocks }
        });
    option::of(guidance).boxed()
}

/// Sigmas: mostly a good list or none.
fn sigmas() -> BoxedStrategy<Vec<f64>> {
    let falling = vec(0.001..1.0f64, 1..6).prop_map(|mut list| {
        list.sort_by(|a, b| b.total_cmp(a));
        list.dedup();
        list.push(0.0);
        list
    });
    mostly(prop_oneof![3 => Just(vec![]), 1 => falling], prop_oneof![vec(real(), 0..8), Just(vec![0.5; 1100])])
}

fn caller() -> BoxedStrategy<Option<v1::Caller>> {
    let agent = mostly(select(vec![0, 1]), prop_oneof![Just(2), choice()]);
    let plan = mostly(select(vec!["", "Pro", " premium "]).prop_map(str::to_owned), odd_text());
    let caller = (agent, option::of(any::<bool>()), plan);
    let caller = caller.prop_map(|(agent, credits_low, plan)| v1::Caller { agent, credits_low, plan });
    option::of(caller).boxed()
}

fn audio() -> impl Strategy<Value = v1::AudioSpec> {
    let input = vec(any::<u8>(), 0..3);
    (any::<bool>(), odd_text(), odd_text(), input).prop_map(|(track, sound_effects, background_music, input)| {
        v1::AudioSpec { track, sound_effects, background_music, input: input.into() }
    })
}

fn edit() -> impl Strategy<Value = v1::ElementEdit> {
    (odd_text(), vec(odd_text(), 0..3), odd_text()).prop_map(|(generation_id, elements, instruction)| v1::ElementEdit {
        generation_id,
        elements,
        instruction,
    })
}

fn model() -> BoxedStrategy<String> {
    let near = prop_oneof![
        odd_text(),
        select(vec!["Kling", "ltx-2.3-dev", "LTX 2.3 or Veo", "nosuch"]).prop_map(str::to_owned)
    ];
    mostly(select(vec!["", " ", FakeModels::NAME, "LTX-2.3-TINY"]).prop_map(str::to_owned), near)
}

/// Extras that are there to be refused.
/// What the unlimited class excludes, as far as a spec can ask for it; nothing else is in it.
fn excluded(known: &Known) -> BoxedStrategy<v1::GenerationSpec> {
    let video = odd_text().prop_map(|uri| v1::VideoInput { source: Some(video_input::Source::Uri(uri)) });
    let more = (option::of(image(known)), count()).prop_map(|(image, frame_index)| v1::Keyframe { image, frame_index });
    let some = (option::of(audio()), option::of(video), option::of(edit()), vec(more, 0..3));
    let some = some.prop_map(|(audio, video_input, element_edit, more_images)| v1::GenerationSpec {
        audio,
        video_input,
        element_edit,
        more_images,
        ..v1::GenerationSpec::default()
    });
    mostly(Just(v1::GenerationSpec::default()), some)
}

fn loras() -> BoxedStrategy<Vec<v1::LoraUse>> {
    let lora = (odd_text(), option::of(real()), option::of(real()));
    let lora = lora.prop_map(|(name, strength, stage_2_strength)| v1::LoraUse { name, strength, stage_2_strength });
    mostly(Just(vec![]), vec(lora, 0..20).boxed())
}

fn spec(known: &Known) -> BoxedStrategy<v1::GenerationSpec> {
    let side = || mostly(select(vec![Some(32), Some(64), Some(64), Some(96)]), option::of(count()).boxed());
    let frames = mostly(select(vec![Some(9), Some(9), Some(17), Some(1)]), option::of(count()).boxed());
    let shape = (side(), side(), frames, mostly(Just(Some(24.0)), option::of(real()).boxed()));
    let text = || mostly("[a-z ]{0,20}", odd_text());
    let texts = (text(), option::of(text()), model(), option::of(any::<u64>()));
    let one_of = |most: i32| mostly(0..=most, choice());
    let small = |good: u32| mostly(option::of(1..=good), option::of(count()).boxed());
    let numbers = (one_of(2), one_of(2), small(20), small(1), small(51));
    let own = (sigmas(), sigmas(), any::<bool>(), loras(), mostly(Just(0), any::<i32>().prop_map(|flow| flow % 6)));
    (shape, texts, numbers, own, images(known), guidance(), caller(), excluded(known))
        .prop_map(|(shape, texts, numbers, own, images, guidance, caller, excluded)| {
            let (sigmas, refine_sigmas, beyond_trained_length, loras, flow) = own;
            let (width, height, frames, fps) = shape;
            let (prompt, negative_prompt, model, seed) = texts;
            let (schedule, conditioning, steps, stages, image_crf) = numbers;
            v1::GenerationSpec {
                prompt,
                negative_prompt,
                images,
                width,
                height,
                frames,
                fps,
                seed,
                flow,
                schedule,
                steps,
                stages,
                guidance,
                conditioning,
                image_crf,
                sigmas,
                refine_sigmas,
                beyond_trained_length,
                loras,
                model,
                caller,
                ..excluded
            }
        })
        .boxed()
}

pub(super) fn create(known: &Known) -> BoxedStrategy<Message> {
    let request_id = mostly(Just(String::new()), prop_oneof![odd_text(), "[a-c]{1,2}"]);
    let seeds = mostly(Just(vec![]), vec(0..5_u64, 0..20));
    let count = mostly(Just(0), prop_oneof![0..20_u32, any::<u32>()]);
    let request = (request_id, option::weighted(0.99, spec(known)), seeds, count);
    let whole = |(request_id, spec, seeds, count)| v1::CreateGenerationRequest { request_id, spec, seeds, count };
    let request = request.prop_map(whole);
    request.prop_map(|request| Message::new("GenerationService/CreateGeneration", &request)).boxed()
}

pub(super) fn check(known: &Known) -> BoxedStrategy<Message> {
    let request = option::weighted(0.99, spec(known)).prop_map(|spec| v1::CheckEligibilityRequest { spec });
    request.prop_map(|request| Message::new("PolicyService/CheckEligibility", &request)).boxed()
}

fn time() -> impl Strategy<Value = Option<Timestamp>> {
    let seconds = prop_oneof![Just(0), 0..4_000_000_000i64, Just(i64::MAX), Just(i64::MIN), any::<i64>()];
    let nanos = prop_oneof![3 => Just(0), 1 => any::<i32>(), 1 => Just(999_999_999)];
    option::weighted(0.2, (seconds, nanos).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }))
}

/// Every call but those two.
pub(super) fn others(known: &Known) -> BoxedStrategy<Message> {
    let generation = || mostly(Just(known.generation.clone()), odd_id(&known.generation));
    let page_size = prop_oneof![3 => 0..=500i32, 1 => any::<i32>(), 1 => Just(501)];
    let page_token = prop_oneof![Just(String::new()), Just(known.page_token.clone()), odd_id(&known.page_token)];
    let states = mostly(vec(1..=5i32, 0..3), vec(prop_oneof![choice(), 0..9i32], 0..40).boxed());
    let method = mostly(0..=2i32, choice());
    let batch_id = mostly(Just(String::new()), generation());
    let list = (page_size, page_token, states, method, (time(), time()), model(), odd_text(), batch_id);
    let list = list.prop_map(|(page_size, page_token, states, method, times, model, text, batch_id)| {
        let (created_from, created_before) = times;
        let request = v1::ListGenerationsRequest {
            page_size,
            page_token,
            states,
            method,
            created_from,
            created_before,
            model,
            text,
            batch_id,
        };
        Message::new("GenerationService/ListGenerations", &request)
    });
    let number = || prop_oneof![0..40u64, any::<u64>(), Just(u64::MAX)];
    let watch = (generation(), number(), any::<bool>()).prop_map(|(id, resume_after, previews)| {
        let request = v1::WatchGenerationRequest { id, resume_after, previews };
        Message::new("GenerationService/WatchGeneration", &request)
    });
    let download = (generation(), mostly(0..=3i32, choice()), number()).prop_map(|(id, output, offset)| {
        Message::new("GenerationService/DownloadOutput", &v1::DownloadOutputRequest { id, output, offset })
    });
    let image = (generation(), mostly(0..=2i32, choice()), number()).prop_map(|(id, image, offset)| {
        Message::new("GenerationService/DownloadImage", &v1::DownloadImageRequest { id, image, offset })
    });
    // Never the one that is there: it is needed on.
    let named = (0..3usize, odd_id(&known.generation)).prop_map(|(call, id)| {
        let call = ["GetGeneration", "CancelGeneration", "DeleteGeneration"][call];
        Message::new(&format!("GenerationService/{call}"), &v1::GetGenerationRequest { id })
    });
    let get =
        generation().prop_map(|id| Message::new("GenerationService/GetGeneration", &v1::GetGenerationRequest { id }));
    let edit = (option::of(edit()), model(), caller()).prop_map(|(edit, model, caller)| {
        Message::new("PolicyService/EditElements", &v1::EditElementsRequest { edit, model, caller })
    });
    let sound =
        (odd_text(), option::of(audio()), model(), caller()).prop_map(|(generation_id, audio, model, caller)| {
            let request = v1::GenerateAudioRequest { generation_id, audio, model, caller };
            Message::new("PolicyService/GenerateAudio", &request)
        });
    let node = vec(any::<u8>(), 0..8)
        .prop_map(|bytes| Message { path: "/ltx.v1.NodeService/GetNode".into(), parts: vec![Bytes(bytes)] });
    prop_oneof![3 => list, 2 => watch, 2 => download, 2 => image, 1 => named, 1 => get, 1 => edit, 1 => sound, 1 => node, 4 => upload(), 2 => part()]
        .boxed()
}

fn upload() -> BoxedStrategy<Message> {
    let sha256 = mostly(Just(String::new()), prop_oneof![odd_text(), "[0-9a-fA-F]{64}"]);
    let total = prop_oneof![3 => Just(None), 1 => prop_oneof![Just(0), 1..70_000u64, any::<u64>()].prop_map(Some)];
    let cut = prop_oneof![3 => 500..70_000usize, 1 => 1..100usize];
    let extra = option::weighted(0.2, (0..6usize, 0..3usize));
    (data(), sha256, total, cut, extra)
        .prop_map(|(data, sha256, total, cut, extra)| {
            let total_bytes = total.unwrap_or(data.len() as u64);
            let header = || Some(Part::Header(v1::UploadHeader { total_bytes, sha256: sha256.clone() }));
            let mut parts = vec![header()];
            parts.extend(
                data.chunks(cut.max(data.len() / 50 + 1)).map(|chunk| Some(Part::Chunk(chunk.to_vec().into()))),
            );
            if let Some((at, what)) = extra {
                let part = [None, header(), Some(Part::Chunk(vec![].into()))][what].clone();
                parts.insert(at.min(parts.len()), part);
            }
            let parts = parts.into_iter().map(|part| Bytes(v1::UploadImageRequest { part }.encode_to_vec()));
            Message { path: "/ltx.v1.UploadService/UploadImage".into(), parts: parts.collect() }
        })
        .boxed()
}

/// Parts that are a whole image, or wrong: what waits for more would take the places of other uploads.
fn part() -> BoxedStrategy<Message> {
    let sha256 = option::weighted(0.5, prop_oneof![odd_text(), "[0-9a-fA-F]{64}"]);
    let offset = prop_oneof![3 => Just(0), 1 => 1..70_000u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    (data(), sha256, offset, option::weighted(0.95, Just(())), any::<bool>())
        .prop_map(|(data, sha256, offset, header, empty)| {
            let sha256 = sha256.unwrap_or_else(|| format!("{:x}", Sha256::digest(&data)));
            let header = header.map(|()| v1::UploadHeader { total_bytes: data.len() as u64, sha256 });
            let data = if empty { vec![] } else { data.to_vec() };
            let part = v1::UploadPartRequest { header, offset, data: data.into() };
            Message::new("UploadService/UploadPart", &part)
        })
        .boxed()
}

pub(super) fn every(known: &Known) -> BoxedStrategy<Message> {
    prop_oneof![2 => create(known), 1 => check(known), 3 => others(known)].boxed()
}
