// Steps through the space of all weights: in a direction, so far; and the loss on the way.

/** The length of a direction, which has a number for each weight and bias. */
function measureLength(direction) {
  let squares = 0;
  for (const number of direction) squares += number * number;
  return Math.sqrt(squares);
}

/** A random direction of this length, all being equally likely: a function of the seed. */
function drawDirection(count, length, seed) {
  const generate = createGenerator(seed);
  const uniform = () => (generate() + 0.5) / 2 ** 32;  // neither 0, of which there is no logarithm, nor 1
  const direction = Float32Array.from({length: count}, () =>
    // Box and Muller's normal numbers: with these, no direction is preferred.
    Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
  const scale = length / measureLength(direction);
  return direction.map(number => number * scale);
}

/** A copy of the network, moved along a direction. */
function moveNetwork({sizes, activation, numbers}, direction, distance) {
  return createNetwork(sizes, activation, numbers.map((number, i) => number + distance * direction[i]));
}

/** The network without its first layer, whose outputs it takes for inputs. */
function cutFirstLayer({sizes, activation, numbers}) {
  const start = (sizes[0] + 1) * sizes[1];
  return createNetwork(sizes.slice(1), activation, numbers.subarray(start));
}

/**
 * The loss of a batch along a line through the weights: a function of the distance.
 *
 * The first layer, where nearly all weights are, is passed only twice: its sums grow in proportion to the
 * distance, and the later layers take a twentieth of the time.
 */
function followLine(network, batch, direction) {
  const {sizes, activation} = network;
  const count = batch.labels.length;
  if (sizes.length === 2) return distance => computeLoss(moveNetwork(network, direction, distance), batch);
  const findSums = numbers => {
    const firstLayer = createNetwork(sizes.slice(0, 2), activation, numbers);
    return computeLogits(firstLayer, batch.inputs, count).at(-1);
  };
  const sums = findSums(network.numbers);
  const growth = findSums(direction);
  const rest = cutFirstLayer(network);
  const restDirection = cutFirstLayer({sizes, activation, numbers: direction}).numbers;
  const {apply} = ACTIVATIONS[activation];
  return distance => {
    const inputs = sums.map((sum, i) => apply(sum + distance * growth[i]));
    return computeLoss(moveNetwork(rest, restDirection, distance), {inputs, labels: batch.labels});
  };
}

/** Whether all units of a hidden layer are off for all images: then no gradient comes back through it. */
function isDead(network, batch) {
  const outputs = computeLogits(network, batch.inputs, batch.labels.length);
  return outputs.slice(1, -1).some(ofLayer => ofLayer.every(value => value === 0));
}

/** The lowest of points {distance, loss}; those whose loss is no number do not count. */
function findLowest(points) {
  return points.filter(({loss}) => Number.isFinite(loss))
    .reduce((best, point) => !best || point.loss < best.loss ? point : best, null);
}

/** Points between the neighbours of the lowest one, so that a narrow valley is found: its distances. */
function refineDistances(points, count) {
  const lowest = points.indexOf(findLowest(points));
  if (lowest < 0) return [];
  const from = points[Math.max(lowest - 1, 0)].distance;
  const to = points[Math.min(lowest + 1, points.length - 1)].distance;
  return Array.from({length: count}, (_, i) => from + (to - from) * (i + 1) / (count + 1));
}
