// How the page asks its worker.

const WORKER_SCRIPTS = ["random.js", "network.js", "training.js", "worker.js"];

/** Start the worker; returns ask(message), a promise of the worker's answer. */
function startWorker() {
  const scripts = WORKER_SCRIPTS.map(name => $(name).textContent);
  const address = URL.createObjectURL(new Blob(scripts, {type: "text/javascript"}));
  const worker = new Worker(address);
  const waiting = [];  // for answers, which come in the order of the messages
  worker.onmessage = ({data}) => waiting.shift()(data);
  return message => new Promise(resolve => {
    waiting.push(resolve);
    worker.postMessage(message);
  });
}

/** Images and labels from what the page holds of them, deflated and in base64. */
async function unpackImages({images, labels}) {
  const packed = new Blob([decodeBase64(images)]).stream();
  const unpacked = new Response(packed.pipeThrough(new DecompressionStream("deflate")));
  return {images: new Uint8Array(await unpacked.arrayBuffer()), labels: decodeBase64(labels)};
}
