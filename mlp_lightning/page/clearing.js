// Station 3: the same network with its gradients cleared before each step, and without.

function buildClearing({settings, ask}) {
  return buildExperiment($("clearing-panel"), ask, {
    id: "clearing",
    settings: {...settings, learningRate: 0.01, momentum: 0},
    variants: [
      {name: "cleared", changes: {clearsGradients: true}},
      {name: "notCleared", changes: {clearsGradients: false}},
    ],
    choices: ["batchSize", "learningRate"],
    hasNorms: true,
  });
}
