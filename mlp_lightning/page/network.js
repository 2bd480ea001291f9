// The network: a multilayer perceptron, and what it makes of one image.

const IMAGE_PIXELS = 28 * 28;
const CLASSES = 10;  // of MNIST

// Of all pixels of MNIST's 60,000 training images, scaled to [0, 1].
const MEAN = 0.1307;
const STD = 0.3081;

// What a hidden unit makes of its sum, and how steep that is. The slope is told from the output, which
// is at hand when the errors are passed back.
const ACTIVATIONS = {
  relu: {
    apply: sum => Math.max(0, sum),
    slope: output => output > 0 ? 1 : 0,
  },
  sigmoid: {
    apply: sum => 1 / (1 + Math.exp(-sum)),
    slope: output => output * (1 - output),
  },
  tanh: {
    apply: Math.tanh,
    slope: output => 1 - output * output,
  },
  identity: {
    apply: sum => sum,
    slope: () => 1,
  },
};

/** How many weights and biases a network has with layers of these sizes, for example [784, 128, 64, 10]. */
function countParameters(sizes) {
  let count = 0;
  for (let k = 1; k < sizes.length; k++) {
    count += sizes[k - 1] * sizes[k] + sizes[k];
  }
  return count;
}

/**
 * A network: {sizes, activation, numbers, layers, dataset}, each layer {from, to, weights, bias}.
 *
 * `numbers` are all its parameters: of each layer the weights, unit by unit, then the biases. The layers
 * hold parts of this very array, so that to change the one is to change the other. Without any given,
 * they are zeros in float32.
 */
function createNetwork(sizes, activation, numbers = new Float32Array(countParameters(sizes)), dataset = MNIST) {
  const layers = [];
  let start = 0;
  for (let k = 1; k < sizes.length; k++) {
    const from = sizes[k - 1];
    const to = sizes[k];
    const middle = start + from * to;
    const end = middle + to;
    const weights = numbers.subarray(start, middle);
    const bias = numbers.subarray(middle, end);
    layers.push({from, to, weights, bias});
    start = end;
  }
  return {sizes, activation, numbers, layers, dataset};
}

/** Give the network random numbers: those of torch's nn.Linear layers after torch.manual_seed(seed). */
function initialise(network, seed) {
  const generator = createGenerator(seed);
  for (const {from, weights, bias} of network.layers) {
    const bound = 1 / Math.sqrt(from);
    fillUniform(weights, bound, generator);
    fillUniform(bias, bound, generator);
  }
}

/**
 * What a network has to know of its images: {classes, mean, std, inputOfPixel}, the names of what they show, and the
 * network's input for each of the 256 values of a pixel, rounded to float32 where torch rounds.
 */
function createDataset(classes, mean, std) {
  const inputOfPixel = Float32Array.from({length: 256}, (_, pixel) => {
    const difference = Math.fround(pixel / 255) - Math.fround(mean);
    return Math.fround(difference) / Math.fround(std);
  });
  return {classes, mean, std, inputOfPixel};
}

const MNIST = createDataset([..."0123456789"], MEAN, STD);

/** Turn pixels, Uint8Array of any length, into the network's input: a Float32Array as long. */
function normalise(pixels, {inputOfPixel} = MNIST) {
  const inputs = new Float32Array(pixels.length);
  for (let i = 0; i < pixels.length; i++) {
    inputs[i] = inputOfPixel[pixels[i]];
  }
  return inputs;
}

/** The pixel, from 0 to 1, that an input comes from. */
const findPixel = (input, {mean, std}) => input * std + mean;

/** The sums of a layer's units, Float64Array(to): each its bias, and each input times its weight. */
function computeSums({from, to, weights, bias}, inputs) {
  const sums = new Float64Array(to);
  for (let unit = 0; unit < to; unit++) {
    const start = unit * from;
    let sum = bias[unit];
    for (let i = 0; i < from; i++) {
      sum += weights[start + i] * inputs[i];
    }
    sums[unit] = sum;
  }
  return sums;
}

/** Turn logits into probabilities, which are above 0 and add up to 1. */
function softmax(logits) {
  const largest = Math.max(...logits);  // taken off first, or exp might exceed all numbers
  const powers = logits.map(logit => Math.exp(logit - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map(power => power / total);
}

/**
 * What the network makes of one image, given as 784 pixels from 0 to 255: a list of its inputs, the outputs
 * of each hidden layer, and the probabilities.
 *
 * The logits, which are not in it, are computeSums(last layer, outputs of the last hidden layer).
 */
function forward(network, pixels) {
  const {apply} = ACTIVATIONS[network.activation];
  const outputs = [normalise(pixels, network.dataset)];
  for (const layer of network.layers) {
    const sums = computeSums(layer, outputs.at(-1));
    const isLast = outputs.length === network.layers.length;
    outputs.push(isLast ? softmax(sums) : sums.map(apply));
  }
  return outputs;
}
