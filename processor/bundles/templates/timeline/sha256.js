// SHA-256 (FIPS 180-4). The browser's own one is missing where a page comes over http, as in many homes.

const [FIRST_WORDS, ROUND_WORDS] = (() => {
  const primes = [];
  for (let number = 2; primes.length < 64; number += 1) if (primes.every((prime) => number % prime)) primes.push(number);
  const fraction = (root) => (root % 1) * 2 ** 32;
  return [Int32Array.from(primes.slice(0, 8), (prime) => fraction(prime ** (1 / 2))), Int32Array.from(primes, (prime) => fraction(prime ** (1 / 3)))];
})();
const rounds = new Int32Array(64);
const turn = (word, bits) => (word >>> bits) | (word << (32 - bits));

function sha256(bytes) {
  const padded = new DataView(new ArrayBuffer(((bytes.length + 8) >> 6 << 6) + 64)), words = Int32Array.from(FIRST_WORDS);
  new Uint8Array(padded.buffer).set(bytes);
  padded.setUint8(bytes.length, 0x80);
  padded.setUint32(padded.byteLength - 8, bytes.length / 2 ** 29);
  padded.setUint32(padded.byteLength - 4, bytes.length << 3);
  for (let block = 0; block < padded.byteLength; block += 64) {
    for (let i = 0; i < 16; i += 1) rounds[i] = padded.getInt32(block + i * 4);
    for (let i = 16; i < 64; i += 1) {
      const early = rounds[i - 15], late = rounds[i - 2];
      rounds[i] = rounds[i - 16] + (turn(early, 7) ^ turn(early, 18) ^ (early >>> 3)) + rounds[i - 7] + (turn(late, 17) ^ turn(late, 19) ^ (late >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = words;
    for (let i = 0; i < 64; i += 1) {
      const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + ROUND_WORDS[i] + rounds[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => { words[i] += word; });
  }
  const digest = new DataView(new ArrayBuffer(32));
  words.forEach((word, i) => digest.setInt32(i * 4, word));
  return new Uint8Array(digest.buffer);
}
