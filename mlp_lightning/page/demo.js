// The page of a checkpoint: what each layer of its network makes of a digit.

const model = JSON.parse($("model").textContent);
const network = createNetwork(model.sizes, model.activation, new Float32Array(decodeBase64(model.weights).buffer));
const last = network.layers.length - 1;
const chosen = [];  // of each layer: the unit that the user points at
const views = [];  // of each layer: the elements that show it
let outputs = null;  // of all layers, for the digit shown
let refusal = () => text("drawOne");  // says why there is none

/** Show what the network makes of 784 pixels, or why there are none. */
function showDigit(pixels, reason = null) {
  outputs = pixels && forward(network, pixels);
  refusal = reason;
  drawSquares($("seen"), pixels ?? new Uint8Array(784), greyOf);
  showAnswer($("answer"), outputs?.at(-1), reason);
  showProbabilities($("digits"), outputs?.at(-1));
  network.layers.forEach((_, k) => showLayer(k));
}

/** Make the section of a layer: its units, what they compute, and the one pointed at. */
function addLayer({from, to}, k) {
  const isOutput = k === last;
  const section = isOutput ? $("output") : document.createElement("section");
  if (!isOutput) $("output").before(section);
  const title = isOutput ? section.querySelector("h2") : add(section, "h2");
  const units = add(section, "canvas", {className: "units", tabIndex: 0, role: "img"});
  const columns = countColumnsOf(to);
  units.onpointermove = units.onpointerdown = ({offsetX, offsetY}) => {
    const size = units.clientWidth / columns;
    const row = Math.floor(offsetY / size), column = clamp(Math.floor(offsetX / size), 0, columns - 1);
    showLayer(k, row * columns + column);
  };
  units.onkeydown = event => {
    const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[event.key];
    if (!step) return;
    event.preventDefault();
    showLayer(k, findShownUnit(k) + step);
  };
  const explanation = add(section, "p");
  const detail = add(section, "div", {className: "unit"});
  views.push({units, weights: add(detail, "canvas"), words: add(detail, "p", {className: "quiet"})});
  languageListeners.add(() => {
    const activation = text(model.activation), count = formatCount(to), inputs = formatCount(from);
    title.textContent = isOutput ? text("outputTitle")
      : text(last > 1 ? "hiddenTitleOf" : "hiddenTitle", {count, layer: k + 1});
    units.ariaLabel = text("unitsLabel", {count});
    explanation.textContent = text(isOutput ? "outputText" : "hiddenText", {count, inputs, activation});
  });
}

/** The unit whose weights are shown: the one pointed at, else the most active. */
function findShownUnit(k) {
  return chosen[k] ?? (outputs ? greatest(outputs[k + 1]) : 0);
}

/** Show a layer's units, and the weights of one of them. */
function showLayer(k, pointed = chosen[k]) {
  const {from, to, weights} = network.layers[k], view = views[k];
  if (pointed >= 0 && pointed < to) chosen[k] = pointed;
  const unit = findShownUnit(k), values = outputs?.[k + 1] ?? new Float32Array(to), most = findScale(values);
  const cell = clamp(Math.floor(320 / countColumnsOf(to)), 4, 20);
  drawSquares(view.units, values, value => tintOf(value / most), cell, unit);
  const own = weights.subarray(unit * from, (unit + 1) * from), scale = findScale(own);
  drawSquares(view.weights, own, weight => tintOf(weight / scale));
  view.words.textContent = describeUnit(k, unit);
}

/** Say in words how a unit comes to its output. */
function describeUnit(k, unit) {
  const {from, to, bias} = network.layers[k];
  const name = k < last ? text("unitName", {number: unit + 1, count: formatCount(to)}) : text("digitName", {digit: unit});
  const about = text(k ? "unitWeights" : "pixelWeights", {name, count: formatCount(from)});
  if (!outputs) return about;
  const total = computeSums(network.layers[k], outputs[k])[unit], output = outputs[k + 1][unit];
  const sum = text("unitSum", {
    sum: formatSigned(total - bias[unit]),
    bias: formatSigned(bias[unit]),
    total: formatSigned(total),
    activation: k < last ? model.activation : "softmax",
    output: k < last ? formatSigned(output) : formatPercent(output, 2),
  });
  return language === 0 ? `${about} ${sum}` : about + sum;
}

function describeRun() {
  const values = {run: model.run, count: formatCount(network.numbers.length)};
  if (model.accuracy === null) return text("about", values);
  return text("aboutTested", {...values, accuracy: `${(100 * model.accuracy).toFixed(2)}%`});
}

network.layers.forEach(addLayer);
addProbabilities($("digits"));
const sampleImages = decodeBase64(model.images);
const samples = model.labels.map((_, i) => sampleImages.subarray(784 * i, 784 * (i + 1)));
addSamples(samples, model.labels, showDigit);
languageListeners.add(() => {
  $("about").textContent = describeRun();
  showAnswer($("answer"), outputs?.at(-1), refusal);
  network.layers.forEach((_, k) => showLayer(k));
});
connectPaper(showDigit);
connectLanguageSwitch();
$("samples").firstElementChild.click();
translatePage();
