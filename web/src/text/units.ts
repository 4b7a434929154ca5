// Numbers with units, as a language writes them.

const POWERS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes: three digits, powers of 1024. */
export function bytes(language: string): (value: bigint | number) => string {
  const digits = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });
  return (value) => {
    let amount = Number(value);
    let power = 0;
    while (amount >= 999.5 && power < POWERS.length - 1) {
      amount /= 1024;
      power++;
    }
    return `${digits.format(amount)} ${POWERS[power]}`;
  };
}

/** A number with the language's separators. */
export function count(language: string): (value: bigint | number) => string {
  const digits = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });
  return (value) => digits.format(value);
}

/** Seconds, in the two largest units that say something. */
export function duration(h: string, min: string, s: string): (seconds: number) => string {
  return (seconds) => {
    if (seconds < 9.95) return `${Number(seconds.toFixed(seconds < 0.995 ? 2 : 1))} ${s}`;
    const whole = Math.round(seconds);
    const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
    if (hours > 0) return minutes > 0 ? `${hours} ${h} ${minutes} ${min}` : `${hours} ${h}`;
    if (minutes > 0) return rest > 0 ? `${minutes} ${min} ${rest} ${s}` : `${minutes} ${min}`;
    return `${rest} ${s}`;
  };
}
