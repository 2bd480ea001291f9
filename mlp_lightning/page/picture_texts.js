// What the page says instead if the images are not of handwritten digits.

const PICTURE_TEXTS = {
  drawTitle: ["Choose an image", "选一张图像"],
  drawOne: ["Choose a test image, or open a picture.", "请选一张测试图片，或打开一张图片。"],
  paper: ["Board to paint on", "画板"],
  sample: ["Test image {number}: {name}", "第 {number} 张测试图片：{name}"],
  howToDraw: [
    "Take a test image, or drop a picture anywhere. It should look as the test images do, alone, and "
      + "filling the picture. Or paint with mouse, finger or pen. By keyboard: the arrow keys move the pen, the space "
      + "bar lowers and lifts it, Escape clears.",
    "选一张测试图片，或把图片拖到页面上。它应当像测试图片那样，只有一个图案，占满画面。也可以用鼠标、手指或笔来画。"
      + "用键盘：方向键移动笔，空格键落笔、提笔，Esc 键清除。",
  ],
  isSure: ["{name}: {percent}", "{name}：{percent}"],
  isUnsure: ["Perhaps {name}: {percent}", "可能是 {name}：{percent}"],
  demoTitle: ["What a perceptron sees in an image", "感知机眼中的图像"],
  aboutTested: [
    "Run {run} recognises {accuracy} of the test images. {count} numbers were learned: weights and biases.",
    "训练记录 {run}：测试集准确率 {accuracy}。共学到 {count} 个数：权重和偏置。",
  ],
  pixelsText: [
    "This is what the network sees: 28 × 28 = 784 numbers. A picture is taken as it is, in grey: what is missing to a "
      + "square is filled with black, and areas are averaged until 28 × 28 pixels are left.",
    "这就是网络看到的：28 × 28 = 784 个数。图片不做其他处理：变成灰度，用黑色补成正方形，再按区域平均，缩小到 28 × 28 个像素。",
  ],
  networkTitle: ["An image goes through the network", "一张图像穿过网络"],
  networkText: [
    "Each line is a signal, a number times a weight; of many thousands, the strongest are drawn. Red is positive, blue "
      + "negative. Point at a node, a class or a pixel, or move there with the arrow keys; Escape lets go.",
    "每条线是一个信号：一个数乘以一个权重。线有成千上万条，这里只画最强的；红色为正，蓝色为负。指向节点、类别或像素，或用方向键移动；按 Esc 取消。",
  ],
  diagram: [
    "The network: the image, its hidden units and the classes, with the strongest signals between them",
    "网络：图像、隐藏神经元和各个类别，以及它们之间最强的信号",
  ],
  outputText: [
    "{count} numbers, one for each class: sums of the {inputs} numbers before, each times a weight, and a bias. "
      + "Softmax makes probabilities of them; the largest is the answer.",
    "{count} 个数，每个类别一个：前一层的 {inputs} 个数各乘以一个权重，相加，再加上偏置。softmax 把它们变成概率，最大的就是答案。",
  ],
  className: ["Class {name}", "类别 {name}"],
  diagramClasses: ["{count} classes", "{count} 个类别"],
  privacy: ["What you paint or open stays on this page.", "你画的和打开的图片都只留在本页。"],
};
