// The network as a whole: the image, a node for each unit, and between them the strongest of all its lines.

const LINES_OF_LAYER = [180, 120, 80];  // drawn before the first layer, the second, and each one after
const LINES_OF_UNIT = 60;  // drawn into a highlighted unit, and as many out of it
const NARROW = 560;  // below this width, the layers' names are their sizes alone
const MIN_LETTERS = 10;  // high: smaller ones cannot be read
const SIGNAL_SECONDS = 1.1;  // a digit's way through the network

/**
 * Draw a network on a canvas, which may have any size on the page.
 *
 * With outputs, as forward() returns them, a line shows a signal: an input times its weight; a node shows its
 * output. With null in their place, lines show weights. Red is positive, blue negative.
 *
 * options.highlight: {layer, unit}, a unit whose lines stand out; layer 0 is the image.
 * options.progress: how far the signal has come, from 0 (left) to 1 (all is shown).
 */
function drawDiagram(canvas, network, outputs, {highlight = null, progress = 1} = {}) {
  if (canvas.clientWidth === 0) return;  // it is not shown at present
  const {pencil} = takePencil(canvas);
  const theme = readTheme(canvas);
  const places = placeLayers(canvas, network);
  const lines = findShownLines(network, outputs);
  const front = progress < 1 ? progress * canvas.clientWidth : Infinity;
  const strength = highlight ? 0.25 : 1;
  if (progress < 1) drawLines(pencil, places, lines, {...theme, positive: theme.line, negative: theme.line}, 1);
  drawPixels(pencil, places[0], outputs?.[0], network.dataset, theme);
  cutAtFront(pencil, front, () => {
    drawLines(pencil, places, lines, theme, outputs ? strength : 0.6 * strength);
    if (highlight) drawLines(pencil, places, findLinesOf(network, outputs, highlight), theme, 1);
  });
  for (let layer = 1; layer < places.length; layer++) {
    drawNodes(pencil, places[layer], theme);
  }
  const isAnswered = outputs && progress === 1;
  drawOutputNames(pencil, places.at(-1), theme, isAnswered ? greatest(outputs.at(-1)) : null);
  if (outputs) {
    cutAtFront(pencil, front, () => drawActivity(pencil, places, outputs, theme));
  }
  if (highlight) drawRing(pencil, places[highlight.layer], highlight.unit, theme);
  drawLayerNames(pencil, canvas, places, network.sizes, theme);
}

/** The colours and the typeface that the style sheet gives the canvas. */
function readTheme(canvas) {
  const style = getComputedStyle(canvas);
  const theme = {family: style.fontFamily};
  for (const name of ["ground", "paper", "text", "quiet", "line", "accent", "positive", "negative"]) {
    theme[name] = style.getPropertyValue(`--${name}`).trim();
  }
  return theme;
}

/** Let draw() reach only what lies left of the front. */
function cutAtFront(pencil, front, draw) {
  pencil.save();
  if (front < Infinity) {
    pencil.beginPath();
    pencil.rect(0, 0, front, pencil.canvas.clientHeight);
    pencil.clip();
  }
  draw();
  pencil.restore();
}

/** Lines before each layer: the strongest signals, or weights. */
function findShownLines(network, outputs) {
  return network.layers.map((layer, k) => {
    const count = LINES_OF_LAYER[Math.min(k, LINES_OF_LAYER.length - 1)];
    return findStrongestLines(layer, outputs?.[k], count);
  });
}

/** The strongest lines into a unit and out of it, at the places of their layers. */
function findLinesOf(network, outputs, {layer, unit}) {
  return network.layers.map((weighted, k) => {
    if (k === layer - 1) return findStrongestLines(weighted, outputs?.[k], LINES_OF_UNIT, {unit});
    if (k === layer) return findStrongestLines(weighted, outputs?.[k], LINES_OF_UNIT, {input: unit});
    return [];
  });
}

/**
 * The strongest lines of a layer, weakest first: a list of {input, unit, value, strength}. Of all, or only those
 * from one input, or only those to one unit. Half of them are positive and half negative, if there are as many.
 */
function findStrongestLines(layer, inputs, count, {input = null, unit = null} = {}) {
  const positive = createRanking(count / 2);
  const negative = createRanking(count / 2);
  const {from, to, weights} = layer;
  const endOfUnits = unit === null ? to : unit + 1;
  const endOfInputs = input === null ? from : input + 1;
  for (let j = unit ?? 0; j < endOfUnits; j++) {
    for (let i = input ?? 0; i < endOfInputs; i++) {
      const value = inputs ? weights[j * from + i] * inputs[i] : weights[j * from + i];
      if (value > positive.threshold) insertLine(positive, {input: i, unit: j, value, strength: value});
      else if (-value > negative.threshold) insertLine(negative, {input: i, unit: j, value, strength: -value});
    }
  }
  return [...positive.lines, ...negative.lines].sort((one, two) => one.strength - two.strength);
}

/** The strongest lines so far. Instead of sorting all: after the first few units, hardly any is above the threshold. */
const createRanking = count => ({lines: [], count, threshold: 0});

function insertLine(ranking, line) {
  const {lines, count} = ranking;
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lines[middle].strength < line.strength) low = middle + 1;
    else high = middle;
  }
  lines.splice(low, 0, line);
  if (lines.length > count) lines.shift();
  if (lines.length === count) ranking.threshold = lines[0].strength;
}

/** Draw the lines before each layer, as curves that leave and arrive level. */
function drawLines(pencil, places, linesOfLayers, theme, opacity) {
  linesOfLayers.forEach((lines, k) => {
    const start = places[k];
    const end = places[k + 1];
    const most = lines.at(-1)?.strength;
    lines.forEach(({input, unit, value, strength}, rank) => {
      // By rank as well: before training, all that are drawn are about equally strong, and would hide one another.
      const share = strength / most * (rank + 1) / lines.length;
      const x = start.xs[input];
      const y = start.ys[input];
      const toX = end.xs[unit];
      const toY = end.ys[unit];
      const middle = (x + toX) / 2;
      pencil.globalAlpha = opacity * (0.12 + 0.75 * share * share);
      pencil.strokeStyle = value > 0 ? theme.positive : theme.negative;
      pencil.lineWidth = 0.6 + 1.6 * share;
      pencil.beginPath();
      pencil.moveTo(x, y);
      pencil.bezierCurveTo(middle, y, middle, toY, toX, toY);
      pencil.stroke();
    });
  });
  pencil.globalAlpha = 1;
}

/** Draw the image: its ink, and a faint grid where pixels are large enough. */
function drawPixels(pencil, {xs, ys, radius, left}, inputs, dataset, theme) {
  const size = 2 * radius;
  const side = 28 * size;
  const top = ys[0] - radius;
  pencil.fillStyle = theme.paper;
  pencil.fillRect(left, top, side, side);
  pencil.fillStyle = theme.text;
  inputs?.forEach((input, i) => {
    pencil.globalAlpha = clamp(findPixel(input, dataset), 0, 1);
    if (pencil.globalAlpha > 0.01) pencil.fillRect(xs[i] - radius, ys[i] - radius, size, size);
  });
  pencil.globalAlpha = 1;
  pencil.strokeStyle = theme.line;
  pencil.lineWidth = 1;
  pencil.strokeRect(left, top, side, side);
  if (size < 5) return;
  pencil.globalAlpha = 0.5;
  pencil.lineWidth = 0.5;
  pencil.beginPath();
  for (let i = 1; i < 28; i++) {
    pencil.moveTo(left + i * size, top);
    pencil.lineTo(left + i * size, top + side);
    pencil.moveTo(left, top + i * size);
    pencil.lineTo(left + side, top + i * size);
  }
  pencil.stroke();
  pencil.globalAlpha = 1;
}

/** Draw a layer's nodes, not lit. */
function drawNodes(pencil, {xs, ys, radius}, theme) {
  pencil.beginPath();
  xs.forEach((x, unit) => addCircle(pencil, x, ys[unit], radius));
  pencil.fillStyle = theme.ground;
  pencil.fill();
  pencil.strokeStyle = theme.line;
  pencil.lineWidth = 1;
  pencil.stroke();
}

function addCircle(pencil, x, y, radius) {
  pencil.moveTo(x + radius, y);
  pencil.arc(x, y, radius, 0, 2 * Math.PI);
}

/** Light the nodes of the hidden layers, and show the probabilities. */
function drawActivity(pencil, places, outputs, theme) {
  for (let layer = 1; layer < places.length - 1; layer++) {
    lightNodes(pencil, places[layer], outputs[layer], theme);
  }
  drawProbabilities(pencil, places.at(-1), outputs.at(-1), theme);
}

function lightNodes(pencil, {xs, ys, radius}, values, theme) {
  const most = findScale(values);
  values.forEach((value, unit) => {
    const share = Math.abs(value) / most;
    if (share < 0.02) return;
    pencil.fillStyle = value > 0 ? theme.positive : theme.negative;
    fillCircle(pencil, xs[unit], ys[unit], radius, Math.sqrt(share));
    if (share > 0.4 && radius > 2) fillCircle(pencil, xs[unit], ys[unit], 2 * radius, 0.25 * share);  // it glows
  });
  pencil.globalAlpha = 1;
}

function fillCircle(pencil, x, y, radius, opacity) {
  pencil.globalAlpha = opacity;
  pencil.beginPath();
  pencil.arc(x, y, radius, 0, 2 * Math.PI);
  pencil.fill();
}

/** Write the names of the classes beside their nodes; if there is no room for all, the answer's alone. */
function drawOutputNames(pencil, {xs, ys, radius, pitch, names}, theme, answer = null) {
  const {classes, isShort, width} = names;
  const size = Math.min(names.size, Math.max(0.86 * pitch, MIN_LETTERS));
  const answerSize = isShort ? Math.min(19, 1.36 * size) : size;
  pencil.textAlign = isShort ? "center" : "left";
  pencil.textBaseline = "middle";
  ys.forEach((y, label) => {
    const isAnswer = label === answer;
    if (pitch < MIN_LETTERS && !isAnswer) return;
    pencil.font = `${isAnswer ? `700 ${answerSize}px` : `${size}px`} ${theme.family}`;
    pencil.fillStyle = isAnswer ? theme.accent : theme.text;
    const start = xs[label] + radius + 5;
    if (isShort) pencil.fillText(classes[label], start + width / 2, y + 1);
    else pencil.fillText(cutWords(pencil, classes[label], width), start, y + 1);
  });
}

/** Draw a bar for each probability, and write it where there is room; the largest stands out. */
function drawProbabilities(pencil, {xs, ys, radius, left, right, pitch, names}, probabilities, theme) {
  const answer = greatest(probabilities);
  const isWide = right - left - names.width + SHORT_NAME >= WIDE_OUTPUTS;
  const start = xs[0] + radius + names.width + 12;
  const height = Math.min(8, 0.6 * pitch);
  const room = right - start - (isWide ? 64 : 0);
  probabilities.forEach((share, label) => {
    const y = ys[label];
    const isAnswer = label === answer;
    pencil.fillStyle = isAnswer ? theme.accent : theme.quiet;
    fillCircle(pencil, xs[label], y, radius, share);
    if (isAnswer) fillCircle(pencil, xs[label], y, 1.8 * radius, 0.25);
    pencil.globalAlpha = 1;
    pencil.fillRect(start, y - height / 2, room * share, height);
    if (!isWide || pitch < MIN_LETTERS && !isAnswer) return;
    pencil.font = `${isAnswer ? "600 " : ""}${Math.min(13, Math.max(pitch, MIN_LETTERS))}px ${theme.family}`;
    pencil.textAlign = "right";
    pencil.fillText(formatPercent(share), right, y + 1);
  });
}

/** Ring a highlighted unit or pixel. */
function drawRing(pencil, {xs, ys, radius}, unit, theme) {
  pencil.strokeStyle = theme.accent;
  pencil.lineWidth = 2;
  pencil.beginPath();
  pencil.arc(xs[unit], ys[unit], radius + 3, 0, 2 * Math.PI);
  pencil.stroke();
}

function drawLayerNames(pencil, canvas, places, sizes, theme) {
  const isNarrow = canvas.clientWidth < NARROW;
  pencil.font = `${isNarrow ? 11 : 13}px ${theme.family}`;
  pencil.textAlign = "center";
  pencil.textBaseline = "alphabetic";
  pencil.fillStyle = theme.quiet;
  sizes.forEach((count, layer) => {
    const isOutput = layer === sizes.length - 1;
    const name = layer === 0 ? "diagramPixels" : isOutput ? "diagramClasses" : "diagramUnits";
    const {left, right} = places[layer];
    const words = isNarrow ? count : text(name, {count: formatCount(count)});
    pencil.fillText(words, (left + right) / 2, canvas.clientHeight - 8);
  });
}

/** Have a digit go through: draw(progress) from 0 to 1 in a second or so; at once where motion is not wanted. */
function playSignal(draw) {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const start = performance.now();
  const step = now => {
    const progress = isStill ? 1 : clamp((now - start) / 1000 / SIGNAL_SECONDS, 0, 1);
    draw(progress);
    if (progress < 1) player.frame = requestAnimationFrame(step);
  };
  const player = {frame: 0, stop: () => cancelAnimationFrame(player.frame)};
  step(start);
  return player;
}
