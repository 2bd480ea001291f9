// Random numbers as torch draws them on a CPU, so that a seed means the same here and there.
// The generator is MT19937 (Matsumoto and Nishimura, 1998), whose own names these constants have.

const MERSENNE_SIZE = 624;  // words of 32 bits
const MERSENNE_SHIFT = 397;

/** The first words of the generator, each made from the one before: Uint32Array(624). */
function seedWords(seed) {
  const words = new Uint32Array(MERSENNE_SIZE);
  words[0] = seed;  // of a larger number, the lowest 32 bits
  for (let i = 1; i < MERSENNE_SIZE; i++) {
    const before = words[i - 1] ^ (words[i - 1] >>> 30);
    words[i] = Math.imul(before, 1812433253) + i;
  }
  return words;
}

/** Replace all 624 words by the next 624. */
function twistWords(words) {
  for (let i = 0; i < MERSENNE_SIZE; i++) {
    const next = words[(i + 1) % MERSENNE_SIZE];
    const mixed = (words[i] & 0x80000000) | (next & 0x7fffffff);
    const twist = mixed & 1 ? 0x9908b0df : 0;
    words[i] = words[(i + MERSENNE_SHIFT) % MERSENNE_SIZE] ^ (mixed >>> 1) ^ twist;
  }
}

/** A function that returns the next 32 bits at each call: torch's on a CPU, after torch.manual_seed(seed). */
function createGenerator(seed) {
  const words = seedWords(seed);
  let used = MERSENNE_SIZE;  // the words of the seed itself are never given out
  return () => {
    if (used === MERSENNE_SIZE) {
      twistWords(words);
      used = 0;
    }
    let bits = words[used];
    used++;
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    bits ^= bits >>> 18;
    return bits >>> 0;  // not negative
  };
}

/** Fill float32 numbers with values from -bound to bound, as torch's uniform_(-bound, bound) does. */
function fillUniform(numbers, bound, generator) {
  const from = Math.fround(-bound);
  const range = Math.fround(-2 * from);
  for (let i = 0; i < numbers.length; i++) {
    const share = (generator() & 0xffffff) / 0x1000000;  // a float32 has 24 bits: so many are used
    // torch multiplies and adds at once, rounding once. So does this: 53 bits hold the sum exactly,
    // and storing it rounds.
    numbers[i] = share * range + from;
  }
}

/** The numbers below `count` in random order, as torch.randperm draws them: Uint32Array(count). */
function shuffleNumbers(count, generator) {
  const order = Uint32Array.from({length: count}, (_, index) => index);
  for (let i = 0; i < count; i++) {
    const chosen = i + generator() % (count - i);
    const number = order[chosen];
    order[chosen] = order[i];
    order[i] = number;
  }
  return order;
}
