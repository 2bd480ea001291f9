// A unit's sum written out for the digit that is shown, and softmax step by step.

const LISTED_TERMS = 8;  // of a sum: the largest

/**
 * A unit's sum: {terms, others, otherCount, bias, total}. Of the terms {input, value, weight, product}, those
 * are listed whose products are the largest.
 *
 * Everything is rounded to what is shown, so that the reader can add it up: a product is that of the rounded
 * factors, and what rounding leaves over is in `others`, the rest of the terms.
 */
function writeOutSum({from, weights, bias}, inputs, unit, total, decimals = 3) {
  const row = weights.subarray(unit * from, (unit + 1) * from);
  const order = [...row.keys()].sort((a, b) => Math.abs(row[b] * inputs[b]) - Math.abs(row[a] * inputs[a]));
  const terms = order.slice(0, LISTED_TERMS).map(input => {
    const value = roundTo(inputs[input], decimals);
    const weight = roundTo(row[input], decimals + 1);
    return {input, value, weight, product: roundTo(value * weight, decimals)};
  });
  const listed = terms.reduce((sum, {product}) => sum + product, 0);
  const roundedBias = roundTo(bias[unit], decimals);
  const roundedTotal = roundTo(total, decimals);
  const others = roundTo(roundedTotal - roundedBias - listed, decimals);
  return {terms, others, otherCount: from - terms.length, bias: roundedBias, total: roundedTotal};
}

/**
 * Softmax in steps: {rows, total}, each row {logit, less, power, probability}. What is subtracted and added
 * up is rounded to what is shown; the probabilities are those of the network.
 */
function writeOutSoftmax(logits, decimals = 4) {
  const largestLogit = roundTo(Math.max(...logits), decimals);
  const probabilities = softmax(logits);
  const rows = Array.from(logits, (logit, digit) => {
    const rounded = roundTo(logit, decimals);
    const less = roundTo(rounded - largestLogit, decimals);
    const power = roundTo(Math.exp(less), decimals);
    return {logit: rounded, less, power, probability: probabilities[digit]};
  });
  return {rows, total: roundTo(rows.reduce((sum, {power}) => sum + power, 0), decimals)};
}

/** The outputs of all layers for a digit, and the sums of their units. */
function passDigit(network, pixels) {
  const outputs = forward(network, pixels);
  const sums = network.layers.map((layer, k) => computeSums(layer, outputs[k]));
  return {outputs, sums};
}

const findStrongest = outputs => Math.max(outputs.indexOf(Math.max(...outputs)), 0);

function showSums(station) {
  const {network, drawnPixels} = station.lesson;
  station.pixels = drawnPixels ?? station.pixels;  // when the paper is cleared, the digit before stays
  const passed = passDigit(network, station.pixels);
  station.layer = Math.min(station.layer, network.layers.length - 1);
  const {layer} = station;
  const {from, to, weights} = network.layers[layer];
  station.unit = Math.min(station.unit ?? findStrongest(passed.outputs[layer + 1]), to - 1);
  const {unit} = station;
  fillLayers($("sums-layer"), network, layer);
  setSlider($("sums-unit"), unit, to - 1, nameUnit(network, layer + 1, unit));
  showFactors(passed.outputs[layer], weights.subarray(unit * from, (unit + 1) * from));
  showTerms(network, passed, layer, unit);
  showActivation(network, passed, layer, unit);
  showSoftmax(passed.sums.at(-1));
}

/** Inputs, weights and products as three pictures, the products being those of squares in the same place. */
function showFactors(inputs, weights) {
  const products = weights.map((weight, i) => weight * inputs[i]);
  const pictures = {"sums-inputs": inputs, "sums-weights": weights, "sums-products": products};
  for (const [id, values] of Object.entries(pictures)) {
    const scale = findScale(values);
    drawSquares($(id), values, value => tintOf(value / scale), 8);
  }
}

/** A number as it is added to others: + 0.025 or − 0.025. */
function withSign(number) {
  return `${number < 0 ? "−" : "+"} ${formatDecimals(Math.abs(number), 3)}`;
}

function showTerms(network, {outputs, sums}, layer, unit) {
  const total = sums[layer][unit];
  const sum = writeOutSum(network.layers[layer], outputs[layer], unit, total);
  const rows = sum.terms.map(({input, value, weight, product}) => [
    nameUnit(network, layer, input),
    formatDecimals(value, 3),
    `× ${formatDecimals(weight, 4)}`,
    `= ${formatDecimals(product, 3)}`,
  ]);
  if (sum.otherCount) {
    rows.push([text("sumsOthers", {count: formatCount(sum.otherCount)}), "", "", withSign(sum.others)]);
  } else if (sum.others) {
    rows.push([text("sumsRounding"), "", "", withSign(sum.others)]);
  }
  rows.push([text("sumsBias"), "", "", withSign(sum.bias)]);
  rows.push([text("sumsTotal"), "", "", `= ${formatDecimals(sum.total, 3)}`]);
  fillTable($("sums-table"), rows);
}

/** What becomes of the sum: a hidden unit's output, or one of the ten logits. */
function showActivation({activation, layers}, {outputs, sums}, layer, unit) {
  const isOutput = layer === layers.length - 1;
  $("sums-activation").textContent = text(isOutput ? "sumsLogit" : `sumsBy_${activation}`, {
    sum: formatDecimals(sums[layer][unit], 3),
    output: formatDecimals(outputs[layer + 1][unit], 3),
    digit: unit,
  });
}

function showSoftmax(logits) {
  const {rows, total} = writeOutSoftmax(logits);
  fillTable($("softmax-table"), rows.map(({logit, less, power, probability}, digit) => [
    String(digit),
    formatDecimals(logit, 4),
    formatDecimals(less, 4),
    formatDecimals(power, 4),
    formatPercent(probability),
    formatDecimals(-Math.log(probability), 3),
  ]));
  const likeliest = findStrongest(logits);
  const {power, probability} = rows[likeliest];
  $("softmax-sum").textContent = text("softmaxSum", {
    total: formatDecimals(total, 4),
    digit: likeliest,
    power: formatDecimals(power, 4),
    percent: formatPercent(probability),
  });
}

/** Build the figure. It follows the network and the digit drawn. */
function buildSums(section, lesson) {
  const pixels = lesson.test.images.subarray(0, IMAGE_PIXELS);  // until one is drawn
  const station = {lesson, pixels, layer: 0, unit: null};  // until a unit is chosen, the strongest
  updateWhileSeen(section, lesson, () => showSums(station));
  $("sums-layer").onchange = ({target}) => {
    station.layer = Number(target.value);
    station.unit = null;
    showSums(station);
  };
  $("sums-unit").oninput = ({target}) => {
    station.unit = Number(target.value);
    showSums(station);
  };
}
