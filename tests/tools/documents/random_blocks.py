"""Documents put together by chance from a seed: all kinds of blocks, with spaces and without, in several scripts."""

from random import Random

from tools.documents.blocks import Block

LETTERS = "abcdefghêơạđ"
WITHOUT_SPACES = "ก็่เาสวัด中文，。"


def random_word(random: Random) -> str:
    return "".join(random.choices(LETTERS, k=random.randint(1, 12)))


def random_sentence(random: Random) -> str:
    words = " ".join(random_word(random) for _ in range(random.randint(1, 25)))
    return words.capitalize() + random.choice([".", "!", "?", "。", ""])


def random_table(random: Random) -> Block:
    columns = random.randint(1, 8)
    cells = [[random_word(random) * random.choice([1, 1, 1, 9]) for _ in range(columns)] for _ in range(40)]
    rows = [f"| {' | '.join(row)} |" for row in cells[: random.randint(1, 40)]]
    return Block("table", "\n".join([rows[0], "|" + " --- |" * columns, *rows[1:]]))


def random_block(random: Random, page: int) -> Block:
    kind = random.choice(["heading", "text", "text", "text", "list", "table", "code", "one line"])
    if kind == "heading":
        return Block("heading", random_sentence(random)[: random.randint(1, 80)].strip(), page, random.randint(0, 12))
    if kind == "one line":
        letters = random.choice([list(WITHOUT_SPACES), ["a\u0301\u0323"], list(LETTERS)])
        return Block("text", "".join(random.choices(letters, k=random.randint(1, 3000))), page)
    if kind == "table":
        return Block("table", random_table(random).text, page)
    if kind == "text":
        return Block("text", " ".join(random_sentence(random) for _ in range(random.randint(1, 30))), page)
    before = "- " if kind == "list" else " " * 4 * random.randint(0, 3)
    lines = [before + random_sentence(random) for _ in range(random.randint(1, 40))]
    return Block("list" if kind == "list" else "code", "\n".join(lines), page)


def random_document(seed: int) -> list[Block]:
    """Up to 25 blocks on growing pages."""
    random = Random(seed)
    return [random_block(random, 1 + number // 4) for number in range(random.randint(0, 25))]
