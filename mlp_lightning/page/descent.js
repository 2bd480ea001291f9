// Station 5: why update the weights, and why against the gradient? Take steps, and see where they lead.

const DESCENT_RATES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];
const DESCENT_KINDS = ["against", "along", "random"];
const DESCENT_REACH = [-2, 6];  // how many steps the curve goes: a few along the gradient, more against it
const DESCENT_POINTS = 41;  // of the curve; as many again where it is lowest
const DESCENT_NEAREST = 0.002;  // steps: a lowest point nearer than this was not resolved
const DESCENT_RECENT = 10;  // steps whose results are shown as bars

/** Begin with the network above: a copy is not needed, since a step makes one. */
function beginDescent(station) {
  const {lesson} = station;
  station.source = lesson.network;
  station.batch = takeStationBatch(lesson);
  station.steps = 0;
  station.results = {against: [], along: [], random: []};
  station.said = () =>
    text(Number.isFinite(station.loss) ? "descentBegin" : "weightNoNumber", {loss: formatLoss(station.loss)});
  settleDescent(station, lesson.network);
}

/** Stand at these weights, and find the gradient. */
function settleDescent(station, network) {
  const {loss, gradients} = computeGradients(network, station.batch);
  station.network = network;
  station.loss = loss;
  station.length = measureLength(gradients);
  station.directions = {against: gradients.map(gradient => -gradient), along: gradients, random: null};
}

/** A direction, of the gradient's length. The random one is drawn when it is needed: it takes a while. */
function findDirection(station, kind) {
  const {directions, length, network, seed} = station;
  directions[kind] ??= drawDirection(network.numbers.length, length, seed);
  return directions[kind];
}

function readRate() {
  return DESCENT_RATES[$("descent-rate").value];
}

function takeDescentStep(station, kind) {
  const rate = readRate();
  const {loss} = station;
  const predicted = rate * station.length ** 2;  // what the gradient promises for this length
  const moved = moveNetwork(station.network, findDirection(station, kind), rate);
  if (kind === "random") station.seed++;
  station.steps++;
  settleDescent(station, moved);
  const result = {before: loss, after: station.loss};
  station.results[kind].push(result);
  const isOff = isDead(moved, station.batch);
  station.said = () => {
    const words = describeStep(kind, result, predicted);
    return isOff ? joinSentences(words, text("stepDead")) : words;
  };
  showDescent(station);
}

/** What a step did, in words. */
function describeStep(kind, {before, after}, predicted) {
  const change = after - before;
  const values = {
    ...formatLosses(before, after),
    predicted: formatDigits(predicted, 3),
    times: formatCount(Math.round(predicted / Math.abs(change))),
  };
  if (!Number.isFinite(after)) return text("stepOverflow");
  if (kind === "random" && Math.abs(change) < predicted / 2) return text("stepRandomSaid", values);
  if (kind === "against" && change > 0) return text("stepTooLarge", values);
  return text(change < 0 ? "stepFell" : "stepRose", values);
}

function showDescent(station) {
  const rate = readRate();
  setSlider($("descent-rate"), DESCENT_RATES.indexOf(rate), DESCENT_RATES.length - 1, String(rate));
  $("descent-said").ariaLive = station.steps ? "polite" : "off";  // the network above changes all the time
  $("descent-said").textContent = station.said();
  showResults(station);
  const {steps} = station;
  $("descent-copy").textContent = text(steps ? "descentCopy" : "descentFollows", {steps});
  $("descent-legend").textContent = text("descentLegend", {rate});
  traceCurves(station);
}

/** The last result of each kind of step, and the changes of the last few as bars. */
function showResults({results}) {
  const table = $("descent-table");
  const pair = (before, after) => {
    const losses = formatLosses(before, after);
    return `${losses.before} → ${losses.after}`;
  };
  fillTable(table, DESCENT_KINDS.map(kind => {
    const last = results[kind].at(-1);
    const name = text(`kind_${kind}`);
    return [name, last ? pair(last.before, last.after) : "–", ""];
  }));
  const changes = DESCENT_KINDS.map(kind =>
    results[kind].slice(-DESCENT_RECENT).map(({before, after}) => after - before));
  const scale = findScale(changes.flat().filter(Number.isFinite));
  changes.forEach((ofKind, row) => {
    const cell = table.tBodies[0].rows[row].cells[2];
    drawRecent(add(cell, "canvas", {className: "recent", ariaHidden: "true"}), ofKind, scale);
  });
}

/** A bar for each change of the loss: upward and red if it rose, downward and blue if it fell. */
function drawRecent(canvas, changes, scale) {
  const {pencil, width, height} = takePencil(canvas);
  const step = width / DESCENT_RECENT;
  const middle = height / 2;
  drawLine(pencil, readColour("--line"), 1, [0, middle], [width, middle]);
  changes.forEach((change, i) => {
    const share = Number.isFinite(change) ? change / scale : 1;
    const size = Math.max(Math.abs(share) * middle, 1);
    pencil.fillStyle = tintOf(Math.sign(share));
    pencil.fillRect(i * step, share > 0 ? middle - size : middle, step - 2, size);
  });
}

/** Compute both curves in slices, unless the weights or the rate change meanwhile; then draw them. */
async function traceCurves(station) {
  const {network} = station;
  const rate = readRate();
  if (station.tracing?.network === network && station.tracing.rate === rate) {
    if (station.curves) showCurves(station);  // in another language, perhaps
    return;
  }
  const tracing = {network, rate};
  station.tracing = tracing;
  station.curves = null;
  const isOutdated = () => station.tracing !== tracing;
  const curves = {};
  for (const kind of ["against", "random"]) {
    curves[kind] = await traceCurve(station, kind, rate, isOutdated);
    if (isOutdated()) return;
  }
  station.curves = curves;
  showCurves(station);
}

/** The loss at points along a direction: [{distance, loss}, …], the distance being in steps. */
async function traceCurve(station, kind, rate, isOutdated) {
  await restAWhile();
  const direction = findDirection(station, kind);
  await restAWhile();
  if (isOutdated()) return [];
  const computeLossAt = followLine(station.network, station.batch, direction);
  const measure = distance => ({distance, loss: computeLossAt(distance * rate)});
  const [from, to] = DESCENT_REACH;
  const distances = Array.from({length: DESCENT_POINTS}, (_, i) =>
    from + (to - from) * i / (DESCENT_POINTS - 1));
  const points = await workInSlices(distances, measure, isOutdated);
  const finer = refineDistances(points, DESCENT_POINTS);
  points.push(...await workInSlices(finer, measure, isOutdated));
  return points.sort((one, other) => one.distance - other.distance);
}

function showCurves({curves, loss}) {
  const one = curves.against.find(({distance}) => Math.abs(distance - 1) < 1e-9);
  const lowest = findLowest(curves.against);
  const [from, to] = DESCENT_REACH;
  const isAtEnd = lowest && (lowest.distance < from + 0.01 || lowest.distance > to - 0.01);
  drawCurves($("descent-curve"), curves, loss, one, isAtEnd ? null : lowest);
  $("descent-line").textContent = describeLine(loss, one, lowest, isAtEnd);
}

/** Where the lowest point of the line is, in words. */
function describeLine(loss, one, lowest, isAtEnd) {
  if (!lowest) return text("stepOverflow");
  const values = {loss: formatLoss(loss), after: formatLoss(one.loss), reach: DESCENT_REACH[1]};
  if (isAtEnd) return text("lineFallsOn", values);
  if (Math.abs(lowest.distance) < DESCENT_NEAREST) return text("lineRises", values);
  const distance = Number(lowest.distance.toPrecision(3));
  return text("lineLowest", {
    ...values,
    lowest: formatLoss(lowest.loss),
    distance: formatDigits(distance, 3),
    best: formatDigits(distance * readRate(), 3),
  });
}

/** The scales of the chart. What is much higher than both the start and the step is beyond its upper edge. */
function scaleCurves({against, random}, loss, one, width, height) {
  const losses = [...against, ...random].map(point => point.loss).filter(Number.isFinite);
  const low = Math.min(...losses);
  const ceiling = Math.max(2 * loss - low, Number.isFinite(one.loss) ? 1.1 * one.loss : 0);
  const high = Math.max(Math.min(Math.max(...losses), ceiling), low + 1e-6);
  const [from, to] = DESCENT_REACH;
  const left = 64;
  const bottom = height - 36;
  return {
    low,
    high,
    left,
    bottom,
    x: distance => left + (width - left - 12) * (distance - from) / (to - from),
    y: value => bottom - (bottom - 12) * (value - low) / (high - low),
  };
}

function drawCurves(canvas, curves, loss, one, lowest) {
  const {pencil, width, height} = takePencil(canvas);
  if (!Number.isFinite(loss)) return;
  const scales = scaleCurves(curves, loss, one, width, height);
  const {x, y} = scales;
  drawCurveAxes(pencil, scales, width);
  pencil.save();
  pencil.beginPath();
  pencil.rect(0, 0, width, scales.bottom + 4);
  pencil.clip();
  const colours = {random: readColour("--quiet"), against: readColour("--accent")};
  for (const [kind, colour] of Object.entries(colours)) {
    const points = curves[kind].filter(point => Number.isFinite(point.loss));
    pencil.setLineDash(kind === "random" ? [5, 4] : []);
    drawLine(pencil, colour, 2, ...points.map(point => [x(point.distance), y(point.loss)]));
  }
  pencil.restore();
  const colour = readColour("--text");
  drawDot(pencil, colour, 5, [x(0), y(loss)]);
  if (lowest) drawCircle(pencil, colour, 8, [x(lowest.distance), y(lowest.loss)]);
  if (Number.isFinite(one.loss)) drawDot(pencil, tintOf(1), 6, [x(1), y(one.loss)]);
}

function drawCurveAxes(pencil, {low, high, left, bottom, x, y}, width) {
  const quiet = readColour("--quiet");
  const [from, to] = DESCENT_REACH;
  const decimals = Math.min(Math.max(2 - Math.floor(Math.log10(high - low)), 0), 7);
  for (const value of [low, (low + high) / 2, high]) {
    drawLine(pencil, readColour("--line"), 1, [left, y(value)], [width, y(value)]);
    const words = Math.abs(value) < 1e5 ? formatSigned(value, decimals) : formatDigits(value, 2);
    writeLabel(pencil, quiet, words, [left - 6, y(value) + 4], "right");
  }
  for (let distance = from; distance <= to; distance++) {
    writeLabel(pencil, quiet, formatSigned(distance, 0), [x(distance), bottom + 16]);
  }
  drawLine(pencil, readColour("--line"), 1, [x(0), 8], [x(0), bottom]);
  drawLine(pencil, readColour("--line"), 1, [x(1), 8], [x(1), bottom]);
  writeLabel(pencil, quiet, text("curveAxis"), [(left + width) / 2, bottom + 32]);
}

/** The rate of the slider that is nearest to the one set above. */
function findNearestRate(learningRate) {
  const distances = DESCENT_RATES.map(rate => Math.abs(Math.log(rate / learningRate)));
  return distances.indexOf(Math.min(...distances));
}

/** Build the station. It follows the network above until a step is taken; then it keeps its own copy. */
function buildDescent(section, lesson) {
  const station = {lesson, steps: 0, seed: 1};
  const slider = $("descent-rate");
  setSlider(slider, findNearestRate(lesson.settings.learningRate), DESCENT_RATES.length - 1, "");
  updateWhileSeen(section, lesson, () => {
    if (!station.steps && station.source !== lesson.network) beginDescent(station);
    showDescent(station);
  });
  slider.oninput = () => showDescent(station);
  for (const kind of DESCENT_KINDS) {
    $(`descent-${kind}`).onclick = () => takeDescentStep(station, kind);
  }
  $("descent-back").onclick = () => {
    station.seed = 1;
    beginDescent(station);
    showDescent(station);
  };
}
