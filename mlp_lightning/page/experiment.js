// A panel that trains one network, or two side by side on the same batches, and shows their curves.

const TEST_INTERVAL = 10;  // steps from one test to the next: a test takes as long as three steps
const HUNDRED = 100;  // steps, of the button of this name
const RECENT_STEPS = 20;  // of which the training accuracy is the mean: a batch has few images
const SPEEDS = [1, 5, 25, Infinity];  // steps a second
const CURVE_COLOURS = ["--first", "--second"];
const CHOICES = {
  batchSize: [1, 4, 16, 64, 256],
  learningRate: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
  momentum: [0, 0.5, 0.9, 0.99],
};
const RESTARTING = ["seed", "hiddenSizes", "activation"];  // settings that need a new network
const experiments = [];  // all panels of the page

/**
 * Build a panel in a section. The options: `id`; `settings`, as createTraining takes them; `variants`, of each
 * network its `name` in TEXTS and the settings in which it differs; `choices`, the settings that the learner can
 * change; `hasNorms`, whether the gradients' norms are shown; what is called when networks have changed,
 * `onChange`, and, less often, when that is to be shown, `onDraw`.
 */
function buildExperiment(section, ask, {id, choices, ...options}) {
  const defaults = {hasNorms: false, onChange: () => {}, onDraw: () => {}};
  const experiment = {id, ask, stepsPerSecond: Infinity, isPlaying: false, ...defaults, ...options};
  experiment.controls = add(section, "div", {className: "row"});
  addButtons(experiment);
  const chooser = add(section, "div", {className: "row"});
  for (const name of choices) {
    const select = addChoice(chooser, name, CHOICES[name], experiment.settings[name]);
    select.id = `${id}-${name}`;
    select.onchange = () => change(experiment, {[name]: Number(select.value)});
  }
  addSpeed(chooser, experiment);
  experiment.charts = addCharts(section, experiment);
  addResults(section, experiment);
  experiment.redraw = schedule(() => drawExperiment(experiment));
  experiments.push(experiment);
  languageListeners.add(experiment.redraw);
  new ResizeObserver(experiment.redraw).observe(section);
  return experiment;
}

function addButtons(experiment) {
  experiment.playButton = addButton(experiment, "play", () => {
    if (experiment.isPlaying) pause(experiment);
    else play(experiment);
  });
  experiment.playButton.classList.add("primary");
  addButton(experiment, "step", () => {
    pause(experiment);
    takeStep(experiment, true);
  }).dataset.text = "oneStep";
  addButton(experiment, "hundred", () => play(experiment, HUNDRED)).dataset.text = "hundredSteps";
  addButton(experiment, "restart", () => begin(experiment)).dataset.text = "startAgain";
}

function addButton({controls, id}, name, onclick) {
  return add(controls, "button", {type: "button", id: `${id}-${name}`, onclick});
}

/** Add a list of values to choose from, the present one among them. */
function addChoice(parent, name, values, current) {
  const label = add(parent, "label"), caption = add(label, "span"), select = add(label, "select");
  caption.dataset.text = name;
  const all = [...new Set([...values, current])].sort((one, other) => one - other);
  for (const value of all) add(select, "option", {value, textContent: value});
  select.value = current;
  return select;
}

function addSpeed(parent, experiment) {
  const label = add(parent, "label"), caption = add(label, "span");
  const select = add(label, "select", {id: `${experiment.id}-speed`});
  caption.dataset.text = "speed";
  for (const speed of SPEEDS) {
    const option = add(select, "option", {value: speed});
    languageListeners.add(() => {
      const name = {1: "oneStepPerSecond", [Infinity]: "fastest"}[speed] ?? "stepsPerSecond";
      option.textContent = text(name, {count: speed});
    });
  }
  select.value = Infinity;
  select.onchange = () => { experiment.stepsPerSecond = Number(select.value); };
}

function addCharts(section, {hasNorms}) {
  const row = add(section, "div", {className: "charts"}), charts = {};
  for (const name of hasNorms ? ["loss", "accuracy", "norm"] : ["loss", "accuracy"]) {
    const figure = add(row, "figure");
    add(figure, "figcaption").dataset.text = `${name}Chart`;
    charts[name] = add(figure, "canvas", {className: "chart", role: "img"});
  }
  return charts;
}

function addResults(section, experiment) {
  const titles = ["", "batchLoss", "batchAccuracy", "testAccuracy", ...(experiment.hasNorms ? ["gradientNorm"] : [])];
  experiment.stepNumber = add(section, "p", {className: "live", id: `${experiment.id}-number`});
  experiment.table = addTable(section, "measures", titles);
  experiment.table.classList.add("measures");
}

/** Change settings; some need new networks, the others take effect with the next step. */
function change(experiment, changes) {
  Object.assign(experiment.settings, changes);
  if (Object.keys(changes).some(name => RESTARTING.includes(name))) begin(experiment);
}

/** The settings of each network: those of the experiment, and what is its own. */
function listSettings({settings, variants}) {
  return variants.map(({changes}) => ({...settings, ...changes}));
}

/** Begin anew, with the weights of the seed. */
async function begin(experiment) {
  pause(experiment);
  const settings = listSettings(experiment);
  experiment.step = 0;
  experiment.imagesSeen = 0;
  experiment.milliseconds = [];
  experiment.histories = settings.map(() => ({loss: [], accuracy: [], norm: [], testLoss: [], testAccuracy: []}));
  const {histories} = experiment;
  const answer = await experiment.ask({action: "begin", id: experiment.id, settings});
  if (experiment.histories === histories) takeAnswer(experiment, settings, answer);
}

/** Train for one step. */
async function takeStep(experiment, isTested) {
  const settings = listSettings(experiment), {histories} = experiment;
  const answer = await experiment.ask({action: "train", id: experiment.id, settings, isTested});
  if (experiment.histories !== histories) return;  // it has begun anew meanwhile
  experiment.step++;
  experiment.imagesSeen += Math.min(experiment.settings.batchSize, lesson.training.labels.length);
  experiment.milliseconds.push(answer.milliseconds);
  answer.reports.forEach(({loss, accuracy, gradientNorm}, i) => {
    const history = histories[i];
    history.loss.push([experiment.step, loss]);
    history.accuracy.push([experiment.step, accuracy]);
    history.norm.push([experiment.step, gradientNorm]);
  });
  takeAnswer(experiment, settings, answer);
}

function takeAnswer(experiment, settings, {tests, numbers}) {
  tests?.forEach(({loss, accuracy}, i) => {
    experiment.histories[i].testLoss.push([experiment.step, loss]);
    experiment.histories[i].testAccuracy.push([experiment.step, accuracy]);
  });
  experiment.networks = settings.map(({hiddenSizes, activation}, i) =>
    createNetwork([IMAGE_PIXELS, ...hiddenSizes, CLASSES], activation, numbers[i]));
  experiment.onChange(experiment);
  experiment.redraw();
}

/** Train for so many steps, or until the learner pauses. Only one panel trains: two would slow each other down. */
async function play(experiment, steps = Infinity) {
  for (const other of experiments) pause(other);
  experiment.isPlaying = true;
  experiment.round = (experiment.round ?? 0) + 1;  // a second click starts another round of this loop
  const {round} = experiment, lastStep = experiment.step + steps;
  experiment.redraw();
  while (experiment.isPlaying && experiment.round === round) {
    if (experiment.step >= lastStep) return pause(experiment);
    const started = performance.now();
    await takeStep(experiment, (experiment.step + 1) % TEST_INTERVAL === 0);
    const pauseLength = 1000 / experiment.stepsPerSecond - (performance.now() - started);
    if (pauseLength > 0) await new Promise(resolve => setTimeout(resolve, pauseLength));
  }
}

function pause(experiment) {
  experiment.isPlaying = false;
  experiment.redraw();
}

/** How far the training has come; and what to do if it can come no further. */
function describeStepNumber({step, imagesSeen, histories}) {
  const epochs = (imagesSeen / lesson.training.labels.length).toFixed(1);
  const number = text("stepNumber", {step: formatCount(step), epochs});
  const hasOverflown = histories.some(({loss}) => loss.length && !Number.isFinite(loss.at(-1)[1]));
  return hasOverflown ? joinSentences(number, text("overflowAdvice")) : number;
}

/** Draw the panel anew. */
function drawExperiment(experiment) {
  if (!experiment.networks) return;  // the worker has not answered yet
  experiment.playButton.textContent = text(experiment.isPlaying ? "pause" : "play");
  for (const name of Object.keys(experiment.charts)) drawExperimentChart(experiment, name);
  experiment.stepNumber.textContent = describeStepNumber(experiment);
  fillTable(experiment.table, listResults(experiment));
  experiment.onDraw(experiment);
}
