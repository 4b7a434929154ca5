// Calls that go on over broken connections, against a node that is made up.
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { clientsOver, replaceCalls } from "../src/api/calls";
import { sha256Hex } from "../src/api/digest";
import { fetchOutput } from "../src/api/download";
import { Latest } from "../src/api/latest";
import { Damaged, passes, problemOf } from "../src/api/problem";
import { upload } from "../src/api/upload";
import { follow } from "../src/api/watch";
import { ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb";
import { Output } from "../src/gen/ltx/v1/generation_pb";
import { GenerationService } from "../src/gen/ltx/v1/generation_service_pb";
import { UploadService } from "../src/gen/ltx/v1/upload_service_pb";
import { unfetched } from "../src/state/pair";

const never = new AbortController().signal;
const cut = () => new ConnectError("cut", Code.Unknown);
const told = (reason: string, metadata: Record<string, string> = {}) =>
  new ConnectError("told", Code.OutOfRange, undefined, [
    { desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { domain: "ltxd", reason, metadata }) },
  ]);

test("a watch resumes behind its last event", async () => {
  const resumed: bigint[] = [];
  const transport = createRouterTransport(({ rpc }) =>
    rpc(GenerationService.method.watchGeneration, async function* ({ resumeAfter }) {
      resumed.push(resumeAfter);
      for (let number = resumeAfter + 1n; number <= 4n; number++) {
        if (resumed.length < 3 && number === resumeAfter + 2n) throw cut();
        const event = number === 4n ? ({ case: "cancelled", value: {} } as const) : ({ case: "running", value: {} } as const);
        yield { news: { case: "event" as const, value: { number, event } } };
      }
    }),
  );
  replaceCalls(clientsOver(transport));
  const heard: bigint[] = [];
  await follow("x", 0n, never, (news) => news.case === "event" && heard.push(news.value.number), () => {});
  expect(heard).toEqual([1n, 2n, 3n, 4n]);
  expect(resumed).toEqual([0n, 1n, 2n]);
});

test("a download goes on at its offset", async () => {
  const whole = Uint8Array.from({ length: 10 }, (_, at) => at);
  const sha256 = await sha256Hex(whole);
  const offsets: bigint[] = [];
  const transport = createRouterTransport(({ rpc }) =>
    rpc(GenerationService.method.downloadOutput, async function* ({ offset }) {
      offsets.push(offset);
      yield { part: { case: "file" as const, value: { fileName: "clip.mp4", contentType: "video/mp4", totalBytes: 10n, sha256 } } };
      yield { part: { case: "chunk" as const, value: whole.slice(Number(offset), Number(offset) + 6) } };
    }),
  );
  replaceCalls(clientsOver(transport));
  const { blob, name } = await fetchOutput("x", Output.MP4, never);
  expect(new Uint8Array(await blob.arrayBuffer())).toEqual(whole);
  expect([name, offsets]).toEqual(["clip.mp4", [0n, 6n]]);
});

test("a download that came damaged is fetched once more, and told when it comes damaged again", async () => {
  const good = Uint8Array.from([1, 2, 3]);
  const sha256 = await sha256Hex(good);
  let asked = 0;
  const from = (damaged: number) =>
    createRouterTransport(({ rpc }) =>
      rpc(GenerationService.method.downloadOutput, async function* () {
        yield { part: { case: "file" as const, value: { fileName: "clip.mp4", contentType: "video/mp4", totalBytes: 3n, sha256 } } };
        yield { part: { case: "chunk" as const, value: asked++ < damaged ? Uint8Array.from([1, 2, 4]) : good } };
      }),
    );
  replaceCalls(clientsOver(from(1)));
  const { blob } = await fetchOutput("x", Output.MP4, never);
  expect(new Uint8Array(await blob.arrayBuffer())).toEqual(good);
  expect(asked).toBe(2);
  asked = 0;
  replaceCalls(clientsOver(from(Infinity)));
  const fault = await fetchOutput("x", Output.MP4, never).catch((thrown: unknown) => problemOf(thrown));
  expect(fault).toMatchObject({ kind: "told", reason: undefined, damaged: "clip.mp4" });
  expect(asked).toBe(2);
});

test("an upload begins again where the node forgot it", async () => {
  const offsets: bigint[] = [];
  const transport = createRouterTransport(({ rpc }) =>
    rpc(UploadService.method.uploadPart, ({ offset, data, header }) => {
      offsets.push(offset);
      if (offsets.length === 2) throw told("OFFSET_OUT_OF_RANGE", { reasons: "OFFSET_OUT_OF_RANGE", received_bytes: "0" });
      const receivedBytes = offset + BigInt(data.length);
      return receivedBytes === header?.totalBytes ? { receivedBytes, upload: { uploadId: "there" } } : { receivedBytes };
    }),
  );
  replaceCalls(clientsOver(transport));
  const part = 1 << 20;
  const answer = await upload(new Blob([new Uint8Array(2 * part + 5)]), never, () => {}, () => {});
  expect(answer.uploadId).toBe("there");
  expect(offsets.map(Number)).toEqual([0, part, 0, part, 2 * part]);
});

test("only the last question's answer counts", async () => {
  const latest = new Latest(1);
  const heard: number[] = [];
  await new Promise<void>((done) => {
    for (const n of [1, 2, 3]) {
      latest.ask(async () => n, (answer) => (heard.push(answer), done()), () => {});
    }
  });
  expect(heard).toEqual([3]);
});

test("a file is gone where the node says so, and nowhere else", () => {
  const lacks = [told("OUTPUT_NOT_FOUND"), told("IMAGE_NOT_FOUND"), told("INTERNAL"), new Damaged("clip.mp4")].map((thrown) => unfetched(problemOf(thrown)));
  expect(lacks).toEqual(["gone", "gone", "unfetched", "unfetched"]);
});

test("an error without the node's details is a lost connection", () => {
  expect(problemOf(cut()).kind).toBe("lost");
  expect(problemOf(told("QUEUE_FULL"))).toMatchObject({ kind: "told", reason: "QUEUE_FULL" });
});

test("a node that still loads its model is asked again, one that does not serve it is not", () => {
  const details = (reason: string, seconds?: bigint) => [
    { desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { domain: "ltxd", reason }) },
    ...(seconds === undefined ? [] : [{ desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay: { seconds } }) }]),
  ];
  const told = (reason: string, seconds?: bigint) => passes(problemOf(new ConnectError("told", Code.Unavailable, undefined, details(reason, seconds))));
  expect([told("MODEL_NOT_LOADED", 2n), told("MODEL_NOT_LOADED"), told("QUEUE_FULL", 2n)]).toEqual([true, false, false]);
});
