// How the page is built into dist/, which the binary carries, and served while it is worked on.
import { defineConfig } from "vitest/config";

declare const process: { env: Record<string, string | undefined> };

// `npm run dev` passes calls on to this node as if they came from a client that is no browser.
const node = process.env["LTXD_SERVER"] ?? "http://127.0.0.1:7750";
const calls = {
  target: node,
  changeOrigin: true,
  configure: (proxy: { on(event: "proxyReq", listener: (request: { removeHeader(name: string): void }) => void): void }) =>
    proxy.on("proxyReq", (request) => ["origin", "sec-fetch-site"].forEach((name) => request.removeHeader(name))),
};

export default defineConfig({
  base: "./",
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    sourcemap: false,
    reportCompressedSize: true,
  },
  // No test is judged by how long it takes.
  test: { include: ["tests/*.test.ts"], setupFiles: ["tests/setup.ts"], testTimeout: 600_000 },
  server: { proxy: { "/ltx.v1.": calls, "/grpc.": calls } },
});
