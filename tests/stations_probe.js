// What test_lesson_stations.py asks of the scripts of the stations.

/** A network that has learned a little, and its batch. */
function trainForStations(settings, images, labels, steps) {
  const training = createTraining(settings);
  let batch = null;
  for (let step = 0; step < steps; step++) {
    batch = takeBatch(training, images, labels);
    trainStep(training, batch);
  }
  return {network: training.network, batch};
}

/**
 * For weights drawn at random in each layer, relative to the layer's largest gradient: how far the mean of the
 * products is from the gradient, how far the nudge's slope is; and how far the lines of the path, of each
 * layer together, are from the error that comes back to the unit.
 */
function compareStationGradients({network, batch}, seed, count) {
  const {gradients} = computeGradients(network, batch);
  const outputs = computeLogits(network, batch.inputs, batch.labels.length);
  const errors = computeErrors(network, outputs, batch.labels);
  const generate = createGenerator(seed);
  const compare = layer => {
    const {from, to} = network.layers[layer];
    const ofLayer = takeLayerGradients(network, gradients, layer);
    const largestChoice = findLargestGradient(network, gradients, layer);
    const scale = Math.abs(ofLayer[largestChoice.unit * from + largestChoice.input]);
    const choice = {layer, unit: generate() % to, input: generate() % from};
    const gradient = ofLayer[choice.unit * from + choice.input];
    const products = computeProducts(network, outputs, errors, choice);
    const mean = addNumbers(products) / products.length;
    const {slope} = nudgeWeight(network, batch, choice, 1e-5);
    const error = errors[layer][choice.unit];
    const paths = tracePath(network, outputs, errors, choice, 0);
    const differences = paths.map(lines => Math.abs(addNumbers(lines) - error));
    return [Math.abs(mean - gradient) / scale, Math.abs(slope - gradient) / scale, Math.max(0, ...differences)];
  };
  return network.layers.flatMap((_, layer) => Array.from({length: count}, () => compare(layer)));
}

const addNumbers = numbers => numbers.reduce((total, number) => total + number, 0);

/** The loss along the line and that of a network moved so far, at some distances. */
function compareLine({network, batch}, distances) {
  const {gradients} = computeGradients(network, batch);
  const computeLossAt = followLine(network, batch, gradients);
  return distances.map(distance => {
    const moved = moveNetwork(network, gradients, distance);
    return [computeLossAt(distance), computeLoss(moved, batch)];
  });
}

/** What a step of this rate changes in the loss: against the gradient, along it, at random. */
function compareSteps({network, batch}, rate) {
  const {loss, gradients} = computeGradients(network, batch);
  const random = drawDirection(gradients.length, measureLength(gradients), 1);
  const measure = (direction, distance) => computeLoss(moveNetwork(network, direction, distance), batch) - loss;
  return [measure(gradients, -rate), measure(gradients, rate), measure(random, rate)];
}

/** The sum of a unit written out for one image, and softmax. */
function writeOutForTest({network}, image, layer, unit) {
  const {outputs, sums} = passDigit(network, image);
  const sum = writeOutSum(network.layers[layer], outputs[layer], unit, sums[layer][unit]);
  return {sum, softmax: writeOutSoftmax(sums.at(-1)), total: sums[layer][unit]};
}
