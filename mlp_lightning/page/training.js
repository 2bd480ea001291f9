// How the network learns: forward, loss, backward, and one step against the gradient.
//
// A batch is {inputs: Float32Array(count * 784), normalised; labels: Uint8Array(count)}. The values of a
// layer are kept image by image: those of image n begin at n * size. Sums are added in float64; the
// network's numbers and their gradients are float32, or float64 if the network was given a Float64Array.
//
// Most of the time would go into the first layer, whose 784 inputs are mostly paper: four fifths of MNIST's
// pixels are 0, that is -0.42 when normalised. After ReLU, about half of the values are 0. So for each layer
// the values that are not the common one are listed, and only these are multiplied one by one.

/**
 * List the values that are not the common one, by how much they differ from it.
 *
 * Those of image n are at starts[n] up to starts[n + 1]: `units` says which of the layer's they are.
 */
function listUncommon(values, count, common) {
  const size = values.length / count;
  const starts = new Uint32Array(count + 1);
  const units = new Uint32Array(values.length);
  const differences = new Float64Array(values.length);
  let found = 0;
  for (let n = 0; n < count; n++) {
    for (let unit = 0; unit < size; unit++) {
      const value = values[n * size + unit];
      if (value !== common) {
        units[found] = unit;
        differences[found] = value - common;
        found++;
      }
    }
    starts[n + 1] = found;
  }
  return {common, starts, units, differences};
}

/** The sums of a layer's units for each image: Float64Array(count * to). */
function computeBatchSums({from, to, weights, bias}, {common, starts, units, differences}, count) {
  const sums = new Float64Array(count * to);
  for (let unit = 0; unit < to; unit++) {
    const row = unit * from;
    let total = 0;
    for (let i = 0; i < from; i++) {
      total += weights[row + i];
    }
    const commonSum = bias[unit] + total * common;  // as if all inputs were common
    for (let n = 0; n < count; n++) {
      const end = starts[n + 1];
      let sum = commonSum;
      for (let k = starts[n]; k < end; k++) {
        sum += weights[row + units[k]] * differences[k];
      }
      sums[n * to + unit] = sum;
    }
  }
  return sums;
}

/** All layers for a batch: of each but the last, the values that go into the next and the list of them. */
function passForward(network, inputs, count) {
  const {apply} = ACTIVATIONS[network.activation];
  let values = inputs;
  let common = MNIST.inputOfPixel[0];
  const passed = [];
  for (const layer of network.layers) {
    const list = listUncommon(values, count, common);
    passed.push({values, list});
    values = computeBatchSums(layer, list, count);
    if (passed.length < network.layers.length) {
      values = values.map(apply);
      common = 0;
    }
  }
  passed.push({values});
  return passed;
}

/** The values of all layers for a batch: [inputs, those of each hidden layer, logits], each count * size. */
function computeLogits(network, inputs, count) {
  return passForward(network, inputs, count).map(({values}) => values);
}

/**
 * Compare logits with the labels: {loss, accuracy, errors}.
 *
 * The loss is the mean cross-entropy. The errors, Float64Array(count * 10), are its gradient with respect to
 * the logits: the probability, less 1 at the label, shared out among the images.
 */
function compareWithLabels(logits, labels) {
  const count = labels.length;
  const errors = new Float64Array(logits.length);
  let loss = 0;
  let correct = 0;
  for (let n = 0; n < count; n++) {
    const start = n * CLASSES;
    const label = labels[n];
    const imageLogits = logits.subarray(start, start + CLASSES);
    const probabilities = softmax(imageLogits);
    const likeliest = Math.max(imageLogits.indexOf(Math.max(...imageLogits)), 0);  // 0 of NaNs, as in torch
    // -log(probability of the label), which may be too small for a number: so from the likeliest one's.
    loss += imageLogits[likeliest] - imageLogits[label] - Math.log(probabilities[likeliest]);
    correct += likeliest === label ? 1 : 0;
    errors.set(probabilities, start);
    errors[start + label] -= 1;
  }
  for (let i = 0; i < errors.length; i++) {
    errors[i] /= count;
  }
  return {loss: loss / count, accuracy: correct / count, errors};
}

/** The mean cross-entropy of a batch, in float64. */
function computeLoss(network, batch) {
  const logits = computeLogits(network, batch.inputs, batch.labels.length).at(-1);
  return compareWithLabels(logits, batch.labels).loss;
}

/** Add a layer's gradients, which follow from the errors at its sums, to those that are there. */
function addLayerGradients(gradients, {from, to}, {common, starts, units, differences}, errors) {
  const count = starts.length - 1;
  const row = new Float64Array(from);  // the gradients of one unit's weights
  for (let unit = 0; unit < to; unit++) {
    let total = 0;
    row.fill(0);
    for (let n = 0; n < count; n++) {
      const error = errors[n * to + unit];
      if (error === 0) {
        continue;
      }
      total += error;
      const end = starts[n + 1];
      for (let k = starts[n]; k < end; k++) {
        row[units[k]] += error * differences[k];
      }
    }
    const start = unit * from;
    for (let i = 0; i < from; i++) {
      gradients.weights[start + i] += row[i] + total * common;
    }
    gradients.bias[unit] += total;
  }
}

/** Pass the errors at a layer's sums back to the values that went into it: Float64Array(count * from). */
function passErrorsBack({from, to, weights}, errors, count) {
  const errorsBefore = new Float64Array(count * from);
  for (let n = 0; n < count; n++) {
    const start = n * from;
    for (let unit = 0; unit < to; unit++) {
      const error = errors[n * to + unit];
      if (error === 0) {
        continue;
      }
      const row = unit * from;
      for (let i = 0; i < from; i++) {
        errorsBefore[start + i] += error * weights[row + i];
      }
    }
  }
  return errorsBefore;
}

/**
 * The gradients of the loss of a batch: {loss, accuracy, gradients}, accuracy being that of the batch.
 *
 * The gradients lie as the network's numbers do. They are added to those given, as torch's backward() adds
 * them: that is why they have to be cleared.
 */
function computeGradients(network, batch, gradients = network.numbers.map(() => 0)) {
  const count = batch.labels.length;
  const passed = passForward(network, batch.inputs, count);
  const {loss, accuracy, errors} = compareWithLabels(passed.at(-1).values, batch.labels);
  const {slope} = ACTIVATIONS[network.activation];
  const gradientLayers = createNetwork(network.sizes, network.activation, gradients).layers;
  let layerErrors = errors;
  for (let k = network.layers.length - 1; k >= 0; k--) {
    const {values, list} = passed[k];
    addLayerGradients(gradientLayers[k], network.layers[k], list, layerErrors);
    if (k > 0) {  // the pixels are given: nobody asks how the loss depends on them
      layerErrors = passErrorsBack(network.layers[k], layerErrors, count);
      for (let i = 0; i < layerErrors.length; i++) {
        layerErrors[i] *= slope(values[i]);
      }
    }
  }
  return {loss, accuracy, gradients};
}

/**
 * A network about to be trained, with settings {hiddenSizes, activation, seed, learningRate, momentum,
 * batchSize, clearsGradients}: {settings, network, gradients, velocity, step}.
 *
 * All settings but the first three may be changed while it is trained.
 */
function createTraining(settings) {
  const network = createNetwork([IMAGE_PIXELS, ...settings.hiddenSizes, CLASSES], settings.activation);
  initialise(network, settings.seed);
  const gradients = new Float32Array(network.numbers.length);
  const velocity = new Float32Array(network.numbers.length);
  return {settings, network, gradients, velocity, step: 0};
}

/** Change the numbers as torch.optim.SGD does, and return the norm of the gradients. */
function updateNumbers({settings, network, gradients, velocity}) {
  const {learningRate, momentum} = settings;
  const {numbers} = network;
  let squares = 0;
  for (let i = 0; i < numbers.length; i++) {
    const gradient = gradients[i];
    const step = momentum * velocity[i] + gradient;
    numbers[i] -= learningRate * step;
    velocity[i] = momentum === 0 ? 0 : step;  // without momentum, torch keeps none
    squares += gradient * gradient;
  }
  return Math.sqrt(squares);
}

/** One step of training: clear gradients, compute them, update. Returns {loss, accuracy, gradientNorm}. */
function trainStep(training, batch) {
  if (training.settings.clearsGradients) {
    training.gradients.fill(0);
  }
  const {loss, accuracy} = computeGradients(training.network, batch, training.gradients);
  const gradientNorm = updateNumbers(training);
  training.step++;
  return {loss, accuracy, gradientNorm};
}

/** The images of the batch of this step, in an order that only the seed and the epoch decide: Uint32Array. */
function chooseImages({settings, step}, count) {
  const batchSize = Math.min(settings.batchSize, count);
  const batches = Math.floor(count / batchSize);  // of an epoch; a smaller last one is left out
  const epoch = Math.floor(step / batches);
  const epochSeed = createGenerator(settings.seed)() + epoch;
  const order = shuffleNumbers(count, createGenerator(epochSeed));
  const start = step % batches * batchSize;
  return order.subarray(start, start + batchSize);
}

/** The batch of this step, of images as Uint8Array(count * 784) and their labels, Uint8Array(count). */
function takeBatch(training, images, labels) {
  const chosen = chooseImages(training, labels.length);
  const pixels = new Uint8Array(chosen.length * IMAGE_PIXELS);
  chosen.forEach((image, place) => {
    const start = image * IMAGE_PIXELS;
    pixels.set(images.subarray(start, start + IMAGE_PIXELS), place * IMAGE_PIXELS);
  });
  return {inputs: normalise(pixels), labels: Uint8Array.from(chosen, image => labels[image])};
}

/** The mean loss and the accuracy of the network on images, given as pixels: {loss, accuracy}. */
function evaluate(network, images, labels) {
  const logits = computeLogits(network, normalise(images), labels.length).at(-1);
  const {loss, accuracy} = compareWithLabels(logits, labels);
  return {loss, accuracy};
}
