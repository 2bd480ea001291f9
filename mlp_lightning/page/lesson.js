// The lesson: a network that learns in the page, and five questions that it answers.

const model = JSON.parse($("model").textContent);

/** What the stations share. */
const lesson = {
  settings: model.settings,  // of the training panel
  ask: startWorker(),
  network: null,  // of the training panel, as it is now
  batch: null,  // the one that it has last been trained on, or will be first
  drawnPixels: null,  // the digit on the paper: Uint8Array(784)
  listeners: new Set(),  // called when the network, the batch or the digit has changed
};
let outputs = null;  // of all layers, for the digit on the paper
let firstWeights = null;  // of the first layer, at the beginning
let refusal = () => text("drawOne");  // says why there is none

const notifyListeners = schedule(() => {
  for (const listener of lesson.listeners) listener();
});

/** Read the digit on the paper anew. */
function readAgain() {
  outputs = lesson.drawnPixels && forward(lesson.network, lesson.drawnPixels);
  const hasOverflown = outputs && !Number.isFinite(outputs.at(-1)[0]);
  if (hasOverflown) showAnswer($("answer"), null, () => text("overflowAdvice"));
  else showAnswer($("answer"), outputs?.at(-1), refusal);
  drawDiagram($("diagram"), lesson.network, outputs);
}

function showDigit(pixels, reason = null) {
  lesson.drawnPixels = pixels;
  refusal = reason;
  notifyListeners();
}

/** The batch that a panel has trained on last, or will first. */
function takePanelBatch({settings, step}) {
  const {images, labels} = lesson.training;
  return takeBatch({settings, step: Math.max(step - 1, 0)}, images, labels);
}

/** Take over what the training panel's network has become. */
function useNetwork({networks, step, settings}) {
  [lesson.network] = networks;
  if (step === 0) firstWeights = lesson.network.layers[0].weights;
  lesson.batch = takePanelBatch({settings, step});
  notifyListeners();
}

/** Show the first layer's weights, or how they have changed since the beginning. */
function showWeights() {
  const [{to, weights}] = lesson.network.layers;
  const isOfChanges = $("shows-changes").checked;
  drawTiles($("first-layer"), isOfChanges ? weights.map((weight, i) => weight - firstWeights[i]) : weights, to);
}

function buildTraining(lesson) {
  const experiment = buildExperiment($("training-panel"), lesson.ask, {
    id: "training",
    settings: lesson.settings,
    variants: [{name: "thisNetwork", changes: {}}],
    choices: ["batchSize", "learningRate", "momentum"],
    onChange: useNetwork,
    onDraw: ({isPlaying}) => { $("answer").ariaLive = isPlaying ? "off" : "polite"; },
  });
  addSeed($("training-panel").children[1], experiment);
  return experiment;
}

function addSeed(parent, experiment) {
  const label = add(parent, "label"), caption = add(label, "span");
  caption.dataset.text = "seed";
  const input = add(label, "input", {type: "number", id: "seed", min: 0, max: 2 ** 32 - 1, step: 1, required: true});
  input.value = lesson.settings.seed;
  input.onchange = () => {
    if (input.reportValidity()) change(experiment, {seed: Number(input.value)});
  };
}

function addContents() {
  for (const section of document.querySelectorAll("main section")) {
    const link = add($("contents"), "a", {href: `#${section.id}`});
    languageListeners.add(() => { link.textContent = section.querySelector("h2").textContent; });
  }
}

/** Describe the page's own network where texts have its sizes. */
function nameNetwork() {
  const sizes = [IMAGE_PIXELS, ...model.settings.hiddenSizes, CLASSES].join("-");
  $("intro").textContent = text("lessonIntro", {sizes});
}

async function startLesson() {
  addContents();
  languageListeners.add(nameNetwork);
  translatePage();  // the words first: the images take a moment
  lesson.training = await unpackImages(model.training);
  lesson.test = await unpackImages(model.test);
  await lesson.ask({action: "load", training: lesson.training, test: lesson.test});
  lesson.listeners.add(readAgain);
  lesson.listeners.add(showWeights);
  for (const build of [buildTraining, buildLinear, buildSizes, buildClearing]) await begin(build(lesson));
  const stations = {sums: buildSums, backpropagation: buildBackpropagation, descent: buildDescent};
  for (const [id, build] of Object.entries(stations)) {
    build($(id), lesson);
    await restAWhile();  // each takes its time
  }
  const samples = model.samples.map(row => lesson.test.images.subarray(784 * row, 784 * (row + 1)));
  addSamples(samples, model.samples.map(row => lesson.test.labels[row]), showDigit);
  languageListeners.add(readAgain);
  addEventListener("resize", notifyListeners);
  darkScheme.addEventListener("change", () => {
    notifyListeners();
    for (const experiment of experiments) experiment.redraw();
  });
  connectPaper(showDigit);
  $("shows-changes").onchange = showWeights;
  connectLanguageSwitch();
  $("samples").children[4].click();
  translatePage();
  document.querySelector("main").inert = false;
}

startLesson();
