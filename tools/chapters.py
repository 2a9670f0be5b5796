"""Print what each chapter holds and costs: `make chapters`.

The columns: words of prose; lines of code; minutes a reader needs (200 words or two lines of
unfolded code per minute, five minutes per exercise); seconds that its notebook took in the last
build, from the build's cache; kilobytes of the page's own content; interactive figures; questions
to predict first; exercises; questions of the quiz, with the position of the right option in each.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COLUMNS = ("words", "code", "min", "s", "kB", "figures", "predict", "exercises", "quiz")

QUESTION = re.compile(r"^\*\*\d+\. ", re.MULTILINE)
OPTION = re.compile(r"<details><summary>.*?</summary>\s*(.*?)</details>", re.DOTALL)


def read_toc(root=ROOT):
    """The chapters in the order of the table of contents, as paths without suffix."""
    names = re.findall(r"(?:root|file): (\S+)", (root / "_toc.yml").read_text())
    return [name for name in names if (root / name).with_suffix(".ipynb").exists()]


def count_words(text):
    """Words of prose in Markdown: no code blocks, formulas, tags or targets of links."""
    for pattern in ("```.*?```", r"\$\$.*?\$\$|\$[^$\n]*\$", r"<[^>]*>", r"\]\([^)]*\)"):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    return len(re.findall(r"\w[\w'’-]*", text))


def right_options(text):
    """For each question of a quiz, which of its options says yes, counted from 1; 0 for none."""
    quiz = text.partition("\n## Quiz")[2]
    positions = []
    for question in QUESTION.split(quiz)[1:]:
        answers = OPTION.findall(question)
        right = [n for n, answer in enumerate(answers, 1) if answer.startswith("Yes")]
        positions.append(right[0] if len(right) == 1 else 0)
    return positions


def describe(notebook):
    """What a chapter holds, by column; `quiz` is a list of positions."""
    cells = notebook["cells"]
    text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    programs = [c for c in cells if c["cell_type"] == "code"]
    code = "\n".join("".join(c["source"]) for c in programs)
    read = [c for c in programs if "hide-input" not in c.get("metadata", {}).get("tags", [])]
    words, lines, lines_read = count_words(text), _count_lines(programs), _count_lines(read)
    exercises = len(re.findall(r"^### Exercise", text, re.MULTILINE))
    return {
        "words": words,
        "code": lines,
        "min": round(words / 200 + lines_read / 2 + 5 * exercises),
        "figures": len(re.findall(r"(?<!def )\bexplore\(", code)),
        "predict": len(re.findall(r"predict first", text, re.IGNORECASE)),
        "exercises": exercises,
        "quiz": right_options(text),
    }


def _count_lines(cells):
    return sum(bool(line.strip()) for c in cells for line in "".join(c["source"]).splitlines())


def seconds_of(root=ROOT):
    """Seconds that each notebook took in the last build, by path; empty without a build."""
    folders = sorted((root / "_build" / ".jupyter_cache").glob("*/global.db"))
    if not folders:
        return {}
    from jupyter_cache import get_cache

    records = get_cache(folders[-1].parent).list_cache_records()
    return {record.uri: record.data.get("execution_seconds") for record in records}


def weigh(page):
    """Bytes of a page's own content: what lies in its article, and the images named there."""
    article = re.search(r"<article.*</article>", page.read_text(), re.DOTALL)[0]
    images = {page.parent / name for name in re.findall(r'src="([^":]+)"', article)}
    return len(article.encode()) + sum(path.stat().st_size for path in images if path.exists())


def main(root=ROOT):
    """Print the table."""
    seconds, names = seconds_of(root), read_toc(root)
    width = max(map(len, names), default=0)
    print(" " * width, *(f"{column:>9}" for column in COLUMNS))
    for name in names:
        row = describe(json.loads((root / name).with_suffix(".ipynb").read_text()))
        took = [s for path, s in seconds.items() if Path(path).with_suffix("").match(name)]
        page = (root / "_build" / "html" / name).with_suffix(".html")
        row["s"] = f"{took[-1]:.1f}" if took and took[-1] is not None else "-"
        row["kB"] = f"{weigh(page) / 1000:.0f}" if page.exists() else "-"
        positions = " ".join(map(str, row["quiz"]))
        row["quiz"] = len(row["quiz"])
        print(f"{name:{width}}", *(f"{row[column]:>9}" for column in COLUMNS), f"  ({positions})")


if __name__ == "__main__":
    sys.exit(main())
