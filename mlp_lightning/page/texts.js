// All that the pages say, in English and in simplified Chinese. {names} stand for values.

const TEXTS = {
  otherLanguage: ["中文", "English"],

  // The paper
  drawTitle: ["Draw a digit", "写一个数字"],
  drawOne: ["Draw a digit.", "请写一个数字。"],
  paper: ["Paper to draw on", "手写板"],
  clear: ["Clear", "清除"],
  openPicture: ["Open a picture", "打开图片"],
  samples: ["Test images", "测试图片"],
  sample: ["Test image {number}, a {name}", "第 {number} 张测试图片，数字 {name}"],
  howToDraw: [
    "With mouse, finger or pen; or drop a picture anywhere; or take a test image. By keyboard: the arrow keys move "
      + "the pen, the space bar lowers and lifts it, Escape clears.",
    "用鼠标、手指或笔书写；也可以把图片拖到页面上，或选一张测试图片。用键盘：方向键移动笔，空格键落笔、提笔，Esc 键清除。",
  ],
  noInk: ["No ink found.", "没有看到笔迹。"],
  severalDigits: ["More than one digit found.", "看到了不止一个数字。"],
  noInkInFile: ["{name} shows no ink.", "{name} 里没有笔迹。"],
  severalDigitsInFile: ["{name} shows more than one digit.", "{name} 里不止一个数字。"],
  unreadable: ["{name} cannot be read: {reason}", "无法读取 {name}：{reason}"],
  tooLarge: ["it is larger than 50 megapixels", "图片超过五千万像素"],
  isSure: ["It is {article} {name}: {percent}", "这是 {name}：{percent}"],
  isUnsure: ["Perhaps it is {article} {name}: {percent}", "可能是 {name}：{percent}"],

  // The page of a checkpoint
  demoTitle: ["What a perceptron sees in a digit", "感知机眼中的数字"],
  about: ["Run {run}. {count} numbers were learned: weights and biases.", "训练记录 {run}。共学到 {count} 个数：权重和偏置。"],
  aboutTested: [
    "Run {run} reads {accuracy} of the test images correctly. {count} numbers were learned: weights and biases.",
    "训练记录 {run}：测试集准确率 {accuracy}。共学到 {count} 个数：权重和偏置。",
  ],
  trainedOn: ["Trained on {dataset}.", "训练数据：{dataset}。"],
  pixelsTitle: ["784 pixels go in", "输入：784 个像素"],
  seen: ["The image that the network sees", "网络看到的图像"],
  pixelsText: [
    "This is what the network sees: 28 × 28 = 784 numbers. A drawing is first made into what it learned from: the "
      + "ink is cut out, thin strokes are widened, its longer side is brought to 20 pixels, its centre of mass is put "
      + "at the centre.",
    "这就是网络看到的：28 × 28 = 784 个数。手写的数字先变成训练图片的样子：剪出笔迹，加粗细线，把长边缩放到 20 个像素，再把重心移到中央。",
  ],
  hiddenTitle: ["{count} hidden units", "{count} 个隐藏神经元"],
  hiddenTitleOf: ["{count} hidden units, layer {layer}", "第 {layer} 个隐藏层：{count} 个神经元"],
  networkTitle: ["A digit goes through the network", "一个数字穿过网络"],
  networkText: [
    "Each line is a signal, a number times a weight; of many thousands, the strongest are drawn. Red is positive, blue "
      + "negative. Point at a node, a digit or a pixel, or move there with the arrow keys; Escape lets go.",
    "每条线是一个信号：一个数乘以一个权重。线有成千上万条，这里只画最强的；红色为正，蓝色为负。指向节点、数字或像素，或用方向键移动；按 Esc 取消。",
  ],
  diagram: [
    "The network: the image, its hidden units and the ten digits, with the strongest signals between them",
    "网络：图像、隐藏神经元和十个数字，以及它们之间最强的信号",
  ],
  weights: ["The weights, as squares", "权重，以方块表示"],
  hiddenText: [
    "{count} numbers. Each unit multiplies the {inputs} numbers before it by {inputs} weights of its own, adds them "
      + "up with a bias, and {activation}.",
    "{count} 个数。每个神经元把前一层的 {inputs} 个数分别乘以自己的 {inputs} 个权重，相加，再加上偏置，然后{activation}。",
  ],
  relu: ["keeps the sum if it is above 0, else 0 (ReLU)", "大于 0 的和保持不变，否则取 0（ReLU）"],
  sigmoid: ["squeezes the sum into 0 to 1 (sigmoid)", "把和压缩到 0 与 1 之间（sigmoid）"],
  tanh: ["squeezes the sum into −1 to 1 (tanh)", "把和压缩到 −1 与 1 之间（tanh）"],
  identity: [
    "passes the sum on as it is: with no bend, all layers together do no more than one could",
    "原样传给下一层：没有非线性，再多的层合起来也只相当于一层",
  ],
  outputTitle: ["{count} probabilities come out", "输出：{count} 个概率"],
  outputText: [
    "{count} numbers, one for each digit: sums of the {inputs} numbers before, each times a weight, and a bias. Softmax "
      + "makes probabilities of them; the largest is the answer.",
    "{count} 个数，每个数字一个：前一层的 {inputs} 个数各乘以一个权重，相加，再加上偏置。softmax 把它们变成概率，最大的就是答案。",
  ],
  barsOfMany: ["These are the {count} most probable:", "概率最大的 {count} 个类别："],
  unitName: ["Unit {number} of {count}", "第 {number} 个神经元（共 {count} 个）"],
  className: ["Digit {name}", "数字 {name}"],
  pixelWeights: ["{name}: its {count} weights, one for each pixel.", "{name}：{count} 个权重，每个像素一个。"],
  unitWeights: ["{name}: its {count} weights, one for each unit before.", "{name}：{count} 个权重，前一层每个神经元一个。"],
  unitSum: [
    "Times those, added up: {sum}; with its bias, {bias}: {total}; after {activation}: {output}.",
    "各自相乘再相加：{sum}；加上偏置 {bias}：{total}；经过 {activation}：{output}。",
  ],
  pixelName: [
    "Pixel in row {row}, column {column}: {count} units give it a weight each.",
    "第 {row} 行第 {column} 列的像素：{count} 个神经元各给它一个权重。",
  ],
  pixelValue: [
    "Its value is {value} of 255; normalised, {input} goes in.",
    "它的值是 {value}（最大 255）；归一化后输入 {input}。",
  ],
  diagramPixels: ["784 pixels", "784 个像素"],
  diagramUnits: ["{count} units", "{count} 个神经元"],
  diagramClasses: ["{count} digits", "{count} 个数字"],
  privacy: ["What you draw or open stays on this page.", "你写的和打开的图片都只留在本页。"],
};
