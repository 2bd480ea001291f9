// The texts of stations 4 and 5.

Object.assign(TEXTS, {
  noNumber: ["not a number", "非数值"],
  stationLayer: ["{number}: {from} → {to}", "第 {number} 层：{from} → {to}"],
  namePixel: ["pixel in row {row}, column {column}", "第 {row} 行第 {column} 列的像素"],
  nameUnit: ["unit {number}", "第 {number} 个神经元"],
  nameOutput: ["output for {digit}", "数字 {digit} 的输出"],

  // Station 4
  backpropagationQuestion: ["4. What does backpropagation do?", "4. 反向传播做了什么？"],
  backpropagationText: [
    "For every weight, loss.backward() computes the gradient: how fast the loss changes when this weight "
      + "changes. You can check any of them the slow way: change the one weight a little, and compute the "
      + "loss anew.",
    "loss.backward() 为每个权重算出梯度，也就是这个权重变化时，损失变化得有多快。任何一个梯度都可以用笨办法检验：只把这一个权重改动一点点，再重新计算损失。",
  ],
  backpropagationTask: [
    "Take any weight of the network at the top: choose a layer and a unit, then point at a square, or "
      + "press a button. Do backpropagation and the nudge agree? Then follow the error back, from layer 3 to "
      + "layer 1.",
    "任选最上面那个网络的一个权重：先选层和神经元，再点一个方格，也可以直接按按钮。反向传播和微调的结果一致吗？再从第 3 层到第 1 层，看误差怎样一层层传回来。",
  ],
  weightLayer: ["Layer", "层"],
  weightUnit: ["Weight that leads to", "权重所属神经元"],
  weightInput: ["and multiplies the", "对应的输入"],
  weightLargest: ["The largest gradient of this layer", "本层梯度最大的权重"],
  weightRandom: ["A weight of this layer at random", "随机选本层一个权重"],
  weightPicture: ["The weights of the unit; the arrow keys go from one to the next", "该神经元的权重；用方向键逐个移动"],
  weightPictureCaption: ["The unit’s weights", "该神经元的权重"],
  gradientPicture: [
    "The gradients of the unit’s weights; the arrow keys go from one to the next",
    "该神经元各权重的梯度；用方向键逐个移动",
  ],
  gradientPictureCaption: ["Their gradients", "这些权重的梯度"],
  saysBackpropagation: ["Backpropagation says", "反向传播算出"],
  showsNudge: ["The nudge shows", "微调测得"],
  differenceOfBoth: ["Difference", "两者之差"],
  weightUnitOff: [
    "This unit is off for all {images} images: its sum is below 0, and ReLU makes 0 of it. A little more "
      + "or less of a weight does not change that, so the gradient is 0 exactly. Only a nudge large enough "
      + "to switch the unit on for some image would show anything.",
    "这个神经元对全部 {images} 张图片都不起作用：它的和小于 0，被 ReLU 变成了 0。权重稍大或稍小都改变不了这一点，所以梯度恰好是 0。只有改动大到让它对某张图片起作用，才会看到变化。",
  ],
  weightLaterOff: [
    "This unit is on for some of the images, but nothing comes back to it: the units behind it that it "
      + "leads to are off for all of them. So the gradient is 0.",
    "这个神经元对一些图片起作用，但没有误差传回来：它所通向的后面的神经元对所有图片都不起作用，所以梯度是 0。",
  ],
  weightSourceOff: [
    "What this weight multiplies is 0 for all {images} images. Whatever the weight, 0 times it is 0: so "
      + "the gradient is 0.",
    "这个权重所乘的数对全部 {images} 张图片都是 0。不论权重多大，乘以 0 都是 0，所以梯度是 0。",
  ],
  weightNeverBoth: [
    "Wherever this weight has an input among the {images} images, its unit is off, and nothing comes "
      + "back to it: so the gradient is 0.",
    "在这 {images} 张图片里，凡是这个权重的输入不为 0 的，它的神经元都不起作用，没有误差传回来，所以梯度是 0。",
  ],
  weightUpdate: [
    "optimizer.step() takes the gradient, times the learning rate set above, off the weight: "
      + "{weight} − {rate} × {gradient} = {updated}.",
    "optimizer.step() 从权重中减去“学习率（在上面设置）× 梯度”：{weight} − {rate} × {gradient} = {updated}。",
  ],
  weightOfPaper: [
    "This pixel is paper in all {images} images: its input is {input} each time. The weight does have a "
      + "gradient, but it acts as a second bias: it cannot tell one image from another.",
    "这个像素在全部 {images} 张图片里都是空白：输入始终是 {input}。这个权重仍然有梯度，但它的作用只相当于又一个偏置，无法区分不同的图片。",
  ],
  weightWithKinks: [
    "The loss is the mean over {images} images of the batch. Where the two numbers differ, the loss "
      + "bends within the nudge: a unit is switched on or off for some image. Make the nudge smaller, and "
      + "they agree better.",
    "损失是这一批 {images} 张图片的平均值。两个数若有出入，是因为损失在改动范围内拐了弯：某个神经元对某张图片刚好由不起作用变为起作用，或相反。改动越小，两个数就越接近。",
  ],
  weightWithoutKinks: [
    "The loss is the mean over {images} images of the batch. Make the nudge smaller, and both numbers "
      + "agree better.",
    "损失是这一批 {images} 张图片的平均值。改动越小，两个数就越接近。",
  ],
  weightNoNumber: [
    "The weights of the network above are not numbers any more: its learning rate was too large. Start "
      + "it again.",
    "上面网络的权重已经溢出，不再是有效的数：它的学习率太大。请重新开始训练。",
  ],
  nudgeSize: ["Size of the nudge, ε", "改动的大小 ε"],
  nudgedWeight: ["Weight", "权重"],
  nudgedLoss: ["Loss", "损失"],
  nudgedChange: ["Change", "变化"],
  nudgedDown: ["w − ε", "w − ε"],
  nudgedNot: ["w", "w"],
  nudgedUp: ["w + ε", "w + ε"],
  nudgeSum: [
    "The nudge shows: (L(w + ε) − L(w − ε)) / 2ε, both losses less the one at w: ({up} − {down}) / {width} = {slope}",
    "微调测得：（L(w + ε) − L(w − ε)）÷ 2ε，两个损失都减去 w 处的损失：（{up} − {down}）÷ {width} = {slope}",
  ],
  pathTitle: ["The path through which it acts", "它起作用的路径"],
  pathText: [
    "The loss is far away from this weight. The weight changes the sum of its unit, that changes the "
      + "units after it, and these change the outputs. Backpropagation goes the same way back, line by line. "
      + "What it carries is called the error: how fast the loss changes with a sum. The stronger a line, the "
      + "more of it comes back that way; red says that the loss rises with the unit, blue that it falls. The "
      + "darker a dot, the more the unit puts out.",
    "损失离这个权重很远：权重改变所在神经元的和，神经元改变后面的神经元，最后改变输出。反向传播沿同一条路逐线往回走，带回的东西叫误差：某个和变化时，损失变化得有多快。"
      + "连线越粗，经过它传回的误差越多；红色表示神经元变大时损失上升，蓝色表示下降。圆点越深，神经元的输出越大。",
  ],
  pathPicture: [
    "The network, and in it all lines that lead from the chosen weight to the outputs",
    "整个网络，其中画出了从所选权重通向输出的所有连线",
  ],
  pathImage: ["Image of the batch", "这一批中的图片"],
  pathImageValue: ["{number} of {count}, digit {digit}", "第 {number} 张（共 {count} 张），数字 {digit}"],
  pathProducts: [
    "A bar for each image of the batch: input times error; the arrow keys go from one to the next",
    "每张图片一条：输入乘以误差；用方向键逐张移动",
  ],
  pathChain: [
    "Image {number}, digit {digit}: input {input} ({source}) × error {error} (comes back to {target}) = "
      + "{product}.",
    "第 {number} 张图片（数字 {digit}）：输入 {input}（{source}）× 误差 {error}（传回到：{target}）= {product}。",
  ],
  errorOfUnit: [
    "The error is the sum over all lines after the unit, each its weight times the error at its end, "
      + "times the slope of the unit's activation here, {slope}: this is the chain rule.",
    "这个误差是该神经元之后所有连线的“权重 × 末端误差”之和，再乘以激活函数在此处的斜率 {slope}：这就是链式法则。",
  ],
  errorOfOutput: [
    "The error of an output is its probability minus its target, which is 1 for the right digit and 0 "
      + "for the others: {probability} − {target} = {error}.",
    "输出的误差等于它的概率减去目标（正确的数字是 1，其余是 0）：{probability} − {target} = {error}。",
  ],
  pathMean: [
    "Each bar is this product for one of the {count} images. Their mean is the gradient: {mean}.",
    "每根竖条对应 {count} 张图片中的一张，表示它的这个乘积。它们的平均值就是梯度：{mean}。",
  ],
  backpropagationTimes: [
    "Measured here, for {images} images: backpropagation takes {backward} ms for all {count} gradients "
      + "at once, as long as {ratio} forward passes. One forward pass takes {forward} ms, and nudging needs "
      + "two for each number: 2 × {count} × {forward} ms = {minutes} minutes, for one step of training.",
    "在这台设备上实测（{images} 张图片）：反向传播一次算出全部 {count} 个梯度，用时 {backward} 毫秒，相当于 {ratio} 次前向计算。一次前向计算用时 {forward} "
      + "毫秒，而逐个微调时每个数需要两次：2 × {count} × {forward} 毫秒 = {minutes} 分钟，这还只够训练一步。",
  ],
  backpropagationAnswer: [
    "It tells, for every weight at once, how fast the loss changes with this weight. It begins at the "
      + "outputs, where the error is probability minus target, and carries the errors back through the same "
      + "weights by which the signals came. A nudge gives the same numbers, but one weight at a time.",
    "它一次就算出所有权重的梯度：每个权重变化时，损失变化得有多快。它从输出开始，那里的误差是“概率 − 目标”，再沿信号来时的权重把误差逐层传回去。微调能测出同样的数，但一次只能测一个权重。",
  ],

  // Station 5
  descentQuestion: ["5. Why update the weights, and why against the gradient?", "5. 为什么要更新权重？为什么要逆着梯度？"],
  descentText: [
    "Computing gradients changes nothing: only when the weights change does the network learn. The "
      + "gradient points to where the loss rises fastest, so a small step the opposite way makes it fall "
      + "fastest.",
    "光算出梯度什么也不会改变：只有权重更新了，网络才算学到东西。梯度指向损失上升最快的方向，所以朝相反方向走一小步，损失下降最快。",
  ],
  descentTask: [
    "Take a step against the gradient; go back; take one along it; go back; take one at random, of the "
      + "same length. Then raise the learning rate, and take several steps against the gradient.",
    "逆着梯度走一步，返回；顺着梯度走一步，返回；再朝随机方向走同样长的一步。然后调大学习率，逆着梯度连走几步。",
  ],
  descentRate: ["Learning rate of this station", "本节的学习率"],
  stepAgainst: ["Step against the gradient", "逆着梯度走一步"],
  stepAlong: ["Step along the gradient", "顺着梯度走一步"],
  stepRandom: ["Step at random", "随机走一步"],
  stepBack: ["Back to the network above", "回到上面的网络"],
  kind_against: ["Against the gradient", "逆着梯度"],
  kind_along: ["Along the gradient", "顺着梯度"],
  kind_random: ["At random", "随机方向"],
  stepLoss: ["Loss of the batch", "这一批的损失"],
  stepRecent: ["Last steps", "最近几步"],
  descentBegin: ["The loss of the batch is {loss}. No step has been taken.", "这一批的损失是 {loss}。还没有走过一步。"],
  stepFell: ["The loss fell by {change}: {before} → {after}.", "损失下降了 {change}：{before} → {after}。"],
  stepRose: ["The loss rose by {change}: {before} → {after}.", "损失上升了 {change}：{before} → {after}。"],
  stepRandomSaid: [
    "At random, the loss changed by only {change}: {before} → {after}. Where the gradient points, the "
      + "same length promised {predicted}, {times} times as much: nearly all directions hardly matter.",
    "随机方向只让损失变化了 {change}：{before} → {after}。同样长的一步，沿梯度方向预计变化 {predicted}，是它的 {times} 倍：绝大多数方向几乎没有影响。",
  ],
  stepTooLarge: [
    "Against the gradient, and yet the loss rose by {change}: {before} → {after}. The step was too "
      + "large. The gradient tells the slope here, not far away: the step went over the valley and up the "
      + "other side.",
    "虽然逆着梯度，损失却上升了 {change}：{before} → {after}。这一步太大了。梯度只说明此处的坡度，不说明远处：这一步跨过了谷底，走到了对面的坡上。",
  ],
  stepOverflow: [
    "The loss is not a number any more: steps that were too large made the weights larger than numbers "
      + "can be. Nothing can be learned from here. Go back to the network above (if it is well: otherwise "
      + "start it again), and take a smaller learning rate.",
    "损失已经溢出，不再是有效的数：步子太大，权重超出了数值范围，从这里再也学不到任何东西。请回到上面的网络（如果它也已溢出，请先重新开始训练），改用较小的学习率。",
  ],
  stepDead: [
    "By now all units of a hidden layer are off for all images: no gradient comes back through them, and "
      + "only the biases behind them still learn.",
    "现在有一个隐藏层的所有神经元对所有图片都不起作用：梯度传不回来，只有后面的偏置还能学习。",
  ],
  descentCopy: [
    "Steps taken: {steps}. They changed a copy: the network above is as it was. The button takes you back "
      + "to it.",
    "已走 {steps} 步。你走的每一步只改副本，上面的网络不受影响；按按钮可以回到上面的网络。",
  ],
  descentFollows: [
    "These are the weights of the network above. Your steps will change a copy of it.",
    "这里用的是上面网络的权重。你走的每一步只改副本。",
  ],
  descentCurve: [
    "The loss along a line through the present weights: against the gradient, and in a random direction",
    "沿着经过当前权重的直线的损失：逆着梯度方向，以及随机方向",
  ],
  descentLegend: [
    "Solid line: against the gradient to the right, along it to the left. Dashed line: the next random "
      + "direction. Dot: here. Red dot: after one step of learning rate {rate}. Ring: the lowest, if it is "
      + "in view.",
    "实线：向右是逆着梯度，向左是顺着梯度。虚线：下一个随机方向。圆点：当前位置。红点：以学习率 {rate} 走一步之后。圆圈：最低点（若在图中）。",
  ],
  curveAxis: ["steps along the line", "沿直线走的步数"],
  lineLowest: [
    "Here the loss is {loss}; one step against the gradient leads to {after}. The lowest on this line, "
      + "{lowest}, is {distance} steps away: there the learning rate would be {best}.",
    "此处损失是 {loss}；逆着梯度走一步到 {after}。这条线上最低的是 {lowest}，在 {distance} 步处：相当于学习率 {best}。",
  ],
  lineRises: [
    "Here the loss is {loss}; one step against the gradient leads to {after}. Even a few thousandths of "
      + "that step go too far: this learning rate is far too large.",
    "此处损失是 {loss}；逆着梯度走一步到 {after}。哪怕只走这一步的千分之几也过了头：这个学习率实在太大。",
  ],
  lineFallsOn: [
    "Here the loss is {loss}; one step against the gradient leads to {after}. After {reach} steps along "
      + "this line it would still fall: a larger learning rate would go further at once.",
    "此处损失是 {loss}；逆着梯度走一步到 {after}。沿这条线走 {reach} 步之后仍在下降：学习率大一些，一步就能走得更远。",
  ],
  descentAnswer: [
    "All that a network knows is in its weights: only when they change does it learn. The gradient points "
      + "to where the loss rises, so the way against it is the one on which the loss falls fastest; a random "
      + "way of the same length hardly matters. This holds near by: too large a step goes over the valley and "
      + "up the other side.",
    "网络所知道的一切都在权重里：只有权重改变了，它才学到东西。梯度指向损失上升的方向，所以逆着它走，损失下降最快；随便朝别的方向走同样长的一步，几乎没有影响。"
      + "但这只在附近成立：步子太大，就会跨过谷底，走到对面的坡上。",
  ],
});
