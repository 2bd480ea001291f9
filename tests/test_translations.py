"""The Chinese pages say what the English ones say, as far as a program can tell."""

import re
from collections import Counter
from pathlib import Path

import pytest
from chinese import QUESTIONS, SUFFIX, TRANSLATED, find_translation, translate_table
from report import find_tables, read_figures
from results import read_question
from test_docs import CONFIGS, LINK, PAGES, find_anchors, name_page, read_page

TRANSLATIONS = [find_translation(page) for page in TRANSLATED]
CODE = re.compile(r"^```.*?^```$|^ {4}[^\n]*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ ", re.MULTILINE)
INLINE_CODE = re.compile(r"`[^`]+`")
PICTURE = re.compile(r"!\[[^]]*\]\(([^)]+)\)")
# 28, 109,386, 0.9447, 1e-8 or 90.2 %, but not the 64 of float64.
NUMBER = re.compile(r"(?<![A-Za-z\d.])\d+(?:,\d{3})*(?:\.\d+)?(?:e-\d+)?(?: ?%)?")
CHINESE = r"[\u4e00-\u9fff]"
FULL_WIDTH = r"[\u3001\u3002\uff00-\uffef]"
MISPRINTS = {
    "a half-width mark": rf"{CHINESE}[,.;:?!()]|[,;:?!()]{CHINESE}",
    "no space between Chinese and Latin": (
        rf"{CHINESE}[A-Za-z0-9`]|[A-Za-z0-9`%]{CHINESE}"
    ),
    "a space beside a full-width mark": rf"{FULL_WIDTH} (?!\|)|(?<!\|) {FULL_WIDTH}",
    "a space between Chinese": rf"{CHINESE} {CHINESE}",
}
each_pair = pytest.mark.parametrize("page", TRANSLATED, ids=name_page)
each_translation = pytest.mark.parametrize("page", TRANSLATIONS, ids=name_page)


def find_code(page: Path) -> list[str]:
    return CODE.findall(read_page(page))


def read_sections(page: Path) -> list[str]:
    """Return the text of each section without its code, the title's first."""
    text = CODE.sub("", read_page(page))
    return HEADING.split(text)[1:]


def find_pictures(page: Path) -> list[str]:
    return PICTURE.findall(read_page(page))


def find_numbers(text: str) -> list[str]:
    for left_out in (INLINE_CODE, LINK):
        text = left_out.sub("", text)
    return [number.replace(" ", "") for number in NUMBER.findall(text)]


def count_inline_code(text: str) -> Counter[str]:
    return Counter(INLINE_CODE.findall(text))


def find_target(page: Path, link: str) -> tuple[str, int | None]:
    """Return the English page that a link means, and the number of its heading."""
    path, _, anchor = link.partition("#")
    if link.startswith("https://"):
        return link, None
    target = (page.parent / path).resolve() if path else page
    heading = find_anchors(target).index(anchor) if anchor else None
    return str(target).replace(SUFFIX, ".md"), heading


def count_targets(page: Path, text: str) -> Counter[tuple[str, int | None]]:
    return Counter(find_target(page, link) for link in LINK.findall(text))


def test_each_chinese_page_is_compared() -> None:
    chinese = [page for page in PAGES if page.name.endswith(SUFFIX)]
    assert chinese == TRANSLATIONS


@each_pair
def test_each_language_begins_with_a_link_to_the_other(page: Path) -> None:
    translation = find_translation(page)
    pairs = [(page, translation), (translation, page)]
    for shown, other in pairs:
        first_lines = read_page(shown).splitlines()[:5]
        assert other.name in LINK.findall("\n".join(first_lines))


@each_pair
def test_both_languages_have_the_same_code(page: Path) -> None:
    assert find_code(page) == find_code(find_translation(page))


@each_pair
def test_both_languages_have_the_same_pictures(page: Path) -> None:
    assert find_pictures(page) == find_pictures(find_translation(page))


@each_pair
def test_both_languages_have_the_same_sections(page: Path) -> None:
    translation = find_translation(page)
    sections = read_sections(page)
    translated = read_sections(translation)
    assert len(sections) == len(translated)
    for english, chinese in zip(sections, translated, strict=True):
        assert find_numbers(english) == find_numbers(chinese)
        assert count_inline_code(english) == count_inline_code(chinese)
        assert count_targets(page, english) == count_targets(translation, chinese)


@each_pair
def test_both_languages_have_the_same_tables_of_results(page: Path) -> None:
    translation = find_translation(page)
    assert find_tables(page) == find_tables(translation)
    for name in find_tables(page):
        expected = translate_table(read_figures(page, name))
        assert read_figures(translation, name) == expected


def test_each_question_is_translated_with_its_numbers() -> None:
    asked = [read_question(config) for config in (None, *CONFIGS)]
    assert sorted(QUESTIONS) == sorted(asked)
    for english, chinese in QUESTIONS.items():
        assert find_numbers(english) == find_numbers(chinese)


@each_translation
def test_a_chinese_page_leads_to_chinese_pages(page: Path) -> None:
    links = LINK.findall(read_page(page))
    links.remove(page.name.replace(SUFFIX, ".md"))  # the link to the other language
    targets = [(page.parent / link.partition("#")[0]).resolve() for link in links]
    assert not [target for target in targets if target in TRANSLATED]


@each_translation
@pytest.mark.parametrize("misprint", MISPRINTS)
def test_chinese_is_typeset_alike(page: Path, misprint: str) -> None:
    text = re.sub(r"!?\[|" + LINK.pattern, "", "\n".join(read_sections(page)))
    assert not re.findall(f".{{,9}}(?:{MISPRINTS[misprint]}).{{,9}}", text)
