// Station 4: what does backpropagation do? Point at a weight, and compare its gradient with a nudge's.

const WEIGHT_CELL = 9;  // pixels of a picture for each weight
const MAX_NUDGE_SIZE = 5;  // of the slider
const MEASUREMENTS = 9;  // of the time that a pass takes: the middle one counts

/** A layer's input or unit in words: a pixel by row and column, others by their number. */
function nameUnit(network, layer, unit) {
  if (layer === 0) return text("namePixel", {row: Math.floor(unit / 28) + 1, column: unit % 28 + 1});
  if (layer === network.sizes.length - 1) return text("nameOutput", {digit: unit});
  return text("nameUnit", {number: unit + 1});
}

/** Everything about the batch that does not depend on the weight: gradients, outputs, errors. */
function examineBatch(station) {
  const {lesson} = station;
  const batch = takeStationBatch(lesson);
  const {network} = lesson;
  if (station.backwardTimes.length === 0) computeGradients(network, batch);  // the first time is slow, and not typical
  const start = performance.now();
  const {gradients} = computeGradients(network, batch);
  station.backwardTimes = [...station.backwardTimes, performance.now() - start].slice(-MEASUREMENTS);
  const outputs = computeLogits(network, batch.inputs, batch.labels.length);
  const errors = computeErrors(network, outputs, batch.labels);
  Object.assign(station, {network, batch, gradients, outputs, errors});
}

/** The weight that was chosen, as far as the network still has it: its layers may have become smaller. */
function limitChoice({layers}, {layer, unit, input}) {
  const limited = Math.min(layer, layers.length - 1);
  const {from, to} = layers[limited];
  return {layer: limited, unit: Math.min(unit, to - 1), input: Math.min(input, from - 1)};
}

/** Choose a weight, and the image to which it matters most. */
function chooseWeight(station, choice) {
  station.choice = limitChoice(station.network, choice);
  station.products = computeProducts(station.network, station.outputs, station.errors, station.choice);
  station.image = station.products.map(Math.abs).reduce((best, size, image, sizes) =>
    size > sizes[best] ? image : best, 0);
  showWeight(station);
}

function showWeight(station) {
  showWeightControls(station);
  showWeightPictures(station);
  showNudges(station);
  showTimes(station);
  setTimeout(() => showPath(station));  // a task of its own: each takes its time
}

function showWeightControls({network, choice}) {
  const {layer, unit, input} = choice;
  const {from, to} = network.layers[layer];
  fillLayers($("weight-layer"), network, layer);
  setSlider($("weight-unit"), unit, to - 1, nameUnit(network, layer + 1, unit));
  setSlider($("weight-input"), input, from - 1, nameUnit(network, layer, input));
}

/** The weights that lead to the unit, and their gradients, as pictures; the chosen weight is framed. */
function showWeightPictures({network, gradients, choice}) {
  const {layer, unit, input} = choice;
  const {from, weights} = network.layers[layer];
  const pictures = {
    "weight-picture": weights,
    "gradient-picture": takeLayerGradients(network, gradients, layer),
  };
  for (const [id, ofLayer] of Object.entries(pictures)) {
    const values = ofLayer.subarray(unit * from, (unit + 1) * from);
    const scale = findScale(values);
    drawSquares($(id), values, value => tintOf(value / scale), WEIGHT_CELL);
    frameSquare($(id), values.length, input);
  }
}

/** A ring around the chosen weight, visible on any colour. */
function frameSquare(canvas, count, index) {
  const columns = countColumnsOf(count);
  const centre = [index % columns, Math.floor(index / columns)].map(cell => (cell + 0.5) * WEIGHT_CELL);
  const pencil = canvas.getContext("2d");
  for (const [name, radius] of [["--ground", WEIGHT_CELL + 1.5], ["--text", WEIGHT_CELL]]) {
    drawCircle(pencil, readColour(name), radius, centre);
  }
}

function showNudges(station) {
  const {lesson, network, batch, gradients, outputs, errors, choice} = station;
  const {layer, unit, input} = choice;
  const size = Number($("nudge-size").value);  // 1 for the smallest nudge, 0.00001, to 5 for the largest, 0.1
  const epsilon = 10 ** (size - MAX_NUDGE_SIZE - 1);
  setSlider($("nudge-size"), size, MAX_NUDGE_SIZE, epsilon.toFixed(MAX_NUDGE_SIZE + 1 - size));
  const start = performance.now();
  const {trials, slope} = nudgeWeight(network, batch, choice, epsilon);
  const forwardTime = (performance.now() - start) / trials.length;
  station.forwardTimes = [...station.forwardTimes, forwardTime].slice(-MEASUREMENTS);
  const index = unit * network.layers[layer].from + input;
  const gradient = takeLayerGradients(network, gradients, layer)[index];
  const reason = explainWeight(network, outputs, errors, choice);
  const counts = {images: batch.labels.length, input: formatSigned(outputs[layer][input])};
  $("weight-note").textContent = text(reason, counts);
  compareSlopes(gradient, slope);
  writeUpdate(network.layers[layer].weights[index], gradient, lesson.settings.learningRate);
  fillNudgeTable(trials, epsilon, slope);
}

/** Both slopes with the same decimals, so that their difference is that of the numbers shown. */
function compareSlopes(gradient, slope) {
  const size = Math.max(Math.abs(gradient), Math.abs(slope)) || 1;
  const decimals = Math.min(Math.max(4 - Math.floor(Math.log10(size)), 4), 16);
  $("weight-gradient").textContent = formatDecimals(gradient, decimals);
  $("weight-slope").textContent = formatDecimals(slope, decimals);
  const difference = roundTo(gradient, decimals) - roundTo(slope, decimals);
  $("weight-difference").textContent = formatDecimals(difference, decimals);
}

/** What a step makes of the weight. */
function writeUpdate(weight, gradient, rate) {
  $("weight-update").textContent = text("weightUpdate", {
    weight: formatDecimals(weight, 6),
    rate,
    gradient: enclose(formatDecimals(gradient, 6)),
    updated: formatDecimals(roundTo(weight, 6) - rate * roundTo(gradient, 6), 6),
  });
}

/** A number in brackets if it is negative or a product, as it is written after another sign. */
const enclose = number => (/^−|×/.test(number) ? `(${number})` : number);

function fillNudgeTable(trials, epsilon, slope) {
  const [smaller, present, larger] = trials;
  const names = ["nudgedDown", "nudgedNot", "nudgedUp"];
  const rows = trials.map(({weight, loss}, i) => [
    text(names[i]),
    formatDecimals(weight, 6),
    formatDecimals(loss, 6),
    i === 1 ? "" : formatDigits(loss - present.loss),
  ]);
  fillTable($("nudge-table"), rows);
  $("nudge-sum").textContent = text("nudgeSum", {
    up: formatDigits(larger.loss - present.loss),
    down: enclose(formatDigits(smaller.loss - present.loss)),
    width: enclose(formatDigits(2 * epsilon, 1)),
    slope: formatDigits(slope),
  });
}

/** The path for one image of the batch, and what the weight's input and the error that comes back make. */
function showPath(station) {
  const {network, batch, outputs, errors, choice, products, image} = station;
  const values = outputs.map((ofLayer, k) =>
    ofLayer.subarray(image * network.sizes[k], (image + 1) * network.sizes[k]));
  values.push(softmax(values.pop()));
  const label = batch.labels[image];
  const lines = tracePath(network, outputs, errors, choice, image);
  drawPathway($("path"), network, values, lines, choice, label);
  const words = text("pathImageValue", {number: image + 1, count: products.length, digit: label});
  setSlider($("path-image"), image, products.length - 1, words);
  drawProducts($("path-products"), products, image);
  writeChain(station, values, label);
}

function writeChain({network, errors, choice, products, image}, values, label) {
  const {layer, unit, input} = choice;
  const error = errors[layer][image * network.layers[layer].to + unit];
  const isOutput = layer === network.layers.length - 1;
  const chain = text("pathChain", {
    number: image + 1,
    digit: label,
    source: nameUnit(network, layer, input),
    target: nameUnit(network, layer + 1, unit),
    input: formatDecimals(values[layer][input], 3),
    error: formatDigits(error),
    product: formatDigits(products[image], 3),
  });
  const origin = text(isOutput ? "errorOfOutput" : "errorOfUnit", {
    error: formatDigits(error),
    probability: formatDecimals(values.at(-1)[unit] ?? 0, 4),
    target: unit === label ? 1 : 0,
    slope: formatDecimals(ACTIVATIONS[network.activation].slope(values[layer + 1][unit]), 3),
  });
  $("path-chain").textContent = joinSentences(chain, origin);
  const mean = products.reduce((total, product) => total + product) / products.length;
  $("path-mean").textContent = text("pathMean", {count: products.length, mean: formatDigits(mean)});
}

/** A bar for each image: the product of input and error. The chosen one is marked below. */
function drawProducts(canvas, products, chosen) {
  const {pencil, width, height} = takePencil(canvas);
  const scale = findScale(products);
  const step = width / products.length;
  const middle = (height - 8) / 2;
  products.forEach((product, image) => {
    const share = product / scale;
    const top = share > 0 ? middle - share * middle : middle;
    pencil.fillStyle = tintOf(Math.sign(share));
    pencil.fillRect(image * step, top, Math.max(step - 1, 1), Math.abs(share) * middle);
  });
  drawLine(pencil, readColour("--quiet"), 1, [0, middle], [width, middle]);
  pencil.fillStyle = readColour("--text");
  pencil.fillRect(chosen * step, height - 5, Math.max(step - 1, 2), 5);
}

/** What all gradients cost by backpropagation, and what they would cost by nudging, as measured here. */
function showTimes({network, batch, backwardTimes, forwardTimes}) {
  const forward = Number(findMedian(forwardTimes).toFixed(1));
  const backward = Number(findMedian(backwardTimes).toFixed(1));
  const count = network.numbers.length;
  $("backpropagation-times").textContent = text("backpropagationTimes", {
    images: batch.labels.length,
    count: formatCount(count),
    backward: formatSigned(backward, 1),
    ratio: formatSigned(backward / forward, 1),
    forward: formatSigned(forward, 1),
    minutes: formatSigned(2 * count * forward / 60000, 0),
  });
}

function chooseRandomWeight(station) {
  const {layer} = station.choice;
  const {from, to} = station.network.layers[layer];
  const unit = Math.floor(Math.random() * to);
  chooseWeight(station, {layer, unit, input: Math.floor(Math.random() * from)});
}

function connectWeightControls(station) {
  const change = changes => chooseWeight(station, {...station.choice, ...changes});
  const chooseLargest = layer =>
    chooseWeight(station, findLargestGradient(station.network, station.gradients, layer));
  $("weight-layer").onchange = ({target}) => chooseLargest(Number(target.value));
  $("weight-largest").onclick = () => chooseLargest(station.choice.layer);
  $("weight-random").onclick = () => chooseRandomWeight(station);
  $("weight-unit").oninput = ({target}) => change({unit: Number(target.value)});
  $("weight-input").oninput = ({target}) => change({input: Number(target.value)});
  $("nudge-size").oninput = () => showWeight(station);
  for (const id of ["weight-picture", "gradient-picture"]) {
    const getChosen = () => ({
      count: station.network.layers[station.choice.layer].from,
      index: station.choice.input,
    });
    connectSquares($(id), getChosen, input => change({input}));
  }
}

function connectPathControls(station) {
  const chooseImage = image => {
    station.image = Math.min(Math.max(image, 0), station.products.length - 1);
    showPath(station);
  };
  const bars = $("path-products");
  $("path-image").oninput = ({target}) => chooseImage(Number(target.value));
  bars.onpointerdown = ({offsetX}) =>
    chooseImage(Math.floor(offsetX / bars.clientWidth * station.products.length));
  bars.onpointermove = event => event.buttons & 1 && bars.onpointerdown(event);
  bars.onkeydown = event => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    chooseImage(station.image + step);
  };
}

/** Build the station. It follows the lesson's network, and begins with the weight of the largest gradient. */
function buildBackpropagation(section, lesson) {
  const station = {lesson, choice: null, backwardTimes: [], forwardTimes: []};
  updateWhileSeen(section, lesson, () => {
    if (station.network === lesson.network && station.choice) {  // only the language changed
      showWeight(station);
      return;
    }
    examineBatch(station);
    const lastLayer = lesson.network.layers.length - 1;  // where an error is easiest to understand
    station.choice ??= findLargestGradient(station.network, station.gradients, lastLayer);
    chooseWeight(station, station.choice);
  });
  connectWeightControls(station);
  connectPathControls(station);
}
