// Anybody's picture of a digit becomes the 28 x 28 image that MNIST would have made of it: handwriting.py once more.

/** 784 pixels as MNIST would have them, ink at 255; or the name of the text that says what the picture shows. */
function readDigit(picture) {
  const image = findMnistImage(picture);
  if (image) return image;
  const overview = segmentDigit(findPaper(shrinkBox(picture, [0, 0, picture.w, picture.h]), 0.4), 0.4);
  if (!overview || isGrain(overview)) return "noInk";
  if (showsSeveral(overview)) return "severalDigits";
  const closeUp = lookCloser(picture, overview);
  return closeUp ? centreDigit(scaleDigit(widenThinStrokes(cutOutDigit(closeUp)))) : "noInk";
}

/** The picture itself, or its negative, if it has MNIST's form: 28 x 28, black around a small digit in the middle. */
function findMnistImage({v, w, h}) {
  if (w !== 28 || h !== 28 || v.some(value => value !== round(value))) return null;
  const isMnistImage = ink => {
    const mask = maskAbove({v: ink, w, h}, 0), centre = findCentre({v: ink, w, h});
    return isAny(mask) && findExtent(mask).longer <= 20 && centre.every(mean => Math.abs(mean - 14) <= 0.53);
  };
  return [v, each(v, value => 255 - value)].find(isMnistImage) ?? null;
}

function cutOutDigit({ink, mask, extent, strength}) {  // its ink from 0 to 1
  const around = cut(dilate(mask, 1), extent).v, part = cut(ink, extent);
  const share = value => fround(fround(fround(value / strength) - 0.25) / fround(0.9 - 0.25));
  return {v: each(part.v, (value, i) => around[i] && clamp(share(value), 0, 1)), w: part.w, h: part.h};
}

function widenThinStrokes(ink) {  // to 2.6 pixels of the image
  const missing = 2.6 * (Math.max(ink.w, ink.h) / 20) - measureStrokeWidth(ink);
  return missing > 0 ? widenStrokes(ink, missing / 2) : ink;
}

function scaleDigit(ink) {  // its longer side to 20 pixels
  const sides = [ink.w, ink.h], longer = Math.max(...sides);
  return shrink(ink, [0, 0, ...sides], sides.map(side => Math.max(1, round(side * 20 / longer))));
}

function centreDigit(ink) {
  const [x, y] = findCentre(ink), left = clamp(round(14 - x), 0, 28 - ink.w), top = clamp(round(14 - y), 0, 28 - ink.h);
  const most = largest(ink.v), levels = {v: each(ink.v, value => round(value / most * 255)), w: ink.w, h: ink.h};
  return Uint8Array.from(cut(levels, {left: -left, top: -top, right: 28 - left, bottom: 28 - top}).v);
}

function findCentre({v, w}) {  // the mean column and the mean row of ink
  let [mass, x, y] = [0, 0, 0];
  v.forEach((value, i) => { mass += value; x += value * (i % w); y += value * Math.floor(i / w); });
  return [x / mass, y / mass];
}

/** The picture on a canvas, opaque and grey, as open_picture makes it. */
function take(canvas) {
  const {data, width, height} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const v = new Float32Array(width * height), alpha = new Float32Array(v.length);
  let ink = 0, opaque = 0;
  for (let i = 0; i < v.length; i++) {
    v[i] = (data[4 * i] * 19595 + data[4 * i + 1] * 38470 + data[4 * i + 2] * 7471 + 32768) >> 16;
    alpha[i] = data[4 * i + 3] / 255;
    ink += v[i] * alpha[i];
    opaque += alpha[i];
  }
  if (opaque === v.length) return {v, w: width, h: height};
  const mean = ink / Math.max(opaque, 1), ground = opaque > v.length / 2 ? mean : mean < 128 ? 255 : 0;
  return {v: each(v, (value, i) => value * alpha[i] + ground * (1 - alpha[i])), w: width, h: height};
}
