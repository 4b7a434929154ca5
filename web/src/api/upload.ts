// Uploads an image part by part: each part is a call of its own, so a broken connection or a restart costs one part.
import { create } from "@bufbuild/protobuf";
import { UploadHeaderSchema, type UploadImageResponse } from "../gen/ltx/v1/upload_service_pb";
import { calls } from "./calls";
import { sha256Hex } from "./digest";
import { insist } from "./insist";
import { problemOf, type Problem } from "./problem";

const PART_BYTES = 1 << 20;

/** Uploads `image`; `told` hears how much of it the node has, 0 to 1, `waiting` why it does not go on. */
export async function upload(
  image: Blob,
  stop: AbortSignal,
  told: (share: number) => void,
  waiting: (problem: Problem | undefined) => void,
): Promise<UploadImageResponse> {
  const bytes = new Uint8Array(await image.arrayBuffer());
  const header = create(UploadHeaderSchema, { totalBytes: BigInt(bytes.length), sha256: await sha256Hex(bytes) });
  let offset = 0;
  for (;;) {
    const data = bytes.subarray(offset, offset + PART_BYTES);
    const send = () => calls.uploads.uploadPart({ header, offset: BigInt(offset), data }, { signal: stop });
    try {
      const answer = await insist(send, stop, waiting);
      told(Number(answer.receivedBytes) / bytes.length);
      if (answer.upload) return answer.upload;
      offset = Number(answer.receivedBytes);
    } catch (thrown) {
      const problem = problemOf(thrown);
      if (problem.reason !== "OFFSET_OUT_OF_RANGE") throw thrown;
      // The node forgot the beginning, over a restart or a long pause.
      offset = Number(problem.metadata["received_bytes"] ?? 0);
      told(offset / bytes.length);
    }
  }
}
