// SHA-256, of bytes that are there and of bytes as they come.
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

/** The digest of `bytes`, 64 hexadecimal digits: the browser's own where it has one, which is on loopback and over TLS. */
export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const subtle = globalThis.crypto?.subtle;
  return bytesToHex(subtle ? new Uint8Array(await subtle.digest("SHA-256", bytes)) : sha256(bytes));
}

/** The digest of bytes that come one after another: no browser's own takes them so. */
export class Sha256 {
  #hash = sha256.create();

  add(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  /** 64 hexadecimal digits; nothing can be added behind it. */
  hex(): string {
    return bytesToHex(this.#hash.digest());
  }
}
