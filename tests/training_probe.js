// What test_lesson_training.py asks of the page's scripts. Numbers travel as base64 of their bytes, in little
// endian, since a list of them takes longer.

let mnistImages;
let mnistLabels;

const readBytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const readFloats = text => new Float32Array(readBytes(text).buffer);

function writeNumbers({buffer, byteOffset, byteLength}) {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  const letters = Array.from(bytes, byte => String.fromCharCode(byte));
  return btoa(letters.join(""));
}

function keepImages(images, labels) {
  mnistImages = readBytes(images);
  mnistLabels = readBytes(labels);
}

function makeBatch(first, count) {
  const pixels = mnistImages.subarray(first * IMAGE_PIXELS, (first + count) * IMAGE_PIXELS);
  return {inputs: normalise(pixels), labels: mnistLabels.subarray(first, first + count)};
}

function normaliseAllPixels() {
  const pixels = Uint8Array.from({length: 256}, (_, pixel) => pixel);
  return writeNumbers(normalise(pixels));
}

function initialiseNetwork(seed, sizes) {
  const network = createNetwork(sizes, "relu");
  initialise(network, seed);
  return writeNumbers(network.numbers);
}

/** What the first image becomes: each layer's values, probabilities last, and the logits. */
function passFirstImage(sizes, activation, numbers) {
  const network = createNetwork(sizes, activation, readFloats(numbers));
  const outputs = forward(network, mnistImages.subarray(0, IMAGE_PIXELS));
  const logits = computeSums(network.layers.at(-1), outputs.at(-2));
  return [...outputs, logits].map(values => [...values]);
}

/** What each step returned, and the network's numbers after the last. */
function trainSteps(settings, numbers, firstImages, batchSize) {
  const training = createTraining(settings);
  training.network.numbers.set(readFloats(numbers));
  const results = [];
  for (const first of firstImages) {
    const {loss, accuracy, gradientNorm} = trainStep(training, makeBatch(first, batchSize));
    results.push([loss, accuracy, gradientNorm]);
  }
  return [results, writeNumbers(training.network.numbers)];
}

/** The gradients of a batch, added so many times to zeros. */
function addGradients(sizes, activation, numbers, inputs, labels, times) {
  const network = createNetwork(sizes, activation, readFloats(numbers));
  const batch = {inputs: readFloats(inputs), labels: readBytes(labels)};
  const {gradients} = computeGradients(network, batch);
  for (let time = 1; time < times; time++) {
    computeGradients(network, batch, gradients);
  }
  return writeNumbers(gradients);
}

/** How the loss, in float64, changes with the numbers at these places if they are nudged up and down. */
function nudgeNumbers(sizes, activation, numbers, inputs, labels, places, nudge) {
  const float64 = Float64Array.from(readFloats(numbers));
  const network = createNetwork(sizes, activation, float64);
  const batch = {inputs: readFloats(inputs), labels: readBytes(labels)};
  return places.map(place => {
    const number = float64[place];
    float64[place] = number + nudge;
    const above = computeLoss(network, batch);
    float64[place] = number - nudge;
    const below = computeLoss(network, batch);
    float64[place] = number;
    return (above - below) / (2 * nudge);
  });
}

function evaluateAll(sizes, numbers) {
  const network = createNetwork(sizes, "relu", readFloats(numbers));
  const {loss, accuracy} = evaluate(network, mnistImages, mnistLabels);
  return [loss, accuracy];
}

/** The labels and inputs of the batches at these steps, of images of one grey each, which is their label. */
function takeGreyBatches(count, steps, settings) {
  const labels = Uint8Array.from({length: count}, (_, image) => image);
  const images = Uint8Array.from({length: count * IMAGE_PIXELS}, (_, i) => Math.floor(i / IMAGE_PIXELS));
  const training = createTraining({hiddenSizes: [], activation: "relu", ...settings});
  return steps.map(step => {
    training.step = step;
    const batch = takeBatch(training, images, labels);
    return [[...batch.labels], writeNumbers(batch.inputs)];
  });
}
