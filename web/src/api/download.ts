// Files from the node: outputs and given images, taken up where they broke off, and held against their digests.
import type { GivenImage } from "../gen/ltx/v1/generation_service_pb";
import type { Output } from "../gen/ltx/v1/generation_pb";
import { calls } from "./calls";
import { Sha256 } from "./digest";
import { insist } from "./insist";
import { Lane } from "./lane";
import { Damaged } from "./problem";

/** A file that is here. */
export type Fetched = { blob: Blob; name: string };

/** How far a download is: 0 to 1. */
export type Told = (share: number) => void;

type Part = { file: { name: string; type: string; bytes: bigint; sha256: string } } | { chunk: Uint8Array };

const lane = new Lane(2);

/** An output of a generation. */
export function fetchOutput(id: string, output: Output, stop: AbortSignal, told?: Told): Promise<Fetched> {
  return gather(async function* (offset) {
    for await (const { part } of calls.generations.downloadOutput({ id, output, offset }, { signal: stop })) {
      if (part.case === "chunk") yield { chunk: part.value };
      if (part.case === "file") {
        const { fileName: name, contentType: type, totalBytes: bytes, sha256 } = part.value;
        yield { file: { name, type, bytes, sha256 } };
      }
    }
  }, stop, told);
}

/** An image that a generation was given, as it was sent. */
export function fetchGiven(id: string, image: GivenImage, stop: AbortSignal): Promise<Fetched> {
  return gather(async function* (offset) {
    for await (const { part } of calls.generations.downloadImage({ id, image, offset }, { signal: stop })) {
      if (part.case === "chunk") yield { chunk: part.value };
      if (part.case === "file") {
        const { contentType: type, totalBytes: bytes, sha256 } = part.value;
        yield { file: { name: `${sha256.slice(0, 8)}.${type.split("/")[1] ?? "png"}`, type, bytes, sha256 } };
      }
    }
  }, stop);
}

/** Gathers a stream's chunks; begins again behind what is here when the stream breaks. */
async function gather(open: (offset: bigint) => AsyncIterable<Part>, stop: AbortSignal, told?: Told): Promise<Fetched> {
  let chunks: BlobPart[] = [];
  let digest = new Sha256();
  let here = 0;
  let file = { name: "", type: "", bytes: 0n, sha256: "" };
  let damaged = 0;
  const once = async () => {
    for await (const part of open(BigInt(here))) {
      if ("file" in part) file = part.file;
      else {
        chunks.push(part.chunk as Uint8Array<ArrayBuffer>);
        digest.add(part.chunk);
        here += part.chunk.length;
        told?.(here / Number(file.bytes));
      }
    }
    // A stream that is cut may look like one that ended.
    if (here < Number(file.bytes)) throw new Error("the stream ended early");
    if (digest.hex() === file.sha256) return;
    [chunks, digest, here] = [[], new Sha256(), 0];
    if (damaged++) throw new Damaged(file.name);
    throw new Error("the file came damaged");
  };
  await insist(() => lane.run(once, stop), stop);
  return { blob: new Blob(chunks, { type: file.type }), name: file.name };
}
