// The drawing of the path through which one weight acts on the loss of one image: the image, the line of the
// weight, its unit, and all lines from there to the outputs.

const PATHWAY_LINES = 400;  // between two layers, at most: fainter ones could not be seen
const PATHWAY_MARGIN = 26;  // around the drawing, in pixels: room for the digits beside the outputs

/** Where the units of each layer stand, in a drawing of this size: a function of (layer, unit). */
function placePathway({sizes}, width, height) {
  const imageSide = Math.min(width / 4, height / 2.5);
  const left = imageSide / 2 + 4;
  const step = (width - left - PATHWAY_MARGIN) / (sizes.length - 1);
  const place = (layer, unit) => {
    const x = left + layer * step;
    if (layer === 0) {
      const pixel = imageSide / 28;
      const column = unit % 28 - 13.5;
      const row = Math.floor(unit / 28) - 13.5;
      return [x + column * pixel, height / 2 + row * pixel];
    }
    const room = height - 2 * PATHWAY_MARGIN;
    return [x, PATHWAY_MARGIN + room * (unit + 0.5) / sizes[layer]];
  };
  return {place, imageSide};
}

function drawPathwayImage(pencil, inputs, {place, imageSide}) {
  const pixel = imageSide / 28;
  inputs.forEach((input, i) => {
    const [x, y] = place(0, i);
    const ink = 255 * (input * STD + MEAN);
    pencil.fillStyle = greyOf(Math.round(darkScheme.matches ? ink : 255 - ink));
    pencil.fillRect(x - pixel / 2, y - pixel / 2, pixel + 0.5, pixel + 0.5);
  });
}

/** All units of a layer, the darker the more they put out: their colour says nothing, as that of the lines does. */
function drawPathwayUnits(pencil, values, layer, {place}) {
  const scale = findScale(values);
  const [, top] = place(layer, 0);
  const [, next] = place(layer, 1);
  const radius = Math.min(Math.max((next - top) / 2.5, 0.8), 5);
  const colour = readColour("--text");
  values.forEach((value, unit) => {
    pencil.globalAlpha = 0.15 + 0.85 * Math.abs(value) / scale;
    drawDot(pencil, colour, radius, place(layer, unit));
  });
  pencil.globalAlpha = 1;
}

/** The strongest lines between two layers: red if they raise the loss, blue if they lower it. */
function drawPathwayLines(pencil, lines, layer, from, {place}) {
  const scale = findScale(lines);
  const strongest = [...lines.keys()].filter(i => Math.abs(lines[i]) > 0.02 * scale);
  strongest.sort((a, b) => Math.abs(lines[a]) - Math.abs(lines[b]));
  for (const i of strongest.slice(-PATHWAY_LINES)) {
    const share = lines[i] / scale;
    const ends = [place(layer, i % from), place(layer + 1, Math.floor(i / from))];
    drawLine(pencil, tintOf(share), 0.5 + 2 * Math.abs(share), ...ends);
  }
}

/**
 * Draw it. `values` are what each layer puts out for the image, the last being its probabilities; `lines` are
 * those of tracePath; `choice` is the weight and `label` the digit that the image shows.
 */
function drawPathway(canvas, network, values, lines, choice, label) {
  const {pencil, width, height} = takePencil(canvas);
  const places = placePathway(network, width, height);
  const {place} = places;
  const {layer, unit, input} = choice;
  drawPathwayImage(pencil, values[0], places);
  lines.forEach((ofLayer, k) => {
    const later = layer + 1 + k;
    drawPathwayLines(pencil, ofLayer, later, network.layers[later].from, places);
  });
  for (let k = 1; k < values.length; k++) {
    drawPathwayUnits(pencil, values[k], k, places);
    writeLabel(pencil, readColour("--quiet"), formatCount(network.sizes[k]), [place(k, 0)[0], 12]);
  }
  const source = place(layer, input);
  const target = place(layer + 1, unit);
  drawLine(pencil, readColour("--accent"), 3, source, target);
  drawDot(pencil, readColour("--accent"), 4, source);
  drawDot(pencil, readColour("--accent"), 6, target);
  for (let digit = 0; digit < CLASSES; digit++) {
    const [x, y] = place(values.length - 1, digit);
    writeLabel(pencil, readColour(digit === label ? "--text" : "--quiet"), digit, [x + 14, y + 4]);
    if (digit === label) drawCircle(pencil, readColour("--text"), 9, [x + 14, y]);
  }
}
