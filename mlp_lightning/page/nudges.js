// What one weight does to the loss: what a nudge shows, and what comes back to it image by image.
// A weight is given as {layer, unit, input}: its layer, the unit it leads to, the input it multiplies.

/** Where a layer's weights begin among all the network's numbers. */
function findStart({numbers, layers}, layer) {
  return (layers[layer].weights.byteOffset - numbers.byteOffset) / numbers.BYTES_PER_ELEMENT;
}

/** The part of the gradients that belongs to a layer's weights. */
function takeLayerGradients(network, gradients, layer) {
  const start = findStart(network, layer);
  return gradients.subarray(start, start + network.layers[layer].weights.length);
}

/** The weight of a layer whose gradient is the largest, above or below 0. */
function findLargestGradient(network, gradients, layer) {
  const ofLayer = takeLayerGradients(network, gradients, layer);
  const {from} = network.layers[layer];
  let index = 0;
  for (let i = 1; i < ofLayer.length; i++) {
    if (Math.abs(ofLayer[i]) > Math.abs(ofLayer[index])) index = i;
  }
  return {layer, unit: Math.floor(index / from), input: index % from};
}

/**
 * The loss with a weight made smaller by epsilon, as it is, and made larger: {trials: [{weight, loss}, …],
 * slope}. The weights are what float32 makes of them; the slope counts with that.
 */
function nudgeWeight(network, batch, {layer, unit, input}, epsilon) {
  const {weights, from} = network.layers[layer];
  const index = unit * from + input;
  const weight = weights[index];
  const trials = [-epsilon, 0, epsilon].map(nudge => {
    weights[index] = weight + nudge;
    return {weight: weights[index], loss: computeLoss(network, batch)};
  });
  weights[index] = weight;
  const [smaller, , larger] = trials;
  return {trials, slope: (larger.loss - smaller.loss) / (larger.weight - smaller.weight)};
}

/**
 * What comes back to the sum of every unit, from the loss of every image by itself: for each layer a
 * Float64Array(images * to). `outputs` are those of computeLogits.
 */
function computeErrors(network, outputs, labels) {
  const {slope} = ACTIVATIONS[network.activation];
  const count = labels.length;
  const outputErrors = compareWithLabels(outputs.at(-1), labels).errors;
  const errors = [outputErrors.map(error => error * count)];  // of each image's own loss, not of the mean
  for (let layer = network.layers.length - 1; layer > 0; layer--) {
    const errorsBefore = passErrorsBack(network.layers[layer], errors[0], count);
    errors.unshift(errorsBefore.map((error, i) => error * slope(outputs[layer][i])));
  }
  return errors;
}

/** For each image, the weight's input times the error at its unit. The mean of these is the gradient. */
function computeProducts(network, outputs, errors, {layer, unit, input}) {
  const {from, to} = network.layers[layer];
  const count = errors[layer].length / to;
  return Float64Array.from({length: count}, (_, image) =>
    outputs[layer][image * from + input] * errors[layer][image * to + unit]);
}

/**
 * The lines through which a unit acts on the loss of one image: for each later layer a
 * Float64Array(to * from). The lines of each layer together are the error that comes back to the unit.
 */
function tracePath(network, outputs, errors, {layer, unit}, image) {
  const {slope} = ACTIVATIONS[network.activation];
  let changes = new Float64Array(network.layers[layer].to);  // of the sums, when the unit's sum grows by 1
  changes[unit] = 1;
  return network.layers.slice(layer + 1).map(({from, to, weights}, k) => {
    const later = layer + 1 + k;
    const lines = new Float64Array(to * from);
    const changesAfter = new Float64Array(to);
    for (let i = 0; i < lines.length; i++) {
      const source = i % from;
      const target = Math.floor(i / from);
      const change = changes[source] * slope(outputs[later][image * from + source]) * weights[i];
      changesAfter[target] += change;
      lines[i] = change * errors[later][image * to + target];
    }
    changes = changesAfter;
    return lines;
  });
}

/** Why a weight's gradient is 0, or what its input is: the name of a text. */
function explainWeight(network, outputs, errors, {layer, unit, input}) {
  const {from, to} = network.layers[layer];
  const count = errors[layer].length / to;
  const images = [...Array(count).keys()];
  const inputs = images.map(image => outputs[layer][image * from + input]);
  const errorsAtUnit = images.map(image => errors[layer][image * to + unit]);
  const unitOutputs = images.map(image => outputs[layer + 1][image * to + unit]);
  const hasKinks = network.activation === "relu" && layer < network.layers.length - 1;
  if (!inputs.every(Number.isFinite) || !errorsAtUnit.every(Number.isFinite)) return "weightNoNumber";
  if (hasKinks && unitOutputs.every(output => output === 0)) return "weightUnitOff";
  if (hasKinks && errorsAtUnit.every(error => error === 0)) return "weightLaterOff";
  if (inputs.every(value => value === 0)) return "weightSourceOff";
  if (layer === 0 && inputs.every(value => value === MNIST.inputOfPixel[0])) return "weightOfPaper";
  if (hasKinks && inputs.every((value, image) => value * errorsAtUnit[image] === 0)) return "weightNeverBoth";
  return hasKinks ? "weightWithKinks" : "weightWithoutKinks";
}
