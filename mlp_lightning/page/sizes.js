// Station 2: how many units the hidden layers have, what that costs, and what it brings.

const MAX_LAYER_SIZE = 256, SIZE_STEP = 8;

/** The layers of a network in numbers: [{from, to, weights, biases}]. */
function listTerms(sizes) {
  return sizes.slice(1).map((to, k) => ({from: sizes[k], to, weights: sizes[k] * to, biases: to}));
}

function buildSizes(lesson) {
  const {settings, ask} = lesson;
  const tries = new Map();  // from sizes to what a network of these has reached
  const experiment = buildExperiment($("sizes-panel"), ask, {
    id: "sizes",
    settings: {...settings, learningRate: 0.1},
    variants: [{name: "thisNetwork", changes: {}}],
    choices: ["learningRate"],
    onDraw: showTry,
  });
  const sliders = [0, 1].map(k => addSizeSlider(k));
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
    const slider = add(label, "input", {type: "range", id: `size-${k + 1}`, min: 0, max: MAX_LAYER_SIZE, step: SIZE_STEP});
    slider.value = value;
    const output = add(label, "output", {textContent: value});
    languageListeners.add(() => { caption.textContent = text("layerSize", {layer: k + 1}); });
    slider.oninput = () => {
      output.textContent = slider.value;
      restart();
    };
    return slider;
  }

  function showTry({networks: [network], histories: [{testAccuracy}], step, milliseconds}) {
    const sizes = network.sizes.join("-"), parameters = formatCount(network.numbers.length);
    const accuracy = testAccuracy.length ? formatPercent(testAccuracy.at(-1)[1]) : "–";
    const time = milliseconds.length ? findMedian(milliseconds.slice(-50)).toFixed(1) : "–";
    fillTerms(network.sizes, parameters);
    if (step > 0) tries.set(sizes, [sizes, parameters, formatCount(step), time, accuracy]);
    fillTable($("size-tries"), [...tries.values()]);
    $("size-tries").hidden = tries.size === 0;
    drawDiagram($("sizes-diagram"), network, lesson.drawnPixels && forward(network, lesson.drawnPixels));
  }

  function fillTerms(sizes, total) {
    const rows = listTerms(sizes).map(({from, to, weights, biases}) => [
      `${formatCount(from)} → ${formatCount(to)}`,
      `${formatCount(from)} × ${formatCount(to)}`,
      `+ ${formatCount(biases)}`,
      `= ${formatCount(weights + biases)}`,
    ]);
    fillTable($("size-terms"), [...rows, [text("total"), "", "", `= ${total}`]]);
  }

  return experiment;
}
