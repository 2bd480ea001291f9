// Pencils for canvases, and the few shapes that all pictures are made of.

/** Make a canvas as fine as the screen. The pencil then measures in CSS pixels. */
function takePencil(canvas) {
  const {clientWidth: width, clientHeight: height} = canvas;
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
  const pencil = canvas.getContext("2d");
  pencil.scale(devicePixelRatio, devicePixelRatio);
  pencil.font = "12px system-ui, sans-serif";
  return {pencil, width, height};
}

/** A colour of the style sheet, such as "--text": it depends on light or dark. */
const readColour = name => getComputedStyle(document.documentElement).getPropertyValue(name);

function drawLine(pencil, colour, width, ...points) {
  pencil.strokeStyle = colour;
  pencil.lineWidth = width;
  pencil.beginPath();
  for (const [x, y] of points) pencil.lineTo(x, y);
  pencil.stroke();
}

function drawDot(pencil, colour, radius, [x, y]) {
  pencil.fillStyle = colour;
  pencil.beginPath();
  pencil.arc(x, y, radius, 0, 2 * Math.PI);
  pencil.fill();
}

function drawCircle(pencil, colour, radius, [x, y]) {
  pencil.strokeStyle = colour;
  pencil.lineWidth = 1.5;
  pencil.beginPath();
  pencil.arc(x, y, radius, 0, 2 * Math.PI);
  pencil.stroke();
}

/** Words, or as many of their letters as fit into a width. */
function cutWords(pencil, words, width) {
  const fits = shown => pencil.measureText(shown).width <= width;
  if (fits(words)) return words;
  const letters = [...words].slice(0, width);  // no letter is narrower than a pixel
  while (letters.length > 1 && !fits(`${letters.join("")}…`)) letters.pop();
  return `${letters.join("")}…`;
}

function writeLabel(pencil, colour, words, [x, y], align = "center") {
  pencil.fillStyle = colour;
  pencil.textAlign = align;
  pencil.fillText(words, x, y);
}
