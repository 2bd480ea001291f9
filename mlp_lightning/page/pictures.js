// Any picture becomes a 28 x 28 image as it is: folders.py once more.

/** 784 pixels: the picture, a canvas as take() has it, on a black square, made smaller by averaging areas. */
function readPicture(picture) {
  const {w, h} = picture;
  const longer = Math.max(w, h);
  const [width, height] = [w, h].map(side => roundToEven(side / longer * 28));
  const small = shrink(picture, [0, 0, w, h], [width, height]);
  const left = roundToEven((28 - width) / 2);
  const top = roundToEven((28 - height) / 2);
  const square = cut(small, {left: -left, top: -top, right: 28 - left, bottom: 28 - top});
  return Uint8Array.from(square.v, level => clamp(roundToEven(level), 0, 255));
}

/** Round as Python does: a half to the even neighbour. */
function roundToEven(x) {
  const rounded = Math.round(x);
  const isHalf = rounded - x === 0.5;
  return isHalf && rounded % 2 ? rounded - 1 : rounded;
}

// What is painted is bright, as the test images are; a wide pen fills areas soon.
const PICTURES = {ground: "#000", ink: "#fff", penWidth: 12, toPaper: pixel => pixel, read: readPicture};
