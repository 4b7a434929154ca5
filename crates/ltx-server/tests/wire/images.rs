//! Images that are none: told under their own fields, with everything else that is wrong with a request.
//!
//! Must not know how images are decoded.

use crate::node::{TestNode, Wish, create, image, reason, spec};
use ltx_proto::v1::{self, generation_spec::Images, image::Source};
use ltx_testkit::fake::FakeModels;
use tonic::Code;
use tonic_types::StatusExt;

fn bad() -> v1::Image {
    v1::Image { source: Some(Source::Data(b"hello".as_slice().into())), strength: None }
}

fn uploaded(id: &str) -> v1::Image {
    v1::Image { source: Some(Source::UploadId(id.into())), strength: None }
}

fn one(image: v1::Image) -> Option<Images> {
    Some(Images::Image(image))
}

fn ends(start: v1::Image, end: v1::Image) -> Option<Images> {
    Some(Images::StartEndImages(v1::StartEndImages { start: Some(start), end: Some(end) }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_that_are_none_are_told_with_everything_else() {
    let node = TestNode::start(Wish::default()).await;
    let before = node.kept();
    let nobodys = "01890000-0000-7000-8000-000000000000";
    let (start, end) = ("start_end_images.start", "start_end_images.end");
    let long = "heron ".repeat(FakeModels::TOKENS + 1);
    let of = |images| v1::GenerationSpec { images, ..spec(1) };
    let wide = |images| v1::GenerationSpec { width: Some(130), ..of(images) };
    let weak = |strength| v1::Image { strength: Some(strength), ..bad() };
    let cases = [
        (of(one(bad())), vec!["image"]),
        (wide(one(bad())), vec!["image", "width"]),
        (of(one(weak(2.0))), vec!["image", "image.strength"]),
        (of(ends(bad(), bad())), vec![end, start]),
        (of(ends(image(), bad())), vec![end]),
        (wide(ends(bad(), image())), vec![start, "width"]),
        (v1::GenerationSpec { prompt: long.clone(), ..of(one(bad())) }, vec!["image", "prompt"]),
        (v1::GenerationSpec { prompt: long, ..wide(ends(bad(), bad())) }, vec!["prompt", end, start, "width"]),
        (wide(one(uploaded(nobodys))), vec!["image", "width"]),
        (wide(ends(uploaded("x"), bad())), vec![end, "start_end_images.start.upload_id", "width"]),
        (of(ends(uploaded(nobodys), bad())), vec![end, start]),
    ];
    for (spec, expected) in cases {
        let said = format!("{expected:?}");
        let status = node.generations().await.create_generation(create(spec)).await.expect_err(&said);
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{status:?}");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let mut fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(fields, expected);
        let of_bad = violations.iter().find(|found| found.description.starts_with("(5 bytes from the request)"));
        let no_image = |description: &str| description.ends_with("is not an image; supported are PNG, JPEG and WebP");
        assert!(of_bad.is_none_or(|found| no_image(&found.description)), "{violations:?}");
    }
    let missing = node.generations().await.create_generation(create(of(one(uploaded(nobodys))))).await.unwrap_err();
    assert_eq!((missing.code(), reason(&missing).as_str()), (Code::NotFound, "UPLOAD_NOT_FOUND"));
    assert_eq!(node.kept(), before, "nothing was stored");
}
