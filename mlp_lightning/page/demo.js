// The page of a checkpoint: its network as a whole, and what each unit makes of an image.

const model = JSON.parse($("model").textContent);
const dataset = createDataset(model.classes, model.mean, model.std);
const numbers = new Float32Array(decodeBase64(model.weights).buffer);
const network = createNetwork(model.sizes, model.activation, numbers, dataset);
const lastLayer = network.layers.length;  // as outputs count layers: 0 is the image
const ROW_HEIGHT = 14;  // of the diagram, so that a class can have its name written
const MAX_NAMED_CLASSES = 60;  // the diagram grows no further
let outputs = null;  // of all layers, for the image shown
let refusal = () => text("drawOne");  // says why there is none
let pointed = null;  // {layer, unit}: what the user points at
let player = null;  // of the image that goes through at present

/** Show what the network makes of 784 pixels, or why there are none. */
function showImage(pixels, reason = null) {
  player?.stop();
  outputs = pixels && forward(network, pixels);
  refusal = reason;
  drawSquares($("seen"), pixels ?? new Uint8Array(784), greyOf);
  showAnswer($("answer"), outputs?.at(-1), reason, dataset);
  showProbabilities($("digits"), outputs?.at(-1), dataset.classes);
  showNetwork();
}

/** The same, while the eye sees the image go through the network. */
function sendImage(pixels) {
  showImage(pixels);
  player = playSignal(progress => drawDiagram($("diagram"), network, outputs, {highlight: pointed, progress}));
}

/** Draw the network, and say what there is to know about one unit or pixel. */
function showNetwork() {
  drawDiagram($("diagram"), network, outputs, {highlight: pointed});
  const shown = pointed ?? {layer: lastLayer, unit: outputs ? greatest(outputs.at(-1)) : 0};
  showWeights(shown);
  $("words").textContent = shown.layer === 0 ? describePixel(shown.unit) : describeUnit(shown);
}

/** Show the weights of a unit as squares; of a pixel, the weights that the first layer's units give it. */
function showWeights({layer, unit}) {
  const {from, weights} = network.layers[Math.max(layer - 1, 0)];
  const own = layer === 0
    ? weights.filter((_, i) => i % from === unit)
    : weights.subarray(unit * from, (unit + 1) * from);
  const scale = findScale(own);
  drawSquares($("weights"), own, weight => tintOf(weight / scale));
}

/** Say what a pixel is, and what the network takes for it. */
function describePixel(pixel) {
  const place = {row: Math.floor(pixel / 28) + 1, column: pixel % 28 + 1, count: formatCount(network.sizes[1])};
  if (!outputs) return text("pixelName", place);
  const input = outputs[0][pixel];
  const value = Math.round(255 * findPixel(input, dataset));
  return joinSentences(text("pixelName", place), text("pixelValue", {value, input: formatSigned(input)}));
}

/** Say in words how a unit comes to its output. */
function describeUnit({layer, unit}) {
  const weighted = network.layers[layer - 1];
  const isOutput = layer === lastLayer;
  const name = isOutput
    ? text("className", {name: dataset.classes[unit]})
    : text("unitName", {number: unit + 1, count: formatCount(weighted.to)});
  const about = text(layer > 1 ? "unitWeights" : "pixelWeights", {name, count: formatCount(weighted.from)});
  if (!outputs) return about;
  const total = roundTo(computeSums(weighted, outputs[layer - 1])[unit], 2);
  const bias = roundTo(weighted.bias[unit], 2);  // rounded first, so that the numbers shown add up
  const output = outputs[layer][unit];
  return joinSentences(about, text("unitSum", {
    sum: formatSigned(total - bias),
    bias: formatSigned(bias),
    total: formatSigned(total),
    activation: isOutput ? "softmax" : model.activation.replace("relu", "ReLU"),
    output: isOutput ? formatPercent(output, 2) : formatSigned(output),
  }));
}

/** Point at a unit or pixel, {layer, unit}, or at none. */
function pointAt(place) {
  player?.stop();
  pointed = place;
  showNetwork();
}

function connectDiagram(diagram) {
  diagram.onpointermove = ({offsetX, offsetY}) => {
    const place = findUnitAt(diagram, network, offsetX, offsetY);
    if (place) pointAt(place);
  };
  diagram.onpointerdown = ({offsetX, offsetY}) => pointAt(findUnitAt(diagram, network, offsetX, offsetY));
  diagram.onkeydown = event => {
    if (event.key === "Escape") return pointAt(null);
    const start = pointed ?? {layer: lastLayer, unit: outputs ? greatest(outputs.at(-1)) : 0};
    const next = findNextUnit(diagram, network, start, event.key);
    if (!next) return;
    event.preventDefault();
    pointAt(next);
  };
  new ResizeObserver(showNetwork).observe(diagram);
  darkScheme.onchange = showNetwork;
}

/** Add the part that explains a hidden layer. */
function addHiddenLayer({from, to}, k) {
  const part = document.createElement("div");
  $("output").before(part);
  const title = add(part, "h2");
  const explanation = add(part, "p");
  languageListeners.add(() => {
    const values = {count: formatCount(to), inputs: formatCount(from), layer: k + 1, activation: text(model.activation)};
    title.textContent = text(lastLayer > 2 ? "hiddenTitleOf" : "hiddenTitle", values);
    explanation.textContent = text("hiddenText", values);
  });
}

function describeRun() {
  const run = model.run.replaceAll("/", "/\u200b");  // a line may break there
  const values = {run, count: formatCount(network.numbers.length)};
  if (model.accuracy === null) return text("about", values);
  return text("aboutTested", {...values, accuracy: formatPercent(model.accuracy, 2)});
}

/** Say what the network was trained on, unless it is what the project is about. */
function describeModel() {
  if (model.dataset === "MNIST") return describeRun();
  return joinSentences(text("trainedOn", {dataset: model.dataset}), describeRun());
}

function describeOutputs() {
  const values = {count: formatCount(dataset.classes.length), inputs: formatCount(network.layers.at(-1).from)};
  $("outputTitle").textContent = text("outputTitle", values);
  $("outputText").textContent = text("outputText", values);
  if (dataset.classes.length <= MANY_CLASSES) return;
  $("outputText").textContent = joinSentences($("outputText").textContent, text("barsOfMany", {count: BARS_OF_MANY}));
}

/** Make the diagram high enough for the names of many classes. */
function stretchDiagram() {
  const rows = Math.min(dataset.classes.length, MAX_NAMED_CLASSES);
  $("diagram").style.minHeight = `${rows * ROW_HEIGHT + 2 * DIAGRAM_MARGIN + LABEL_HEIGHT}px`;
}

if (!model.handwriting) {
  Object.assign(TEXTS, PICTURE_TEXTS);
  paper.classList.add("board");
}
stretchDiagram();

network.layers.slice(0, -1).forEach(addHiddenLayer);
const sampleImages = decodeBase64(model.images);
const samples = model.labels.map((_, i) => sampleImages.subarray(784 * i, 784 * (i + 1)));
connectPaper(showImage, model.handwriting ? HANDWRITING : PICTURES);
addSamples(samples, model.labels.map(label => dataset.classes[label]), sendImage);
languageListeners.add(() => {
  $("about").textContent = describeModel();
  describeOutputs();
  showAnswer($("answer"), outputs?.at(-1), refusal, dataset);
  showNetwork();
});
connectDiagram($("diagram"));
connectLanguageSwitch();
$("samples").firstElementChild.click();
translatePage();
