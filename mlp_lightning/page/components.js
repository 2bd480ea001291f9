// Masks: which of their pixels hang together, and how far these reach: components.py once more.

const nothing = ({v, w, h}) => ({v: new Uint8Array(v.length), w, h});
const isAny = mask => mask.v.includes(1);
const join = (one, two) => isAny(two) ? {v: each(one.v, (is, i) => is || two.v[i]), w: one.w, h: one.h} : one;
const without = (one, two) => isAny(two) ? {v: each(one.v, (is, i) => two.v[i] ? 0 : is), w: one.w, h: one.h} : one;

function maskAbove({v, w, h}, least) {  // where values are above the least
  const mask = nothing({v, w, h});
  for (let i = 0; i < v.length; i++) if (v[i] > least) mask.v[i] = 1;
  return mask;
}

function turn({v, w, h}) {  // rows into columns
  const turned = new v.constructor(v.length);
  for (let y = 0, i = 0; y < h; y++) for (let x = 0; x < w; x++, i++) turned[x * h + y] = v[i];
  return {v: turned, w: h, h: w};
}

/** Cut a part out, from left up to right and from top up to bottom; beyond the edge, all is 0. */
function cut({v, w, h}, {left, top, right, bottom}) {
  const part = {v: new v.constructor((right - left) * (bottom - top)), w: right - left, h: bottom - top};
  for (let y = Math.max(top, 0); y < Math.min(bottom, h); y++)
    for (let x = Math.max(left, 0); x < Math.min(right, w); x++)
      part.v[(y - top) * part.w + x - left] = v[y * w + x];
  return part;
}

/** The connected components of a mask; pixels that touch at a corner are connected. */
function connectedComponents({v, w}, ink = v) {
  const left = v.slice(), components = [];
  for (let first = left.indexOf(1); first >= 0; first = left.indexOf(1, first)) {
    const pixels = [first];
    left[first] = 0;
    for (const i of pixels)  // grows meanwhile
      for (const row of [i - w, i, i + w]) for (let j = row - 1; j <= row + 1; j++)
        if (left[j] && Math.abs(j % w - i % w) < 2) left[j] = pixels.push(j) && 0;
    components.push(measure(pixels, w, ink));
  }
  return components;
}

/** How far pixels reach, where their centre is, and how much ink they hold. */
function measure(pixels, w, ink) {
  const count = pixels.length;
  let left = Infinity, top = Infinity, right = 0, bottom = 0, columns = 0, rows = 0, mass = 0;
  for (let k = 0; k < count; k++) {
    const i = pixels[k], x = i % w, y = (i - x) / w;
    if (x < left) left = x;
    if (y < top) top = y;
    if (x >= right) right = x + 1;
    if (y >= bottom) bottom = y + 1;
    columns += x;
    rows += y;
    mass += ink[i];
  }
  return {...reach(left, top, right, bottom), pixels, x: columns / count, y: rows / count, mass};
}

function maskOf(components, {v, w, h}) {
  const mask = nothing({v, w, h});
  for (const {pixels} of components) for (const i of pixels) mask.v[i] = 1;
  return mask;
}

const reach = (left, top, right, bottom) =>
  ({left, top, right, bottom, longer: Math.max(right - left, bottom - top)});

function findExtent({v, w, h}) {
  let left = w, top = h, right = 0, bottom = 0;
  for (let y = 0, i = 0; y < h; y++)
    for (let x = 0; x < w; x++, i++) if (v[i]) {
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  return reach(left, top, right, bottom);
}

/** Add all pixels within a distance from the mask, across, down and diagonally. */
const dilate = (mask, distance) => along(mask, [mask.w, mask.h], (line, wider) => {
  for (let i = 0, last = -Infinity; i < line.length; i++) {
    if (line[i]) last = i;
    wider[i] = i - last <= distance ? 1 : 0;
  }
  for (let i = line.length - 1, last = Infinity; i >= 0; i--) {
    if (line[i]) last = i;
    if (last - i <= distance) wider[i] = 1;
  }
});
