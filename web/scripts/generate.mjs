// Generates src/gen, the stubs of proto/ltx/v1 and of the details of errors, with protoc and protoc-gen-es.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const contract = join(web, "../proto");
const out = join(web, "src/gen");
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const services = readdirSync(join(contract, "ltx/v1")).filter((name) => name.endsWith(".proto")).sort();
const files = [...services.map((name) => `ltx/v1/${name}`), "google/rpc/error_details.proto"];
const flags = [`-I${contract}`, `-I${join(web, "proto")}`, `--es_out=${out}`, "--es_opt=target=ts,import_extension=none"];
const path = join(web, "node_modules/.bin") + delimiter + process.env.PATH;
execFileSync("protoc", [...flags, ...files], { stdio: "inherit", env: { ...process.env, PATH: path } });
