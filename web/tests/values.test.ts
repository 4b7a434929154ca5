// Legal values, crops, likeness, quoting, events.
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ModelSchema } from "../src/gen/ltx/v1/node_service_pb";
import { GenerationSpecSchema } from "../src/gen/ltx/v1/spec_pb";
import { partShown, shareCut } from "../src/media/crop";
import { carriedFields, carryFrom, leaveOut } from "../src/state/carried";
import { form } from "../src/state/form";
import { emptySources, judged, specOf, type Sources } from "../src/state/spec";
import { grpcurlCall, quoted, submitCommand } from "../src/state/commands";
import { legalFor, nearest } from "../src/state/legal";
import { routeOf } from "../src/state/route";
import { bytes, duration } from "../src/text/units";

const model = create(ModelSchema, {
  rules: { frameStep: 8, sideStep: 32, mostFrames: 8001, largestSide: 8192, trainedSeconds: 20, beyondTrainedLength: false },
});

test("sizes and lengths are those that the model can make", () => {
  const wish = { method: "image", stages: 2, fps: 24, beyondTrained: true } as const;
  expect(legalFor(model, wish)).toEqual({
    side: { least: 64, most: 8192, step: 64 },
    frames: { least: 1, most: 481, step: 8 },
  });
  const frames = (fps: number) => legalFor(model, { ...wish, method: "ends", fps }).frames;
  expect([frames(25).most, frames(23.976).most, frames(1).most, frames(25).least]).toEqual([497, 473, 17, 9]);
  expect([130, 0, 1e9, NaN].map((side) => nearest(side, { least: 64, most: 8192, step: 64 }))).toEqual([128, 64, 8192, 64]);
});

test("a crop is around the centre", () => {
  const part = partShown({ width: 200, height: 100 }, { width: 64, height: 64 }, false);
  expect(part).toEqual({ x: 50, y: 0, width: 100, height: 100 });
  expect(shareCut({ width: 200, height: 100 }, part)).toBe(0.5);
  expect(partShown({ width: 200, height: 100 }, { width: 64, height: 64 }, true).width).toBe(200);
});

test("commands are quoted", () => {
  const around = { origin: "http://127.0.0.1:7750", withToken: true, start: "-a b.png", end: "" };
  const image = { case: "image", value: { strength: 0.5 } } as const;
  const spec = create(GenerationSpecSchema, { prompt: "-it's $x", images: image, width: 64 });
  expect(quoted("it's")).toBe("'it'\\''s'");
  expect(submitCommand(spec, around)).toContain("--image './-a b.png' \\\n  '--prompt=-it'\\''s $x' \\\n  --width 64");
  expect(grpcurlCall(spec, around)).toContain(`"data": "$(base64 -w0 './-a b.png')"`);
  expect(grpcurlCall(spec, around)).toContain(`"prompt": "-it's \\$x"`);
});

test("addresses lead to views", () => {
  expect(routeOf("#/clip/01a228a1-8b0a-7271-a03a-a3f1bd8ad05d").view).toBe("clip");
  expect([routeOf("#/clip/../x").view, routeOf("").view, routeOf("#/node").view]).toEqual(["make", "make", "node"]);
});

test("units", () => {
  const seconds = duration("h", "min", "s");
  expect([0.71, 9.94, 61, 3600, 5400].map(seconds)).toEqual(["0.71 s", "9.9 s", "1 min 1 s", "1 h", "1 h 30 min"]);
  expect([bytes("en")(1536), bytes("en")(33554432n)]).toEqual(["1.5 KiB", "32 MiB"]);
});

test("what the form has no field for is carried, unless the model does it anyway", () => {
  const asked = { flow: 3, conditioning: 1, imageCrf: 20, sigmas: [1, 0], guidance: { cfgScale: 3, stgScale: 1, stgBlocks: [28] } };
  carryFrom(create(GenerationSpecSchema, asked), undefined);
  expect(carriedFields.value).toEqual(["flow", "sigmas", "guidance", "conditioning", "imageCrf"]);
  carryFrom(create(GenerationSpecSchema, asked), create(GenerationSpecSchema, { ...asked, imageCrf: 33 }));
  expect(carriedFields.value).toEqual(["sigmas", "imageCrf"]);
  leaveOut();
  expect(carriedFields.value).toEqual([]);
});

test("strengths of the second stage are carried with two stages, for LoRAs that are chosen", () => {
  const loras = [{ name: "style", strength: 1, stage2Strength: 0.5 }];
  carryFrom(create(GenerationSpecSchema, { loras }), undefined);
  form.loras.value = { style: 1 };
  form.stages.value = 1;
  expect([carriedFields.value, specOf(emptySources()).loras[0]?.stage2Strength]).toEqual([[], undefined]);
  form.stages.value = 2;
  expect([carriedFields.value, specOf(emptySources()).loras[0]?.stage2Strength]).toEqual([["stage2Strength"], 0.5]);
  form.loras.value = {};
  expect(carriedFields.value).toEqual([]);
});

test("a verdict is asked for with the method's images, before any is chosen", () => {
  const asked = (method: "image" | "ends", sources: Sources) => {
    form.method.value = method;
    const { images } = specOf(sources);
    return images.case === "startEndImages" ? [images.value.start, images.value.end].map((image) => image?.source.case) : images.case;
  };
  expect([asked("image", emptySources()), asked("image", judged)]).toEqual([undefined, "image"]);
  expect([asked("ends", emptySources()), asked("ends", judged)]).toEqual([undefined, ["data", "data"]]);
});
