// Station 2: how many units the hidden layers have, what that costs, and what it brings.

const MAX_LAYER_SIZE = 256;
const MIN_LAYERS = 2;  // that have a slider, though it may stand at 0

/** The layers of a network in numbers: [{from, to, weights, biases}]. */
function listTerms(sizes) {
  return sizes.slice(1).map((to, k) => ({from: sizes[k], to, weights: sizes[k] * to, biases: to}));
}

function buildSizes(lesson) {
  const {settings, ask} = lesson;
  const termTable = addTable($("size-terms"), "parameters", ["layer", "weightsTitle", "biases", "sum"]);
  const tryTitles = ["network", "parameters", "learningRate", "steps", "stepTime", "testAccuracy"];
  const tryTable = addTable($("size-tries"), "tries", tryTitles);
  const tries = new Map();  // from sizes and rate to what a network has reached with them
  const experiment = buildExperiment($("sizes-panel"), ask, {
    id: "sizes",
    settings: {...settings, learningRate: 0.1},
    variants: [{name: "thisNetwork", changes: {}}],
    choices: ["learningRate"],
    onDraw: showTry,
  });
  const sliderCount = Math.max(settings.hiddenSizes.length, MIN_LAYERS);
  const sliders = Array.from({length: sliderCount}, (_, k) => addSizeSlider(k));
  const restart = schedule(() => {
    const chosen = sliders.map(({value}) => Number(value));
    change(experiment, {hiddenSizes: chosen.filter(size => size > 0)});  // 0: no such layer
  });
  let shownPixels = null;
  lesson.listeners.add(() => {
    if (lesson.drawnPixels !== shownPixels) experiment.redraw();
    shownPixels = lesson.drawnPixels;
  });

  function addSizeSlider(k) {
    const label = add($("size-sliders"), "label"), caption = add(label, "span");
    const value = settings.hiddenSizes[k] ?? 0;
    const max = Math.max(MAX_LAYER_SIZE, value);
    const slider = add(label, "input", {type: "range", id: `size-${k + 1}`, min: 0, max, value});
    const output = add(label, "output", {textContent: value});
    languageListeners.add(() => { caption.textContent = text("layerSize", {layer: k + 1}); });
    slider.oninput = () => {
      output.textContent = slider.value;
      restart();
    };
    return slider;
  }

  function showTry({networks: [network], settings: {learningRate}, histories: [{testAccuracy}], step, milliseconds}) {
    const sizes = network.sizes.join("-"), parameters = formatCount(network.numbers.length);
    const accuracy = testAccuracy.length ? formatPercent(testAccuracy.at(-1)[1]) : "–";
    const time = milliseconds.length ? findMedian(milliseconds.slice(-50)).toFixed(1) : "–";
    fillTerms(network.sizes, parameters);
    const cells = [sizes, parameters, learningRate, formatCount(step), time, accuracy];
    if (step > 0) tries.set(`${sizes} ${learningRate}`, cells);
    fillTable(tryTable, [...tries.values()]);
    tryTable.hidden = tries.size === 0;
    drawDiagram($("sizes-diagram"), network, lesson.drawnPixels && forward(network, lesson.drawnPixels));
  }

  function fillTerms(sizes, total) {
    const rows = listTerms(sizes).map(({from, to, weights, biases}) => [
      `${formatCount(from)} → ${formatCount(to)}`,
      `${formatCount(from)} × ${formatCount(to)}`,
      `+ ${formatCount(biases)}`,
      `= ${formatCount(weights + biases)}`,
    ]);
    fillTable(termTable, [...rows, [text("total"), "", "", `= ${total}`]]);
  }

  return experiment;
}
