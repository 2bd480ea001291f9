// Where the digit is in a grey picture, its ink apart from all other: digits.py once more.

/** How strong the ink on paper is, with an edge of one, and which of it is the digit. */
function segmentDigit(paper, threshold) {
  const ink = blur(estimateInk(paper.grey, paper.background));
  const least = fround(fround(threshold) * largest(ink.v)), all = maskAbove(ink, least);
  const components = connectedComponents(all, ink.v).sort((one, two) => two.mass - one.mass);
  if (!components.length) return null;
  const main = components[0], distance = ({x, y}) => Math.max(Math.abs(x - main.x), Math.abs(y - main.y));
  const digit = components.filter(one => one.mass > 0.05 * main.mass && distance(one) <= 1.5 * main.longer);
  const mask = maskOf(digit, ink), values = new Float32Array(sum(digit.map(({pixels}) => pixels.length)));
  let count = 0;
  for (const {pixels} of digit) for (const i of pixels) values[count++] = ink.v[i];
  return {ink, mask, components, strength: percentile(values.sort(), 75), extent: findExtent(mask), paper};
}

/** A picture, or its negative, as dark ink on paper without lines, which is to be told from its own background. */
function findPaper(grey, inkThreshold) {
  const negative = {v: each(grey.v, value => -value), w: grey.w, h: grey.h};
  const paper = estimateBackground(grey), board = estimateBackground(negative);
  if (roughness(paper) < roughness(board)) return cleanPaper(grey, paper, inkThreshold);
  const lightInk = each(grey.v, (value, i) => value + board.v[i]).sort();
  if (percentile(lightInk, 50) > fround(fround(0.1) * lightInk[lightInk.length - 1])) {  // black borders around paper?
    const clean = cleanPaper(grey, paper, inkThreshold);
    if (isAny(clean.lines) && isEvenPaper(clean)) return clean;
  }
  return {...cleanPaper(negative, board, inkThreshold), isNegative: true};
}

function cleanPaper(grey, background, inkThreshold) {  // without lines, and what the background is without them
  const clean = eraseLines(grey, inkThreshold);
  return {...clean, background: isAny(clean.lines) ? estimateBackground(clean.grey) : background};
}

/** Is the background of dark ink of one brightness? Black borders make paper look like a board, before they go. */
function isEvenPaper({grey, background}) {
  const strongest = largest(each(grey.v, (value, i) => background.v[i] - value)), sorted = background.v.slice().sort();
  return fround(percentile(sorted, 95) - percentile(sorted, 20)) < fround(fround(0.25) * strongest);
}

const isLarge = ({mass}, {components: [main]}) => mass >= 0.15 * main.mass;

function showsSeveral(digit) {  // does another one stand beside it?
  const [main] = digit.components;
  return digit.components.some(other => {
    const taller = Math.max(main.bottom - main.top, other.bottom - other.top);
    return isLarge(other, digit) && Math.max(other.left - main.right, main.left - other.right) >= 0.05 * taller
      && Math.min(main.bottom, other.bottom) - Math.max(main.top, other.top) >= 0.6 * taller;
  });
}

function isGrain(digit) {  // no digit, but what stands out most in a blank picture
  const {ink, components, strength} = digit;
  if (strength >= 52) return false;
  const strong = maskOf(components.filter(component => isLarge(component, digit)), ink);
  const around = dilate(strong, 1 + round(1 / 20 * components[0].longer)).v;
  const background = ink.v.filter((_, i) => !around[i]);
  const grain = background.length ? percentile(each(background, Math.abs).sort(), 95) : 0;
  return strength < clamp(fround(5.5 * grain), 8, 52);
}

/** Find the digit again in its part of the picture, without the lines of a frame that can be seen as a whole only in
 *  the overview. */
function lookCloser(picture, {paper, ...overview}) {
  const box = frameDigit(picture, overview), grey = shrinkBox(picture, box);
  if (paper.isNegative && !isAny(paper.lines))  // a board? or paper between black borders?
    return segmentDigit(findPaper(grey, 0.15), 0.15);
  const painted = paintLinesOver(grey, box, picture, paper);
  return segmentDigit(cleanPaper(painted, estimateBackground(painted), 0.15), 0.15);
}

/** A box of a picture, or its negative, without the lines of the overview. */
function paintLinesOver({v, w, h}, [left, top, right, bottom], picture, {grey, lines, isNegative}) {
  const findPlaces = (start, end, count, scale) =>
    Array.from({length: count}, (_, i) => Math.floor((start + (i + 0.5) * ((end - start) / count)) * scale));
  const rows = findPlaces(top, bottom, h, grey.h / picture.h), columns = findPlaces(left, right, w, grey.w / picture.w);
  const painted = each(v, (value, i) => {
    const place = rows[Math.floor(i / w)] * grey.w + columns[i % w];
    return lines.v[place] ? grey.v[place] : isNegative ? -value : value;
  });
  return {v: painted, w, h};
}

/** The box of a digit and half of its size all around. */
function frameDigit({w, h}, {ink, extent: {left, top, right, bottom, longer}}) {
  const margin = (longer - 1) / 2 + 2, across = w / (ink.w - 2), down = h / (ink.h - 2);
  return [Math.max((left - 1 - margin) * across, 0), Math.max((top - 1 - margin) * down, 0),
    Math.min((right - 1 + margin) * across, w), Math.min((bottom - 1 + margin) * down, h)];
}
