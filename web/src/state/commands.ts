// The same request as a command: `ltxd submit`, and a call by grpcurl, quoted for a POSIX shell.
import { toJson } from "@bufbuild/protobuf";
import {
  Agent,
  Conditioning,
  Flow,
  GenerationSpecSchema,
  Schedule,
  type GenerationSpec,
  type Image,
  type LoraUse,
} from "../gen/ltx/v1/spec_pb";

/** Where the node is, and whether it wants a token; names of the files that hold the images. */
export type Surroundings = { origin: string; withToken: boolean; start: string; end: string };

/** A word that a POSIX shell reads as this text, whatever is in it. */
export function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Images of a spec: the start or only one, and the end. */
export function imagesOf({ images }: GenerationSpec): { start: Image | undefined; end: Image | undefined } {
  if (images.case === "image") return { start: images.value, end: undefined };
  return { start: images.value?.start, end: images.value?.end };
}

/** A LoRA with its strengths, as a mark and `--use-lora` write it. */
export function loraWord({ name, strength, stage2Strength }: LoraUse): string {
  const strengths = [strength, stage2Strength].filter((each) => each !== undefined);
  return strengths.length ? `${name}=${strengths.join(",")}` : name;
}

/** A file's name as an argument: one that begins with a dash is no flag. */
const file = (name: string) => (name.startsWith("-") ? `./${name}` : name);

/** `ltxd submit` with the flags that say what the spec says. */
export function submitCommand(spec: GenerationSpec, around: Surroundings): string {
  const words: string[] = [];
  const flag = (name: string, value: { toString(): string } | undefined) => {
    if (value === undefined || value === "") return;
    const text = value.toString();
    words.push(text.startsWith("-") ? quoted(`--${name}=${text}`) : `--${name} ${quoted(text)}`);
  };
  const lower = (name: string | undefined) => name?.toLowerCase();
  const { start, end } = imagesOf(spec);
  if (start) flag("image", file(around.start));
  if (end) flag("end-image", file(around.end));
  flag("prompt", spec.prompt);
  flag("negative-prompt", spec.negativePrompt);
  flag("model", spec.model);
  flag("width", spec.width);
  flag("height", spec.height);
  flag("frames", spec.frames);
  flag("fps", spec.fps);
  flag("seed", spec.seed);
  flag("flow", spec.flow ? lower(Flow[spec.flow]) : undefined);
  flag("schedule", spec.schedule ? lower(Schedule[spec.schedule]) : undefined);
  flag("stages", spec.stages);
  flag("steps", spec.steps);
  flag("sigmas", spec.sigmas.join(","));
  flag("refine-sigmas", spec.refineSigmas.join(","));
  flag("guidance-scale", spec.guidance?.cfgScale);
  flag("stg-scale", spec.guidance?.stgScale);
  flag("guidance-rescale", spec.guidance?.rescaleScale);
  flag("stg-blocks", spec.guidance?.stgBlocks.join(","));
  flag("conditioning", spec.conditioning ? lower(Conditioning[spec.conditioning]) : undefined);
  flag("strength", start?.strength);
  flag("end-strength", end?.strength);
  flag("image-crf", spec.imageCrf);
  for (const lora of spec.loras) flag("use-lora", loraWord(lora));
  if (spec.beyondTrainedLength) words.push("--beyond-trained-length");
  flag("agent", spec.caller?.agent === Agent.AGENT_1 ? "1" : spec.caller?.agent === Agent.AGENT_2 ? "2" : undefined);
  flag("credits-low", spec.caller?.creditsLow);
  flag("plan", spec.caller?.plan);
  flag("server", around.origin);
  if (around.withToken) words.push('--token-file "$LTXD_TOKEN_FILE"');
  words.push("--out clip.mp4");
  return `ltxd submit ${words.join(" \\\n  ")}`;
}

/** A call by grpcurl; reflection tells it the contract. The shell puts the pictures' bytes in. */
export function grpcurlCall(spec: GenerationSpec, around: Surroundings): string {
  const { origin, withToken } = around;
  const at = new URL(origin);
  const address = at.port ? at.host : `${at.host}:${at.protocol === "https:" ? 443 : 80}`;
  const json = toJson(GenerationSpecSchema, spec) as Record<string, object | string | undefined>;
  const { start, end } = imagesOf(spec);
  // Placeholders that no prompt can contain: a NUL, as JSON writes it, is taken out of everything else.
  const marks: Record<string, string> = { "\0start": around.start, "\0end": around.end };
  const image = (from: Image | undefined, mark: string) => from && { data: mark, ...(from.strength === undefined ? {} : { strength: from.strength }) };
  if (spec.images.case === "image") json["image"] = image(start, "\0start");
  if (spec.images.case === "startEndImages") {
    json["startEndImages"] = { start: image(start, "\0start"), end: image(end, "\0end") };
  }
  // In a here-document of which the shell expands $(…): whatever else it would expand is escaped.
  let body = JSON.stringify({ spec: json }, null, 2).replace(/[\\$`]/g, "\\$&");
  for (const [mark, name] of Object.entries(marks)) {
    const written = JSON.stringify(mark).slice(1, -1).replace(/[\\$`]/g, "\\$&");
    body = body.replaceAll(`"data": "${written}"`, () => `"data": "$(base64 -w0 ${quoted(file(name))})"`);
  }
  const words = ["grpcurl"];
  if (at.protocol === "http:") words.push("-plaintext");
  if (withToken) words.push('-H "authorization: Bearer $(cat "$LTXD_TOKEN_FILE")"');
  words.push("-d @", address, "ltx.v1.GenerationService/CreateGeneration");
  return `${words.join(" ")} <<REQUEST\n${body}\nREQUEST`;
}
