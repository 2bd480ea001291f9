// Pictures made of squares, one for each number: images, units, weights.

// The style sheet's --positive and --negative, as red, green and blue.
const SIGN_COLOURS = {
  light: {positive: [204, 58, 43], negative: [37, 99, 201]},
  dark: {positive: [255, 122, 102], negative: [110, 165, 255]},
};
const darkScheme = matchMedia("(prefers-color-scheme: dark)");

/** The colours of a number's sign, red of a positive one and blue of a negative one: {positive, negative}. */
const findSignColours = () => SIGN_COLOURS[darkScheme.matches ? "dark" : "light"];

const greatest = values => values.indexOf(largest(values));
const findScale = values => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-9);
const greyOf = pixel => `rgb(${pixel} ${pixel} ${pixel})`;  // 0 black to 255 white

/** The colour of a share from −1 to 1: blue is negative, red is positive. */
function tintOf(share) {
  const {positive, negative} = findSignColours();
  const [red, green, blue] = share > 0 ? positive : negative;
  return `rgb(${red} ${green} ${blue} / ${0.06 + 0.94 * Math.abs(share)})`;
}

/** How many squares stand side by side: 28 of an image, else about as many as below one another. */
function countColumnsOf(count) {
  if (count === 784) return 28;
  return count < 16 ? count : 2 ** Math.ceil(Math.log2(count) / 2);
}

/** Fill a canvas with a square for each value, and frame one of them. */
function drawSquares(canvas, values, colourOf, cell = 1, framed = -1) {
  const columns = countColumnsOf(values.length), size = cell > 4 ? cell - 1 : cell;
  canvas.width = columns * cell;
  canvas.height = Math.ceil(values.length / columns) * cell;
  const pencil = canvas.getContext("2d");
  pencil.strokeStyle = "#888";
  pencil.lineWidth = 2;
  values.forEach((value, i) => {
    const x = i % columns * cell, y = Math.floor(i / columns) * cell;
    pencil.fillStyle = colourOf(value);
    pencil.fillRect(x, y, size, size);
    if (i === framed) pencil.strokeRect(x + 1, y + 1, size - 2, size - 2);
  });
}

const TILE_SIDE = 28, TILE_GAP = 2;

/** Draw the weights of units that see all pixels, count * 784, as one picture for each unit, side by side. */
function drawTiles(canvas, weights, count) {
  const columns = count > 16 ? 16 : count, step = TILE_SIDE + TILE_GAP;
  canvas.width = columns * step - TILE_GAP;
  canvas.height = Math.ceil(count / columns) * step - TILE_GAP;
  const pencil = canvas.getContext("2d"), scale = findScale(weights);
  for (let unit = 0; unit < count; unit++) {
    const tile = paintTile(weights.subarray(784 * unit, 784 * (unit + 1)), scale);
    pencil.putImageData(tile, unit % columns * step, Math.floor(unit / columns) * step);
  }
}

/** An image of 784 weights, in the colours of tintOf: it is drawn too often for a square at a time. */
function paintTile(weights, scale) {
  const tile = new ImageData(TILE_SIDE, TILE_SIDE), {data} = tile;
  const {positive, negative} = findSignColours();
  for (let i = 0; i < weights.length; i++) {
    const [red, green, blue] = weights[i] > 0 ? positive : negative;
    data[4 * i] = red;
    data[4 * i + 1] = green;
    data[4 * i + 2] = blue;
    data[4 * i + 3] = 15 + 240 * Math.abs(weights[i]) / scale;
  }
  return tile;
}
