// The node's services as clients over gRPC-Web, at the origin that the page came from.
import { createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { GenerationService } from "../gen/ltx/v1/generation_service_pb";
import { NodeService } from "../gen/ltx/v1/node_service_pb";
import { PolicyService } from "../gen/ltx/v1/policy_service_pb";
import { UploadService } from "../gen/ltx/v1/upload_service_pb";
import { problemOf } from "./problem";
import { access, link, token } from "./session";

/** Puts the token into a header, and tells the session how the call went. */
export const bearing: Interceptor = (next) => async (request) => {
  const used = token.peek();
  if (used) request.header.set("authorization", `Bearer ${used}`);
  try {
    const answer = await next(request);
    link.value = "up";
    return answer;
  } catch (thrown) {
    const problem = problemOf(thrown);
    if (problem.kind === "lost") link.value = "down";
    if (problem.kind === "told") link.value = "up";
    if (problem.reason === "UNAUTHENTICATED" && used === token.peek()) access.value = used ? "unknown" : "asked";
    throw thrown;
  }
};

/** Clients of every service over one transport. */
export function clientsOver(transport: Transport) {
  return {
    generations: createClient(GenerationService, transport),
    node: createClient(NodeService, transport),
    policy: createClient(PolicyService, transport),
    uploads: createClient(UploadService, transport),
  };
}

export type Calls = ReturnType<typeof clientsOver>;

/** The calls to the node; tests put others here. */
export let calls: Calls = clientsOver(
  createGrpcWebTransport({ baseUrl: globalThis.location?.origin ?? "http://127.0.0.1", interceptors: [bearing] }),
);

export function replaceCalls(by: Calls): void {
  calls = by;
}
