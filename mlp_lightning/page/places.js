// Where the diagram of a network has its pixels, units and labels, in CSS pixels of its canvas; and which unit is where.

const LABEL_HEIGHT = 30;  // below the layers, for their names
const DIAGRAM_MARGIN = 10;  // above, left and right
const MIN_PITCH = 8;  // from one unit to the next: below that, units go into several columns
const MAX_PITCH = 22;
const FEW_COLUMNS_WIDTH = 48;  // over which a few columns spread, so that lines are seen to reach each
const WIDE_OUTPUTS = 130;  // from this width on, the outputs have their probabilities written beside the bars
const SHORT_NAME = 14;  // wide: a digit, or a letter
const MAX_NAME = 150;  // wide: what is longer is cut
const RULER = document.createElement("canvas").getContext("2d");  // for measuring words
const POINTING_RADIUS = 14;  // so near must a finger come to a unit

/**
 * The places of all layers of a network: a list of {xs, ys, radius, columns, left, right}, of the pixels first, of the
 * outputs last, which have {pitch, names} besides. `xs` and `ys` are the centres of the layer's pixels or units.
 */
function placeLayers(canvas, {sizes, dataset}) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight - LABEL_HEIGHT - 2 * DIAGRAM_MARGIN;
  const imageSide = Math.min(clamp(0.23 * width, 96, 270), height);
  const names = measureNames(canvas, dataset.classes);
  const outputsWidth = clamp(0.19 * width, 76, 220) + names.width - SHORT_NAME;
  const image = placePixels(DIAGRAM_MARGIN, DIAGRAM_MARGIN + (height - imageSide) / 2, imageSide);
  const outputsLeft = width - DIAGRAM_MARGIN - outputsWidth;
  const blocks = sizes.slice(1, -1).map(count => {
    const room = 0.4 * (outputsLeft - image.right) / (sizes.length - 2);
    return arrangeUnits(count, room, height);
  });
  const used = blocks.reduce((sum, {columns, across}) => sum + columns * across, 0);
  const gap = (outputsLeft - image.right - used) / (blocks.length + 1);
  let left = image.right;
  const hidden = blocks.map(block => {
    const layer = placeUnits(block, left + gap, height);
    left = layer.right;
    return layer;
  });
  return [image, ...hidden, placeOutputs(names, outputsLeft, outputsWidth, height)];
}

function placePixels(left, top, side) {
  const size = side / 28;
  const xs = Float32Array.from({length: 784}, (_, i) => left + (i % 28 + 0.5) * size);
  const ys = Float32Array.from({length: 784}, (_, i) => top + (Math.floor(i / 28) + 0.5) * size);
  return {xs, ys, radius: size / 2, columns: 28, left, right: left + side};
}

/** As few columns as leave room between the units, and as fit into a width. */
function arrangeUnits(count, width, height) {
  for (let columns = 1; ; columns++) {
    const rows = Math.ceil(count / columns);
    const pitch = Math.min(MAX_PITCH, height / (rows + 0.5));
    const isFull = (columns + 1) * pitch > width;
    if (pitch < MIN_PITCH && !isFull) continue;
    const across = Math.min(clamp(FEW_COLUMNS_WIDTH / columns, pitch, 2 * pitch), width / columns);
    return {count, columns, rows, pitch, across};
  }
}

/** Units row by row, every other column half a row lower. */
function placeUnits({count, columns, rows, pitch, across}, left, height) {
  const stagger = columns > 1 ? pitch / 2 : 0;
  const top = DIAGRAM_MARGIN + (height - rows * pitch - stagger) / 2;
  const xs = new Float32Array(count);
  const ys = new Float32Array(count);
  for (let unit = 0; unit < count; unit++) {
    const column = unit % columns;
    const row = Math.floor(unit / columns);
    xs[unit] = left + (column + 0.5) * across;
    ys[unit] = top + (row + 0.5) * pitch + (column % 2) * stagger;
  }
  return {xs, ys, radius: 0.4 * Math.min(pitch, across), columns, left, right: left + columns * across};
}

/** How the names of the outputs are written: {classes, isShort, size, width}, the size of the letters and the room. */
function measureNames(canvas, classes) {
  const {fontFamily} = getComputedStyle(canvas);
  const size = canvas.clientWidth < NARROW ? 12 : 14;
  RULER.font = `700 ${size}px ${fontFamily}`;
  const longest = Math.max(...classes.map(name => RULER.measureText(name).width));
  if (longest <= SHORT_NAME) return {classes, isShort: true, size: 14, width: SHORT_NAME};
  return {classes, isShort: false, size, width: Math.min(longest + 4, 0.2 * canvas.clientWidth, MAX_NAME)};
}

function placeOutputs(names, left, width, height) {
  const count = names.classes.length;
  const pitch = Math.min(44, height / count);
  const top = DIAGRAM_MARGIN + (height - count * pitch) / 2;
  const radius = Math.min(9, 0.3 * pitch, 0.08 * (width - names.width + SHORT_NAME));
  const xs = new Float32Array(count).fill(left + radius);
  const ys = Float32Array.from(xs, (_, unit) => top + (unit + 0.5) * pitch);
  return {xs, ys, radius, columns: 1, left, right: left + width, pitch, names};
}

/** Which pixel or unit is at a place on the canvas: {layer, unit}, layer 0 being the image, or null. */
function findUnitAt(canvas, network, x, y) {
  const layers = placeLayers(canvas, network);
  const last = layers.length - 1;
  for (const [layer, place] of layers.entries()) {
    const reach = layer === 0 ? 0 : POINTING_RADIUS;
    if (x < place.left - reach || x > place.right + reach) continue;
    const unit = findNearest(place, layer === last ? place.xs[0] : x, y);
    const distance = Math.max(Math.abs(place.ys[unit] - y), layer === last ? 0 : Math.abs(place.xs[unit] - x));
    if (distance <= Math.max(place.radius, layer === 0 ? 0 : POINTING_RADIUS)) return {layer, unit};
  }
  return null;
}

function findNearest({xs, ys}, x, y) {
  let nearest = 0;
  let least = Infinity;
  for (let unit = 0; unit < xs.length; unit++) {
    const distance = Math.hypot(xs[unit] - x, ys[unit] - y);
    if (distance < least) {
      least = distance;
      nearest = unit;
    }
  }
  return nearest;
}

/** The unit to which an arrow key goes: up and down within a layer, left and right between layers; null for others. */
function findNextUnit(canvas, network, {layer, unit}, key) {
  const layers = placeLayers(canvas, network);
  const columns = layer === 0 ? 28 : 1;
  const step = {ArrowUp: -columns, ArrowDown: columns}[key];
  if (step) return {layer, unit: clamp(unit + step, 0, network.sizes[layer] - 1)};
  const side = {ArrowLeft: -1, ArrowRight: 1}[key];
  if (!side) return null;
  const next = clamp(layer + side, 0, network.sizes.length - 1);
  if (next === layer) return {layer, unit};
  return {layer: next, unit: findNearest(layers[next], layers[layer].xs[unit], layers[layer].ys[unit])};
}
