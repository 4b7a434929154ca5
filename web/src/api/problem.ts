// Why a call failed, as the page tells it: the details of errors.proto, or a connection that broke.
import type { Duration } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb";
import { ErrorReason } from "../gen/ltx/v1/errors_pb";

/** The name of a reason, as ErrorInfo carries it. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED">;

/** One reason, with the node's own words in English; empty where it has none. */
export type Ground = { reason: Reason; why: string; remedy: string };

/** A field that is wrong. */
export type WrongField = { field: string; description: string; nearest: string };

/** Why a call failed. `stopped` is our own doing, `lost` a connection that broke, `told` an error of the node's, or a file that
 * is not what the node says. */
export type Problem = {
  kind: "stopped" | "lost" | "told";
  reason: Reason | undefined;
  sentence: string;
  grounds: Ground[];
  fields: WrongField[];
  retrySeconds: number | undefined;
  metadata: Record<string, string>;
  /** The name of a file that came damaged, twice. */
  damaged: string | undefined;
};

/** A file that came damaged twice: its bytes are not those that the node has the digest of. */
export class Damaged extends Error {
  constructor(readonly file: string) {
    super(`${file} came damaged`);
  }
}

const isReason = (name: string): name is Reason => name in ErrorReason && name !== "UNSPECIFIED";

/** The name of a reason that came as a number. */
export function reasonOf(number: ErrorReason): Reason | undefined {
  const name = ErrorReason[number];
  return name !== undefined && isReason(name) ? name : undefined;
}

/** What an error that was thrown says. */
export function problemOf(thrown: unknown): Problem {
  const error = ConnectError.from(thrown);
  const info = error.findDetails(ErrorInfoSchema).find((found) => found.domain === "ltxd");
  const metadata = info?.metadata ?? {};
  const reasons = (metadata["reasons"] ?? info?.reason ?? "").split(",").filter(isReason);
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const aborted = error.code === Code.Canceled || (thrown instanceof DOMException && thrown.name === "AbortError");
  return {
    // A node's own errors have details; what comes without is a cut stream, a proxy's answer or no answer.
    kind: info || thrown instanceof Damaged ? "told" : aborted ? "stopped" : "lost",
    reason: info && isReason(info.reason) ? info.reason : undefined,
    sentence: error.rawMessage,
    grounds: reasons.map((reason) => ({
      reason,
      why: metadata[`why.${reason}`] ?? "",
      remedy: metadata[`remedy.${reason}`] ?? "",
    })),
    fields: error
      .findDetails(BadRequestSchema)
      .flatMap((bad) => bad.fieldViolations)
      .map(({ field, description }) => ({ field, description, nearest: nearestIn(description) })),
    retrySeconds: delay && secondsOf(delay),
    metadata,
    damaged: thrown instanceof Damaged ? thrown.file : undefined,
  };
}

/** The legal value that a sentence about a field ends with; empty where it names none, or several. */
function nearestIn(description: string): string {
  return /nearest legal: ([\w.]+)$/.exec(description)?.[1] ?? "";
}

const PASSING: Reason[] = ["SHUTTING_DOWN", "RATE_LIMITED", "UNAUTHENTICATED", "DEADLINE_EXCEEDED"];

/** Whether the same call succeeds once the node is back, has loaded its model, has time, or knows the caller. */
export function passes({ kind, reason, retrySeconds }: Problem): boolean {
  // Of a model that no wait will load, no time is told.
  const loads = reason === "MODEL_NOT_LOADED" && retrySeconds !== undefined;
  return kind === "lost" || loads || (reason !== undefined && PASSING.includes(reason));
}

function secondsOf({ seconds, nanos }: Duration): number {
  return Number(seconds) + nanos / 1e9;
}
