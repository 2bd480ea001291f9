// What the lesson says, besides what is in texts.js.

Object.assign(TEXTS, {
  lessonTitle: ["How a network learns", "神经网络是怎样学习的"],
  lessonIntro: [
    "This page trains the network of the tutorial, 784-128-64-10, on 2,000 images of MNIST, in your browser. Nothing is "
      + "sent anywhere. Train it first; then let it answer the tutorial's five questions.",
    "本页在你的浏览器里训练教程中的网络 784-128-64-10，用的是 MNIST 的 2,000 张图片，不向任何地方发送数据。先训练它，再让它回答教程的五个问题。",
  ],
  contents: ["Contents", "目录"],
  thisNetwork: ["this network", "本网络"],

  // A panel that trains
  play: ["Train", "训练"],
  pause: ["Pause", "暂停"],
  oneStep: ["One step", "走一步"],
  hundredSteps: ["100 steps", "走 100 步"],
  startAgain: ["Start again", "重新开始"],
  speed: ["Speed", "速度"],
  fastest: ["as fast as it can", "最快"],
  stepsPerSecond: ["{count} steps a second", "每秒 {count} 步"],
  batchSize: ["Batch size", "批次大小"],
  learningRate: ["Learning rate", "学习率"],
  momentum: ["Momentum", "动量"],
  seed: ["Seed", "随机种子"],
  stepsAxis: ["step {count}", "第 {count} 步"],
  stepNumber: ["Step {step}", "第 {step} 步"],
  lossChart: ["Loss: batches thin, test images thick", "损失：细线为批次，粗线为测试图片"],
  accuracyChart: ["Accuracy: batches thin, test images thick", "准确率：细线为批次，粗线为测试图片"],
  normChart: ["Norm of the gradients", "梯度的范数"],
  batchLoss: ["Loss of the batch", "批次损失"],
  batchAccuracy: ["Training accuracy", "训练准确率"],
  testAccuracy: ["Test accuracy", "测试准确率"],
  gradientNorm: ["Norm of the gradients", "梯度的范数"],
  overflow: ["too large for a number", "超出数值范围"],

  // The training
  trainingTitle: ["Watch it learn", "看它学习"],
  trainingText: [
    "At each step the network reads a batch of images, the loss says how wrong its answers are, and every weight is "
      + "changed a little so that they become less wrong. It begins with the very weights that PyTorch draws for the "
      + "same seed.",
    "每一步，网络读一批图片，损失说明答案错得多厉害，然后每个权重都改变一点点，让答案错得少一些。初始权重与 PyTorch 用同一随机种子得到的完全相同。",
  ],
  trainingTask: [
    "Press Train, and watch how sure it becomes of the digit. Then draw one of your own.",
    "按“训练”，看它对这个数字越来越有把握。然后自己写一个。",
  ],
  drawText: [
    "784 pixels go in on the left, ten probabilities come out on the right. While the network is trained, it reads your "
      + "digit anew after each step.",
    "784 个像素从左边进去，十个概率从右边出来。训练时，网络每走一步都会重新读你写的数字。",
  ],
  firstLayerTitle: ["What the first hidden layer learns", "第一个隐藏层学到了什么"],
  firstLayerText: [
    "One picture for each unit: its 784 weights, where they meet the pixels. Red is positive, blue negative. Most of each "
      + "weight is the random number that it began with; what training adds to it are strokes that the unit looks for, or "
      + "looks out for.",
    "每个单元一幅图：它的 784 个权重，各在所对应像素的位置。红色为正，蓝色为负。每个权重的大部分仍是开始时的随机数；训练加上去的，是这个单元所寻找或所排斥的笔画。",
  ],
  showsChanges: ["only what training has changed", "只看训练改变的部分"],
  fewImagesTitle: ["Why not 94.5 %?", "为什么不是 94.5 %？"],
  fewImages: [
    "It ends near 88 % and not at the 94.5 % of the tutorial's network, which sees 55,000 images. This page holds 2,000 for "
      + "training, so that it stays small, and 500 for the test. With so few images, the network learns to know them by "
      + "heart: the training accuracy rises further than the test accuracy.",
    "准确率停在 88 % 左右，而不是教程网络的 94.5 %，因为后者看了 55,000 张图片。为了让页面小巧，这里只有 2,000 张训练图片和 500 张测试图片。图片这么少，网络会把它们背下来：训练准确率会比测试准确率升得更高。",
  ],

  diagramLabel: ["The network: its layers and its strongest connections", "网络：各层和最强的连接"],

  // Station 1
  linearTitle: ["1. What do the linear and the non-linear part do?", "1. 线性变换和非线性激活各做什么？"],
  linearText: [
    "A linear layer adds up weighted numbers; ReLU then sets what is below 0 to 0. Without it, three layers can do no more "
      + "than one: their weights multiply out to a single layer, which is drawn below.",
    "线性层把数加权求和；随后 ReLU 把小于 0 的变成 0。没有它，三层合起来也只相当于一层：把它们的权重相乘，就得到下面画出的那一层。",
  ],
  linearTask: [
    "Train both for 500 steps, on the same batches. Compare where the test accuracies end.",
    "用相同的批次把两个网络都训练 500 步，比较最后的测试准确率。",
  ],
  withRelu: ["with ReLU", "有 ReLU"],
  withNothing: ["with nothing between the layers", "层间什么都没有"],
  productTitle: [
    "The three layers without ReLU, multiplied out to one: the weights of its ten units",
    "没有 ReLU 的三层相乘成一层：它的十个单元的权重",
  ],
  productDifference: [
    "For this batch, the answers of this single layer differ from those of the three by {difference} at most.",
    "对于这一批图片，这一层与那三层的答案最多相差 {difference}。",
  ],

  // Station 2
  sizesTitle: ["2. What do 784, 128, 64 and 10 mean?", "2. 784、128、64、10 是什么意思？"],
  sizesText: [
    "An image has 28 × 28 = 784 pixels, and there are ten digits; 128 and 64 are the units of the hidden layers, and "
      + "yours to choose. Each unit has a weight for every number that comes in, and a bias.",
    "一张图片有 28 × 28 = 784 个像素，数字有十个；128 和 64 是隐藏层的单元数，由你选择。每个单元对每个输入的数都有一个权重，另有一个偏置。",
  ],
  sizesTask: [
    "Move the sliders, and train each network for 300 steps. What does a larger one cost, and what does it bring?",
    "移动滑块，把每个网络训练 300 步。网络变大，代价是什么，好处是什么？",
  ],
  layerSize: ["Hidden layer {layer}", "隐藏层 {layer}"],
  layer: ["Layer", "层"],
  weightsTitle: ["Weights", "权重"],
  biases: ["Biases", "偏置"],
  sum: ["Sum", "小计"],
  total: ["All together", "合计"],
  network: ["Network", "网络"],
  parameters: ["Parameters", "参数"],
  steps: ["Steps", "步数"],
  stepTime: ["Milliseconds a step", "每步毫秒"],

  // Station 3
  clearingTitle: ["3. Why clear the gradients?", "3. 为什么要梯度清零？"],
  clearingText: [
    "Backpropagation adds each gradient to what is already there. If nobody clears them, each step goes along the sum of "
      + "all gradients so far, old and new.",
    "反向传播把新的梯度加到原有的上面。如果不清零，每一步走的就是到目前为止全部梯度之和，新旧都在里面。",
  ],
  clearingTask: [
    "Train both for 100 steps, and compare. Then go on to 900 steps, and watch the norm of the gradients.",
    "两个网络都先训练 100 步，比较一下。再继续到 900 步，注意梯度的范数。",
  ],
  clearingReason: [
    "The sum of all gradients so far is what a momentum of 1 would use: it gathers speed, which is why it is ahead at first. "
      + "But nothing ever slows it down. It runs past the valley, the loss and its gradients grow, and in the end the "
      + "network guesses. At a rate of 0.1, 100 steps are enough for that.",
    "全部梯度之和正是动量等于 1 时所用的：它不断加速，所以开始时领先。但没有任何东西让它减速。它冲过谷底，损失和梯度越来越大，最后网络只能瞎猜。学习率为 0.1 时，100 步就会这样。",
  ],
  cleared: ["cleared", "清零"],
  notCleared: ["not cleared", "不清零"],
});
