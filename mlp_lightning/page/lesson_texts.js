// What the lesson says, besides what is in texts.js.

Object.assign(TEXTS, {
  lessonTitle: ["How a network learns", "神经网络是怎样学习的"],
  lessonIntro: [
    "This page trains a network, {sizes}, on 2,000 images of MNIST, in your browser. Nothing is sent anywhere. Train it "
      + "first; then let it answer the five questions of the tutorial that it comes from.",
    "本页在你的浏览器里训练网络 {sizes}，用的是 MNIST 的 2,000 张图片，不向任何地方发送数据。先训练它，再让它回答教程的五个问题。",
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
  oneStepPerSecond: ["one step a second", "每秒一步"],
  batchSize: ["Batch size", "批次大小"],
  learningRate: ["Learning rate", "学习率"],
  momentum: ["Momentum", "动量"],
  seed: ["Seed", "随机种子"],
  stepsAxis: ["step {count}", "第 {count} 步"],
  stepNumber: ["Step {step}: {epochs} epochs.", "第 {step} 步：{epochs} 轮。"],
  overflowAdvice: [
    "The weights have grown too large for numbers: start again, with a smaller learning rate.",
    "权重已经大得超出数值范围：请重新开始，并调小学习率。",
  ],
  lossChart: ["Loss (thick: test images)", "损失（粗线：测试图片）"],
  accuracyChart: ["Accuracy (thick: test images)", "准确率（粗线：测试图片）"],
  normChart: ["Length of the gradients in memory", "内存中梯度的长度"],
  measures: ["Latest measures", "最新数值"],
  tries: ["Networks tried so far", "试过的网络"],
  batchLoss: ["Loss of the batch", "批次损失"],
  batchAccuracy: ["Training accuracy", "训练准确率"],
  testAccuracy: ["Test accuracy", "测试准确率"],
  gradientNorm: ["Length of the gradients", "梯度的长度"],
  overflow: ["too large for a number", "超出数值范围"],

  // The training
  trainingTitle: ["Watch it learn", "看它学习"],
  trainingText: [
    "At each step the network reads a batch of images, the loss says how wrong its answers are, and every weight is "
      + "changed a little so that they become less wrong. It begins with the very weights that PyTorch draws for the "
      + "same seed.",
    "每一步，网络读一批图片，损失衡量答案错得有多严重，然后每个权重都改变一点点，让答案错得少一些。初始权重与 PyTorch 用同一随机种子得到的完全相同。",
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
    "One picture for each unit: its 784 weights, drawn where their pixels are. Most of each weight is the random number "
      + "that it began with. What training has added is shown here, nothing before the first step: strokes that excite "
      + "the unit in red, strokes that quiet it in blue.",
    "每个神经元一幅图：它的 784 个权重，分别画在所对应像素的位置上。每个权重的大部分仍是开始时的随机数。这里画的是训练加上去的部分（第一步之前是空的）：红色的笔画使神经元更活跃，蓝色的使它更安静。",
  ],
  showsChanges: ["only what training has changed", "只看训练改变的部分"],
  fewImagesTitle: ["Why not 94.5\u00a0%?", "为什么不是 94.5%？"],
  fewImages: [
    "With the tutorial's settings, after some 900 steps, 30 epochs, it reads near 88\u00a0% of the test images; the tutorial's own "
      + "network reads 94.5\u00a0% after five epochs, but of 55,000 images. This page holds 2,000 for training, so that it stays small, and 500 for the test. "
      + "With so few images, the network learns to know them by heart: the training accuracy rises further than the test "
      + "accuracy. It never stops by itself: pause it when you have seen enough.",
    "用教程的设置，大约 900 步（约 30 轮）之后，测试准确率在 88% 左右；教程的网络只训练五轮就有 94.5%，但它看了 55,000 张图片。为了让页面小巧，这里只有 2,000 张训练图片和 500 张测试图片。图片这么少，网络会把它们背下来：训练准确率会比测试准确率升得更高。训练不会自己停，看够了就按暂停。",
  ],

  diagramLabel: ["The network: its layers and its strongest connections", "网络：各层和最强的连接"],
  diagramText: [
    "A line is a signal, a number times a weight: red if positive, blue if negative; the strongest are drawn. Red nodes "
      + "put out most.",
    "每条连线是一个信号，即一个数乘以一个权重：红色为正，蓝色为负，只画最强的。节点越红，输出越大。",
  ],
  answerTitle: ["And the answer?", "答案是什么？"],

  // The sums
  sumsTitle: ["A sum written out", "一次加权求和的全过程"],
  sumsText: [
    "A unit multiplies each of its inputs by a weight of its own, adds all products up, and adds its "
      + "bias. Choose a layer and a unit, and follow one number into the next layer. The digit is the one that "
      + "was last on the paper. A pixel of 0 to 255 goes in as (pixel / 255 − 0.1307) / 0.3081, so paper is "
      + "−0.42, and full ink 2.82.",
    "一个神经元把每个输入乘以各自的权重，把所有乘积加起来，再加上偏置。选一层和一个神经元，看一个数怎样进入下一层。数字是手写板上最近的那一个。像素值（0 到 255）先换算成（像素 / 255 − 0.1307）/ 0.3081，所以空白是 −0.42，最黑的笔迹是 2.82。",
  ],
  sumsLayer: ["Layer", "层"],
  sumsUnit: ["Sum of", "查看哪个神经元"],
  sumsInputs: ["The inputs as squares", "输入的方格图"],
  sumsInputsCaption: ["inputs", "输入"],
  sumsWeights: ["The weights as squares", "权重的方格图"],
  sumsWeightsCaption: ["× weights", "× 权重"],
  sumsProducts: ["The products as squares", "乘积的方格图"],
  sumsProductsCaption: ["= products", "= 乘积"],
  sumsFrom: ["From", "来自"],
  sumsInput: ["Input", "输入"],
  sumsWeight: ["Weight", "权重"],
  sumsProduct: ["Product", "乘积"],
  sumsOthers: ["the other {count} together", "其余 {count} 项合计"],
  sumsRounding: ["what rounding leaves over", "舍入的余数"],
  sumsBias: ["bias", "偏置"],
  sumsTotal: ["sum", "和"],
  sumsLogit: [
    "An output has no activation: its sum, {sum}, is the logit of {digit}. Softmax makes probabilities "
      + "of the ten logits.",
    "输出没有激活函数：它的和 {sum} 就是数字 {digit} 的 logit。softmax 再把十个 logit 变成概率。",
  ],
  sumsBy_relu: [
    "ReLU keeps a sum above 0 and makes 0 of any other: {sum} becomes {output}.",
    "ReLU 保留大于 0 的和，其余都变成 0：{sum} 变成 {output}。",
  ],
  sumsBy_sigmoid: [
    "Sigmoid squeezes the sum into 0 to 1: {sum} becomes {output}.",
    "sigmoid 把和压缩到 0 到 1 之间：{sum} 变成 {output}。",
  ],
  sumsBy_tanh: [
    "Tanh squeezes the sum into −1 to 1: {sum} becomes {output}.",
    "tanh 把和压缩到 −1 到 1 之间：{sum} 变成 {output}。",
  ],
  sumsBy_identity: [
    "There is no activation: the sum, {sum}, goes on as {output}.",
    "没有激活函数：和 {sum} 原样传下去，即 {output}。",
  ],
  softmaxTitle: ["Softmax and the loss, step by step", "softmax 和损失的每一步"],
  softmaxText: [
    "Ten sums come out, the logits. Subtract the largest from each, take e to the power of each, and divide "
      + "by the sum of all ten: so all are above 0 and add up to 1.",
    "网络最后得到十个和，称为 logit。每个减去其中最大的，以 e 为底取指数，再除以十个指数之和：这样每个都大于 0，总和为 1。",
  ],
  softmaxDigit: ["Digit", "数字"],
  softmaxLogit: ["Logit", "logit"],
  softmaxLess: ["− largest", "− 最大值"],
  softmaxPower: ["e to the power", "取指数"],
  softmaxProbability: ["÷ sum", "÷ 总和"],
  softmaxLoss: ["− ln", "− ln"],
  softmaxSum: [
    "The ten powers add up to {total}. For the {digit}: {power} ÷ {total} = {percent}.",
    "十个指数之和是 {total}。数字 {digit}：{power} ÷ {total} = {percent}。",
  ],
  lossText: [
    "The last column is the loss of this image if that digit is the right one: minus the logarithm of the "
      + "probability that it got. To be sure and wrong costs most. This is the cross-entropy; the loss of a "
      + "batch is the mean of its images' losses.",
    "最后一列是：如果这个数字是正确答案，这张图片的损失是多少，也就是它所得概率的对数取负。越有把握地答错，损失越大。这就是交叉熵；一批的损失是各张图片损失的平均值。",
  ],

  // Station 1
  linearTitle: ["1. What do the linear and the non-linear part do?", "1. 线性变换和非线性激活各做什么？"],
  linearText: [
    "A linear layer adds up weighted numbers; ReLU, an activation, then sets what is below 0 to 0. Without it, all layers "
      + "together can do no more than one: their weights multiply out to a single layer, which is drawn below.",
    "线性层对输入加权求和；随后激活函数 ReLU 把小于 0 的变成 0。没有它，所有的层合起来也只相当于一层：把它们的权重相乘，就得到下面画出的那一层。",
  ],
  linearTask: [
    "Train both for 500 steps, on the same batches: press “100 steps” five times. Which is ahead at first, which in the "
      + "end?",
    "用相同的批次把两个网络都训练 500 步：按五次“走 100 步”。开始时谁领先？最后呢？",
  ],
  withRelu: ["with ReLU", "有 ReLU"],
  withNothing: ["with nothing between the layers", "层间无激活函数"],
  productTitle: [
    "The layers without ReLU, multiplied out to one: the weights of its ten units, for 0 to 9",
    "没有 ReLU 的各层相乘成一层：它的十个神经元的权重，从 0 到 9",
  ],
  productDifference: [
    "For {count} images, the answers of this single layer differ from those of all the layers by {difference} at most.",
    "对于 {count} 张图片，这一层与原来各层的答案最多相差 {difference}。",
  ],
  linearAnswer: [
    "The linear part weighs and adds up: it does all the learning. The non-linear part bends: a unit that is off for some "
      + "images and on for others answers a question of its own, and the next layer can combine such answers. Without it, "
      + "the layers only weigh once more, and stay where a single layer ends. With ReLU the network is behind at first, and "
      + "ends higher.",
    "线性部分负责加权求和，要学的权重都在里面。非线性部分负责“拐弯”：一个神经元对一些图片起作用，对另一些不起作用，等于各自回答了一个小问题，下一层再把这些回答组合起来。没有它，多一层也只是再加权一次，停在单层的水平。有 ReLU 的网络开始时落后，最后却更高。",
  ],

  // Station 2
  sizesTitle: ["2. What do 784, 128, 64 and 10 mean?", "2. 784、128、64、10 是什么意思？"],
  sizesText: [
    "An image has 28 × 28 = 784 pixels, and there are ten digits; 128 and 64 are the units of the hidden layers, and "
      + "yours to choose. Each unit has a weight for every number that comes in, and a bias.",
    "一张图片有 28 × 28 = 784 个像素，数字有十个；128 和 64 是隐藏层的神经元数，由你选择。每个神经元对每个输入的数都有一个权重，另有一个偏置。",
  ],
  sizesTask: [
    "Move the sliders, and train each network for 300 steps: press “100 steps” three times. What does a larger one cost, "
      + "and what does it bring? (The larger learning rate, 0.1, saves time.)",
    "移动滑块，把每个网络训练 300 步：按三次“走 100 步”。网络变大，代价是什么，好处是什么？（学习率用 0.1，是为了节省时间。）",
  ],
  sizesAnswer: [
    "784 is what comes in, 10 is what must come out; between them, the sizes are a choice. Each pair of neighbours costs "
      + "their product in weights, and nearly all are in the first layer. Very small layers let too little through. Beyond "
      + "a few dozen units, more of them cost more at each step and bring nothing here: 2,000 images teach no more.",
    "784 是输入，10 是必须的输出，中间的大小由你选择。相邻两层的权重数是两者之积，几乎全在第一层。层太小，信息过不去；超过几十个神经元以后，再大只会让每一步更慢，在这里没有更多好处：2,000 张图片教不了更多。",
  ],
  layerSize: ["Hidden layer {layer}", "隐藏层 {layer}"],
  layer: ["Layer", "层"],
  weightsTitle: ["Weights", "权重"],
  biases: ["Biases", "偏置"],
  sum: ["Sum", "小计"],
  total: ["Total", "合计"],
  network: ["Network", "网络"],
  parameters: ["Parameters", "参数"],
  steps: ["Steps", "步数"],
  stepTime: ["Milliseconds per step", "每步耗时（毫秒）"],

  // Station 3
  clearingTitle: ["3. Why clear the gradients?", "3. 为什么要梯度清零？"],
  clearingText: [
    "loss.backward() adds each gradient to what is already in memory; optimizer.zero_grad() clears it. If nobody does, each "
      + "step goes along the sum of all gradients so far, old and new.",
    "loss.backward() 把新梯度累加到内存中原有的梯度上；optimizer.zero_grad() 把它清零。如果不清零，每一步走的就是到目前为止全部梯度之和，新旧都在里面。",
  ],
  clearingTask: [
    "Train both for 100 steps, and compare. Then go on to 900 steps, and watch all three charts: the third shows how long "
      + "the step's direction is, the root of the sum of its squares.",
    "两个网络都先训练 100 步，比较一下。再继续到 900 步，看三幅图：第三幅是这一步所用方向的长度，即各数平方和的平方根。",
  ],
  clearingAnswer: [
    "Because backward() adds. The sum of all gradients so far is what a momentum of 1 would use (momentum adds to each step a "
      + "share of the one before: 0.9 keeps nine tenths of it, 1 all). It gathers speed, which is why it is ahead at first. "
      + "But nothing ever slows it down: it runs past every valley, further each time, and in the end the network guesses. "
      + "At a rate of 0.1, 100 steps are enough for that.",
    "因为 backward() 是累加的。到目前为止全部梯度之和，正是动量等于 1 时所用的（动量在每一步上加上前一步的一部分：0.9 保留十分之九，1 全部保留）。它不断加速，所以开始时领先。但没有什么能让它减速：它一次次冲过谷底，一次比一次远，最后网络只能瞎猜。学习率为 0.1 时，100 步就会这样。",
  ],
  cleared: ["cleared", "清零"],
  notCleared: ["not cleared", "不清零"],
});
