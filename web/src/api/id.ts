// Ids that nobody else has; crypto.randomUUID is missing on plain HTTP beyond loopback.

/** A new one: `page-` and 32 hexadecimal digits. */
export function newId(): string {
  return `page-${Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
