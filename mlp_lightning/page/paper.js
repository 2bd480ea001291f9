// The paper to draw on, with mouse, finger, pen or keys; and pictures that are opened or dropped.

const paper = $("paper"), PAPER_SIDE = paper.width;
const ink = paper.getContext("2d", {willReadFrequently: true});
const PEN_STEP = 5;  // by which an arrow key moves the pen
const KEY_STEPS = {
  ArrowLeft: [-PEN_STEP, 0], ArrowRight: [PEN_STEP, 0], ArrowUp: [0, -PEN_STEP], ArrowDown: [0, PEN_STEP],
};
const MAX_PICTURE_PIXELS = 50e6;  // as for predict
const HANDWRITING = {ground: "#fff", ink: "#000", penWidth: 9, toPaper: pixel => 255 - pixel, read: readDigit};
let surface = HANDWRITING;  // how the paper looks, and how what is on it is read
let place = null;  // where a stroke goes on
let isFinished = true;  // whether the next stroke begins a new drawing
let isUnread = false;  // whether there are strokes that are still to be read
const keyPen = {x: PAPER_SIDE / 2, y: PAPER_SIDE / 2, isDown: false};

/**
 * Have the paper's digit shown by show(pixels), or by show(null, refusal) if there is none: refusal() says why, in
 * the page's language.
 */
function connectPaper(show, newSurface = HANDWRITING) {
  surface = newSurface;
  paper.onpointermove = event => {
    if (event.isPrimary && event.buttons & 1) addStroke(...findPlace(event), show);  // no second finger
  };
  paper.onpointerenter = event => { if (event.isPrimary) place = null; };
  paper.onpointerdown = event => { paper.onpointerenter(event); paper.onpointermove(event); };
  paper.onkeydown = event => moveKeyPen(event, show);
  $("clear").onclick = () => {
    clearPaper();
    show(null, () => text("drawOne"));
  };
  $("file").onchange = ({target}) => {
    openPicture(target.files[0], show);
    target.value = "";
  };
  document.ondragover = event => event.preventDefault();
  document.ondrop = event => {
    event.preventDefault();
    openPicture(event.dataTransfer.files[0], show);
  };
}

const findPlace = event => [event.offsetX, event.offsetY].map(offset => offset * PAPER_SIDE / paper.clientWidth);

function clearPaper() {
  ink.fillStyle = surface.ground;
  ink.fillRect(0, 0, PAPER_SIDE, PAPER_SIDE);
  place = null;
  isFinished = false;
}

function addStroke(x, y, show) {
  if (isFinished) clearPaper();
  Object.assign(ink, {strokeStyle: surface.ink, lineWidth: surface.penWidth, lineCap: "round", lineJoin: "round"});
  ink.beginPath();
  ink.moveTo(...(place ?? [x, y]));
  ink.lineTo(x + .01, y);  // a line without any length might not be drawn
  ink.stroke();
  place = [x, y];
  if (isUnread) return;
  isUnread = true;
  queueMicrotask(() => {
    isUnread = false;
    readCanvas(paper, show, reason => text(reason));
  });
}

function moveKeyPen(event, show) {
  if (event.key === "Escape") return $("clear").click();
  const step = KEY_STEPS[event.key];
  if (!step && event.key !== " ") return;
  event.preventDefault();
  if (step) {
    keyPen.x = clamp(keyPen.x + step[0], 0, PAPER_SIDE);
    keyPen.y = clamp(keyPen.y + step[1], 0, PAPER_SIDE);
  } else {
    keyPen.isDown = !keyPen.isDown;
    place = null;
  }
  if (keyPen.isDown) addStroke(keyPen.x, keyPen.y, show);
  $("pen").style.left = `${100 * keyPen.x / PAPER_SIDE}%`;
  $("pen").style.top = `${100 * keyPen.y / PAPER_SIDE}%`;
  $("pen").classList.toggle("down", keyPen.isDown);
}

/** Read what is on a canvas, or say why there is nothing to read. */
function readCanvas(canvas, show, describe) {
  const found = surface.read(take(canvas));
  if (typeof found === "string") show(null, () => describe(found));
  else show(found);
}

/** Lay a picture on the paper, as large as it goes. */
function layOnPaper(source) {
  const scale = PAPER_SIDE / Math.max(source.width, source.height);
  const width = source.width * scale, height = source.height * scale;
  clearPaper();
  ink.drawImage(source, (PAPER_SIDE - width) / 2, (PAPER_SIDE - height) / 2, width, height);
  isFinished = true;
}

async function openPicture(file, show) {
  if (!file) return;
  try {
    const bitmap = await createImageBitmap(file, {colorSpaceConversion: "none"}), {width, height} = bitmap;
    if (width * height > MAX_PICTURE_PIXELS) throw new Error(text("tooLarge"));
    const canvas = document.createElement("canvas");
    Object.assign(canvas, {width, height});
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    layOnPaper(canvas);
    readCanvas(canvas, show, reason => text(`${reason}InFile`, {name: file.name}));
  } catch (error) {
    show(null, () => text("unreadable", {name: file.name, reason: error.message}));
  }
}

/** Add a button for each of the sample images, a list of 784 pixels each; it shows one as it is. */
function addSamples(images, names, show) {
  languageListeners.add(() => nameSamples(names));
  for (const pixels of images) {
    const onPaper = document.createElement("canvas");
    const button = add($("samples"), "button", {type: "button"});
    drawSquares(add(button, "canvas"), pixels, greyOf);
    drawSquares(onPaper, pixels, pixel => greyOf(surface.toPaper(pixel)));
    button.onclick = () => {
      layOnPaper(onPaper);
      show(pixels);
    };
  }
}

function nameSamples(names) {
  [...$("samples").children].forEach((button, i) => {
    button.ariaLabel = text("sample", {number: i + 1, name: names[i]});
  });
}
