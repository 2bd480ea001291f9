// Short ways to find and to make what is on a page.

const $ = id => document.getElementById(id);

/** Add an element to another one, and return it. */
function add(parent, name, properties = {}) {
  const element = document.createElement(name);
  Object.assign(element, properties);
  parent.append(element);
  return element;
}

/** Bytes from base64. (The page's content policy forbids `fetch`, even of what is in the page.) */
function decodeBase64(letters) {
  const characters = atob(letters);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

const DRAW_INTERVAL = 60;  // milliseconds from one drawing to the next: more often, they would take the time to train

/** A function that has draw() called soon: once, however often it is asked for meanwhile. */
function schedule(draw) {
  let isWaiting = false, drawn = -Infinity;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    setTimeout(() => requestAnimationFrame(() => {
      isWaiting = false;
      drawn = performance.now();
      draw();
    }), drawn + DRAW_INTERVAL - performance.now());
  };
}
