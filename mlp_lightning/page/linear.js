// Station 1: the same network with ReLU and with nothing between its layers.

/** Multiply the weights of all layers: Float64Array(10 * 784), what one layer needs to do the same without ReLU. */
function multiplyLayers({layers}) {
  let product = layers.at(-1).weights, width = layers.at(-1).from;
  for (const {from, to, weights} of layers.slice(0, -1).reverse()) {
    const next = new Float64Array(CLASSES * from);
    for (let digit = 0; digit < CLASSES; digit++) {
      for (let unit = 0; unit < to; unit++) {
        const factor = product[digit * width + unit];
        for (let i = 0; i < from; i++) next[digit * from + i] += factor * weights[unit * from + i];
      }
    }
    product = next;
    width = from;
  }
  return product;
}

/** The network of a single layer that does what this one does: its biases are the answers to an input of zeros. */
function mergeLayers(network) {
  const merged = createNetwork([IMAGE_PIXELS, CLASSES], "identity");
  const [{weights, bias}] = merged.layers;
  weights.set(multiplyLayers(network));
  bias.set(computeLogits(network, new Float32Array(IMAGE_PIXELS), 1).at(-1));
  return merged;
}

/** By how much the logits of two networks differ at most, for a batch. */
function compareLogits(one, other, {inputs, labels}) {
  const [ours, theirs] = [one, other].map(network => computeLogits(network, inputs, labels.length).at(-1));
  return ours.reduce((most, logit, i) => Math.max(most, Math.abs(logit - theirs[i])), 0);
}

/** What the panel says of the network without ReLU: the single layer that does the same. */
function showProduct({networks, settings, step}) {
  const merged = mergeLayers(networks[1]);
  drawTiles($("product"), merged.layers[0].weights, CLASSES);
  const batch = takeStationBatch({batch: takePanelBatch({settings, step})});
  const difference = compareLogits(networks[1], merged, batch);
  $("product-difference").textContent = Number.isFinite(difference)
    ? text("productDifference", {count: batch.labels.length, difference: formatDigits(difference, 1)})
    : text("overflowAdvice");
}

function buildLinear({settings, ask}) {
  return buildExperiment($("linear-panel"), ask, {
    id: "linear",
    settings: {...settings, learningRate: 0.1},
    variants: [
      {name: "withRelu", changes: {activation: "relu"}},
      {name: "withNothing", changes: {activation: "identity"}},
    ],
    choices: ["batchSize", "learningRate", "momentum"],
    onDraw: showProduct,
  });
}
