// Asking for a clip: uploads, then one call under an id that is kept until it is answered, so that no click makes two.
import { clone } from "@bufbuild/protobuf";
import { signal } from "@preact/signals";
import { calls } from "../api/calls";
import { newId } from "../api/id";
import { insist } from "../api/insist";
import { problemOf, type Problem } from "../api/problem";
import type { Generation } from "../gen/ltx/v1/generation_pb";
import type { ImageNote } from "../gen/ltx/v1/generation_service_pb";
import { GenerationSpecSchema, type GenerationSpec } from "../gen/ltx/v1/spec_pb";
import type { Picture } from "./picture";

/** How far asking is. `waiting` says why it does not go on by itself. */
export type Asking =
  | { is: "idle" }
  | { is: "uploading"; waiting: Problem | undefined }
  | { is: "sending"; waiting: Problem | undefined }
  | { is: "refused"; problem: Problem };

/** Pictures of a request: start (or only one), then end. */
export type Pictures = [Picture] | [Picture, Picture];

export const asking = signal<Asking>({ is: "idle" });

/** What the node said of the images of the clip that was asked for last. */
export const said = signal<{ id: string; notes: ImageNote[] } | undefined>(undefined);

let stop = new AbortController();

/** Asks for `spec` with `pictures`; undefined when it was refused (then `asking` says why) or stopped. */
export async function ask(spec: GenerationSpec, pictures: Pictures): Promise<Generation | undefined> {
  stop.abort();
  const { signal: stopped } = (stop = new AbortController());
  const requestId = newId();
  let ids: string[];
  try {
    asking.value = { is: "uploading", waiting: undefined };
    ids = await Promise.all(pictures.map((picture) => picture.uploaded().catch(() => picture.sendAgain())));
    for (let again = 0; ; again++) {
      stopped.throwIfAborted();
      asking.value = { is: "sending", waiting: undefined };
      try {
        const request = { requestId, spec: withUploads(spec, ids) };
        const answer = await insist(
          () => calls.generations.createGeneration(request, { signal: stopped }),
          stopped,
          (waiting) => void (stopped.aborted || (asking.value = { is: "sending", waiting })),
        );
        asking.value = { is: "idle" };
        said.value = answer.generation && { id: answer.generation.id, notes: answer.notes };
        return answer.generation;
      } catch (thrown) {
        if (again > 1 || problemOf(thrown).reason !== "UPLOAD_NOT_FOUND") throw thrown;
        asking.value = { is: "uploading", waiting: undefined };
        ids = await Promise.all(pictures.map((picture) => picture.sendAgain()));
      }
    }
  } catch (thrown) {
    // Whoever stopped it has said how asking is now: another request may be on its way.
    if (!stopped.aborted) asking.value = { is: "refused", problem: problemOf(thrown) };
    return undefined;
  }
}

/** Stops asking. What the node has accepted already is in the gallery. */
export function stopAsking(): void {
  stop.abort();
  asking.value = { is: "idle" };
}

/** Forgets a refusal: the form has changed. */
export function forgetRefusal(): void {
  if (asking.peek().is === "refused") asking.value = { is: "idle" };
}

/** The spec with its images as uploads; strengths stay. */
export function withUploads(spec: GenerationSpec, ids: string[]): GenerationSpec {
  const asked = clone(GenerationSpecSchema, spec);
  const { images } = asked;
  const targets = images.case === "image" ? [images.value] : [images.value?.start, images.value?.end];
  targets.forEach((image, at) => {
    if (image) image.source = { case: "uploadId", value: ids[at] ?? "" };
  });
  return asked;
}
