// A worker that trains networks, so that the page stays free to draw and to answer.
//
// It is sent {action, ...} and answers each message in turn. Networks that are trained side by side are one
// group, under the id of their experiment.

const groups = new Map();  // from an id to a list of trainings, as createTraining makes them
let trainingSet = null;  // {images, labels}
let testSet = null;

const ACTIONS = {
  /** Keep the images. */
  load({training, test}) {
    trainingSet = training;
    testSet = test;
    return {};
  },

  /** Begin a group anew, with a network for each of the settings. */
  begin({id, settings}) {
    groups.set(id, settings.map(createTraining));
    return {tests: testGroup(id), ...copyNumbers(id)};
  },

  /** Train a group for one step, by these settings; test it, too, if that is asked for. */
  train({id, settings, isTested}) {
    const started = performance.now();
    const reports = groups.get(id).map((training, i) => {
      training.settings = settings[i];
      return trainStep(training, takeBatch(training, trainingSet.images, trainingSet.labels));
    });
    const milliseconds = performance.now() - started;
    return {reports, milliseconds, tests: isTested ? testGroup(id) : null, ...copyNumbers(id)};
  },
};

function testGroup(id) {
  return groups.get(id).map(({network}) => evaluate(network, testSet.images, testSet.labels));
}

/** The numbers of a group's networks, to be sent: the worker goes on with its own. */
function copyNumbers(id) {
  return {numbers: groups.get(id).map(({network}) => network.numbers.slice())};
}

onmessage = ({data}) => {
  const answer = ACTIONS[data.action](data);
  postMessage(answer, (answer.numbers ?? []).map(({buffer}) => buffer));
};
