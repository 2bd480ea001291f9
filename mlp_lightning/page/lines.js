// Printed lines around and under a digit, which are thin and straight and cross the picture: lines.py once more.

/** Paint dark printed lines over with the paper around them, and say where they were. Lines that are much fainter than
 *  what counts as ink may stay. */
function eraseLines(grey, inkThreshold) {
  const {w, h} = grey, paper = estimateBackground(grey, round(0.12 * Math.max(w, h)));
  let ink = estimateInk(grey, paper), lines = nothing(grey);
  for (const threshold of [0.3, 0.15]) {
    const mask = maskAbove(ink, fround(Math.max(threshold * largest(ink.v), 4)));
    if (sum(mask.v) / mask.v.length > 0.6) break;
    let found = findLines(mask, ink);
    if (isAny(found)) {
      found = join(found, findRemnants(without(mask, found), found));
      const erased = without(dilate(found, 2), without(mask, found));  // with their soft edges
      lines = join(lines, erased);
      grey = {v: each(grey.v, (value, i) => erased.v[i] ? paper.v[i] : value), w, h};
      ink = without(ink, erased);
    }
    if (threshold <= inkThreshold) break;
  }
  return {grey, lines};
}

/** Which pixels of a mask of ink are those of lines; none if they are all the ink, or may be strokes of a digit. */
function findLines(mask, ink) {
  let [across, down] = traceLines(mask, ink, 0.95);
  if (isLoneStroke(across)) {  // writing stands on a line, unless it is cropped
    const rest = findSides(without(without(mask, across), down), 2 + round(0.04 * Math.max(mask.w, mask.h)));
    if (rest.top || rest.bottom) across = nothing(mask);
  }
  if (isAny(down) && isLoneStroke(turn(down))) down = nothing(mask);
  let lines = join(across, down);
  if (isAny(lines) && mayBeStrokes(mask, across, down)) lines = nothing(mask);
  return join(lines, findFrame(mask, lines, ink));
}

/** Is it a single horizontal line that is not near the edge? The long stroke of a digit may cross the picture, too. */
function isLoneStroke(lines) {
  if (!isAny(lines)) return false;
  const {top, bottom} = findExtent(lines), {w, h} = lines, zone = Math.max(2, round(0.12 * h));
  const isBorder = (top < zone && bottom <= 2.5 * zone) || (bottom > h - zone && h - top <= 2.5 * zone);
  return bottom - top <= 0.12 * Math.max(w, h) + 4 && !isBorder;
}

function findDigitInk(mask) {  // the components that are large enough for a digit, and no borders
  const longer = Math.max(mask.w, mask.h), zone = Math.max(2, round(0.12 * longer));
  const isDigit = component => component.longer >= 0.2 * longer && !liesAtEdge(component, mask, zone);
  return maskOf(connectedComponents(mask).filter(isDigit), mask);
}

/** Are these lines the only ink, or strokes of a digit that fills the picture? It touches all four sides, and if a
 *  stroke lies along one of them, the rest reaches the opposite one. */
function mayBeStrokes(mask, across, down) {
  const lines = join(across, down);
  const away = without(mask, dilate(lines, 4));
  if (!isAny(away) && isRuling(across, down)) return false;
  if (!isAny(findDigitInk(away))) return true;
  const longer = Math.max(mask.w, mask.h), borderZone = Math.max(2, round(0.12 * longer));
  const flat = findSides(across, borderZone), upright = findSides(down, borderZone);
  if ((flat.top && flat.bottom) || (upright.left && upright.right)) return false;
  const zone = 2 + round(0.04 * longer);
  const byLines = findSides(lines, zone), byRest = findSides(findDigitInk(without(mask, lines)), zone);
  return Object.keys(byLines).every(side => byLines[side] || byRest[side])
    && (byRest.top || byRest.bottom) && (byRest.left || byRest.right);
}

/** Are lines those of ruled or squared paper? A printed 8 has three across and two down, and no digit has two that are
 *  not joined. */
function isRuling(across, down) {
  const counts = [countBands(across), countBands(turn(down))], [fewest, most] = counts.sort();
  return (fewest === 0 && most > 1) || fewest > 2 || most > 3;
}

function countBands({v, w, h}) {  // of rows with something in them, between empty rows; in grain, all have some
  const rows = Array.from({length: h}, (_, y) => v.subarray(y * w, (y + 1) * w).includes(1));
  return sum(rows) / h > 0.5 ? 0 : rows.filter((is, y) => is && !rows[y - 1]).length;
}

/** Along which sides of a mask something is, within so many pixels. */
function findSides(mask, zone) {
  if (!isAny(mask)) return {top: false, bottom: false, left: false, right: false};
  const {left, top, right, bottom} = findExtent(mask);
  return {top: top < zone, bottom: bottom > mask.h - zone, left: left < zone, right: right > mask.w - zone};
}

/** The lines of a frame around all other ink: it has all four sides, of which two may be lines that were found before,
 *  and there is a digit within. */
function findFrame(mask, lines, ink) {
  const rest = without(mask, lines);
  if (!isAny(rest)) return rest;
  const extent = findExtent(rest), {left, top, right, bottom} = extent, inner = cut(mask, extent), {w, h} = inner;
  const zone = Math.max(2, round(0.12 * extent.longer));
  if (Math.min(w, h) < 0.2 * Math.max(mask.w, mask.h) || !hasRim(inner, zone)) return nothing(mask);
  const [across, down] = traceLines(inner, cut(ink, extent), 0.9);
  const within = without(without(inner, across), down);
  const walls = traceLines(inner, cut(ink, extent), 0.99);  // away from the sides, other lines are strokes
  for (let y = 0, i = 0; y < h; y++)
    for (let x = 0; x < w; x++, i++) {
      if (y >= zone && y < h - zone) across.v[i] &= walls[0].v[i];
      if (x >= zone && x < w - zone) down.v[i] &= walls[1].v[i];
    }
  const flat = findSides(across, zone), upright = findSides(down, zone);
  const isClosed = flat.top && flat.bottom && upright.left && upright.right;
  if (!isClosed || !isAny(findDigitInk(within))) return nothing(mask);
  return cut(join(across, down), {left: -left, top: -top, right: mask.w - left, bottom: mask.h - top});
}

function hasRim({v, w, h}, zone) {  // has much of each side ink near it? most digits do not
  const [upper, lower] = [new Uint8Array(w), new Uint8Array(w)], [left, right] = [new Uint8Array(h), new Uint8Array(h)];
  for (let y = 0, i = 0; y < h; y++) for (let x = 0; x < w; x++, i++) if (v[i]) {
    if (y < zone) upper[x] = 1;
    if (y >= h - zone) lower[x] = 1;
    if (x < zone) left[y] = 1;
    if (x >= w - zone) right[y] = 1;
  }
  return [upper, lower, left, right].every(side => sum(side) / side.length >= 0.5);
}

function findRemnants(rest, lines) {  // what is left of lines: small pieces, and others at the edge
  const nearLines = dilate(lines, 2).v, components = connectedComponents(rest);
  const longer = Math.max(rest.w, rest.h), zone = round(0.15 * longer);
  const digitSide = Math.max(0.2 * longer, ...components.map(component => component.longer));
  const isRemnant = component => (component.longer < 0.25 * digitSide || liesAtEdge(component, rest, zone))
    && component.pixels.some(i => nearLines[i]);
  return maskOf(components.filter(isRemnant), rest);
}

const liesAtEdge = ({left, top, right, bottom}, {w, h}, zone) =>
  bottom <= zone || right <= zone || top >= h - zone || left >= w - zone;
