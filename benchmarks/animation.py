"""Make docs/network.webp, in which digits go through the network of docs/demo.

    python benchmarks/animation.py

The page draws each frame itself, in headless Chromium, for one test image of each
digit. Then docs/page.png is taken, the page as it looks on a desk.
"""

import base64
import io
from argparse import ArgumentParser

from browser import is_browser_installed, open_browser
from PIL import Image
from report import DOCS
from selenium.webdriver import Chrome

PAGE = DOCS / "demo" / "index.html"
ANIMATION = DOCS / "network.webp"
SCREENSHOT = DOCS / "page.png"
ANIMATION_SIZE = (800, 360)  # pixels
SCREENSHOT_SIZE = (1280, 1100)
SAMPLES_PER_DIGIT = 2  # on the page: the animation takes the first of each
FRAMES = 13  # in which a digit goes through
FRAME_TIME = 75  # ms
ANSWER_TIME = 1100  # ms, for which the answer stays
# Quantising to 256 colours shifts them by a shade, unless k-means has a few rounds.
KMEANS_ROUNDS = 2
RESIZE = """
const [width, height] = arguments;
Object.assign($("diagram").style, {width: `${width}px`, height: `${height}px`});
"""
# The canvas is transparent: the ground of the page goes behind what is drawn.
DRAW = """
const [sample, progress] = arguments, diagram = $("diagram");
const images = decodeBase64(model.images);
const pixels = images.subarray(784 * sample, 784 * (sample + 1));
drawDiagram(diagram, network, forward(network, pixels), {progress});
const pencil = diagram.getContext("2d");
pencil.globalCompositeOperation = "destination-over";
pencil.fillStyle = readTheme(diagram).ground;
pencil.fillRect(0, 0, diagram.width, diagram.height);
return diagram.toDataURL();
"""


def set_screen(driver: Chrome) -> None:
    """Give the page a light screen, without motion of its own."""
    width, height = SCREENSHOT_SIZE
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = [
        {"name": "prefers-color-scheme", "value": "light"},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def decode_picture(letters: str) -> Image.Image:
    """Decode a PNG in base64."""
    content = base64.b64decode(letters)
    return Image.open(io.BytesIO(content)).convert("RGB")


def draw_frames(driver: Chrome) -> tuple[list[Image.Image], list[int]]:
    """Return the frames, and for how many ms each of them stays."""
    frames = []
    times = []
    for digit in range(10):
        for step in range(FRAMES + 1):
            progress = step / FRAMES
            url = driver.execute_script(DRAW, SAMPLES_PER_DIGIT * digit, progress)
            frames.append(decode_picture(url.partition(",")[2]))
            times.append(ANSWER_TIME if step == FRAMES else FRAME_TIME)
    return frames, times


def make_animation(driver: Chrome) -> None:
    driver.get(PAGE.as_uri())
    driver.execute_script(RESIZE, *ANIMATION_SIZE)
    frames, times = draw_frames(driver)
    # A still picture shows the first frame alone: let it be an answer.
    frames = frames[-1:] + frames[:-1]
    times = times[-1:] + times[:-1]
    frames[0].save(
        ANIMATION,
        save_all=True,
        append_images=frames[1:],
        duration=times,
        loop=0,  # for ever
        quality=45,
        method=6,  # the smallest file
        minimize_size=True,
    )
    print(f"{ANIMATION.name}: {len(frames)} frames, {ANIMATION.stat().st_size:,} bytes")


def take_screenshot(driver: Chrome) -> None:
    driver.get(PAGE.as_uri())
    driver.execute_script("$('samples').children[4].click()")  # a 2
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    picture = decode_picture(shot["data"])
    method = Image.Quantize.MAXCOVERAGE
    colours = picture.quantize(256, method, kmeans=KMEANS_ROUNDS)
    colours.save(SCREENSHOT, optimize=True)
    print(f"{SCREENSHOT.name}: {SCREENSHOT.stat().st_size:,} bytes")


def main() -> None:
    parser = ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.parse_args()
    if not is_browser_installed():
        parser.error("needs Chromium or Chrome, and chromedriver")
    with open_browser() as driver:
        set_screen(driver)
        make_animation(driver)
        take_screenshot(driver)


if __name__ == "__main__":
    main()
