"""The tables of the Chinese pages: the rows of the English ones, in Chinese words.

No figure is written twice. `accuracy.py --write` copies all figures of a Chinese table
from the English one; this file has only the words.
"""

import re
from pathlib import Path

from report import (
    DOCS,
    README,
    find_tables,
    format_table,
    read_figures,
    replace_figures,
)

SUFFIX = ".zh-CN.md"
TRANSLATED = (README, DOCS / "tutorial.md")
HEADER = {
    "experiment": "实验",
    "test/acc": "test/acc",
    "training": "训练用时",
    "parameters": "参数量",
    "question": "问题",
}
EXPERIMENTS = {"the defaults": "默认设置"}
QUESTIONS = {
    "What does the tutorial's network reach, with 5,000 images kept for validation?": (
        "留出 5,000 张图片作验证集时，教程里的网络准确率是多少？"
    ),
    "What does the tutorial's script reach, which trains on all 60,000 images and "
    "validates on none?": (
        "教程脚本用全部 60,000 张图片训练，不留验证集，准确率是多少？"
    ),
    "What does the non-linearity buy? Without it, three layers can do no more than "
    "one.": "非线性有什么用？没有它，三层也只抵得上一层。",
    "What if the non-linearity is a sigmoid, as it was for decades?": (
        "激活函数换成过去几十年里常用的 sigmoid，会怎样？"
    ),
    "What if the non-linearity is a tanh, a sigmoid centred on 0?": (
        "激活函数换成 tanh，也就是以 0 为中心的 sigmoid，会怎样？"
    ),
    "What does the second hidden layer buy? This network has only the first.": (
        "第二个隐藏层有多大用处？这个网络只有第一个。"
    ),
    "What do two more hidden layers buy?": "再加两个隐藏层，能提高多少？",
    "What do hidden layers four times as wide buy?": (
        "隐藏层宽度加到四倍，能提高多少？"
    ),
    "What does dropout buy a network that trains for five epochs on undistorted "
    "images?": "只用未变形的图片训练五轮，加上 dropout 能提高多少？",
    "What do distorted images buy a network that sees each image only five times?": (
        "每张图片网络只看五遍，把图片随机变形能提高多少？"
    ),
    "What do momentum, weight decay and one cycle of the learning rate buy the same "
    "network?": "同一个网络，加上动量、权重衰减和 one-cycle 学习率，能提高多少？",
    "How good can a multilayer perceptron get? One network, no convolution, no "
    "test-time tricks.": (
        "多层感知机最高能做到多少？单个网络，不用卷积，测试时也不用任何技巧。"
    ),
    "What does the tutorial's network reach on Fashion-MNIST, whose images show "
    "garments?": "教程里的网络，用在图片是服装的 Fashion-MNIST 上，准确率是多少？",
    "What does a wider perceptron reach on Fashion-MNIST, in some two minutes?": (
        "更宽的感知机用两分钟左右训练，在 Fashion-MNIST 上能达到多少？"
    ),
    "What should you train to have your own handwriting read? A wider network, on "
    "digits that slant, stretch and shift.": (
        "要识别你自己的手写数字，该训练什么样的网络？更宽的网络，训练图片随机倾斜、拉伸和平移。"
    ),
}


def find_translation(page: Path) -> Path:
    """Return the Chinese page that stands beside an English one."""
    return page.with_suffix(SUFFIX)


def write_translations() -> None:
    """Bring the tables of the Chinese pages up to date with the English ones."""
    for page in TRANSLATED:
        translation = find_translation(page)
        for name in find_tables(page):
            text = translate_table(read_figures(page, name))
            if text != read_figures(translation, name):
                replace_figures(translation, name, text)


def translate_table(table: str) -> str:
    """Return a table of results with its words in Chinese and its figures unchanged.

    Raises:
        KeyError: A word of the header, or a question, has no translation here.
    """
    header, _, *rows = table.splitlines()
    words = [HEADER[word] for word in split_row(header)]
    return format_table(words, [translate_row(row) for row in rows])


def translate_row(row: str) -> list[str]:
    """Return the cells of a row in Chinese."""
    experiment, accuracy, seconds, parameters, question = split_row(row)
    return [
        EXPERIMENTS.get(experiment, experiment),
        re.sub(r" \((\d+) seeds?\)", r"（\1 个种子）", accuracy),
        seconds,
        parameters,
        QUESTIONS[question],
    ]


def split_row(row: str) -> list[str]:
    """Return the cells of a row in Markdown."""
    return [cell.strip() for cell in row.strip("|").split("|")]
