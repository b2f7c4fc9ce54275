"""The drawing of a context's life, `docs/lifecycle.svg`, made from the table in `lifecycle.py`.

`python -m tools.lifecycle` fails when the drawing is not the table's; `--write` draws it anew. The
table says which arrows there are and where each one leads. Where things stand, and the few words
beside an arrow, are said here, and each must be said: a transition without words is an error.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape

from demijohn.context.lifecycle import TABLE, Event, State
from tools.proof import ROOT

DRAWING = ROOT / "docs" / "lifecycle.svg"
WIDTH, HEIGHT = 1000, 424
BOX = (156, 66)
"""Width and height of a state."""
LINE = 17
"""From one line of text to the next."""

STATES: dict[State, tuple[int, int, str]] = {
    State.NEW: (96, 158, "made, never current"),
    State.CURRENT: (356, 158, "its owner's work"),
    State.HELD: (500, 328, "a stream needs it"),
    State.ENDING: (644, 158, "teardown, closing"),
    State.ENDED: (904, 158, "plain data only"),
}
"""Where the middle of each state is, and the words under its name."""

NORMALS = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}


@dataclass(frozen=True)
class Arrow:
    """How the arrow of one transition is drawn.

    It leaves its state on a side, `shift` from that side's middle, and arrives likewise. `reach` is
    how far it goes straight out before it bends.
    """

    words: tuple[str, ...]
    at: tuple[int, int]
    """Where the first line of the words is, by `anchor`."""
    leaves: str = "right"
    arrives: str = "left"
    shifts: tuple[int, int] = (0, 0)
    reach: int = 30
    anchor: str = "middle"
    strong: bool = False


ARROWS: dict[tuple[State, Event], Arrow] = {
    (State.NEW, Event.BEGIN): Arrow(("first push:", "its owner"), (226, 131), strong=True),
    (State.CURRENT, Event.BORROW): Arrow(
        ("nested push:", "a borrower"),
        (316, 254),
        leaves="bottom",
        arrives="bottom",
        shifts=(-58, -22),
        reach=44,
    ),
    (State.CURRENT, Event.END): Arrow(("owner's pop",), (500, 148), strong=True),
    (State.CURRENT, Event.LEAVE): Arrow(
        ("owner's pop,", "a stream goes on"),
        (404, 226),
        leaves="bottom",
        shifts=(36, 0),
        reach=74,
        anchor="start",
    ),
    (State.HELD, Event.BORROW): Arrow(
        ("a step of the stream",),
        (544, 390),
        leaves="bottom",
        arrives="bottom",
        shifts=(-20, 20),
        reach=44,
        anchor="start",
    ),
    (State.HELD, Event.END): Arrow(
        ("last holder", "lets go"),
        (598, 254),
        arrives="bottom",
        shifts=(0, -36),
        reach=64,
        anchor="end",
    ),
    (State.ENDING, Event.BORROW): Arrow(
        ("nested push",),
        (684, 254),
        leaves="bottom",
        arrives="bottom",
        shifts=(22, 58),
        reach=44,
    ),
    (State.ENDING, Event.OVER): Arrow(("all of it", "has run"), (774, 131), strong=True),
    (State.ENDED, Event.BEGIN): Arrow(
        ("a push begins a successor: a new life, with an end of its own, on the same object",),
        (630, 30),
        leaves="top",
        arrives="top",
        reach=104,
    ),
}

STYLE = """\
.paper { fill: #ffffff; stroke: #d0d7de }
.state { fill: #eef2f7; stroke: #57606a; stroke-width: 1.5 }
.name { font-weight: 600; font-size: 15px }
text { fill: #1f2328; font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
.words { fill: #4b5563 }
path { fill: none; stroke: #57606a; stroke-width: 1.5 }
path.strong { stroke: #0a58ca; stroke-width: 2.5 }
.head { fill: #57606a; stroke: none }
.head.strong { fill: #0a58ca }
@media (prefers-color-scheme: dark) {
  .paper { fill: #0d1117; stroke: #30363d }
  .state { fill: #1c2430; stroke: #8b949e }
  text { fill: #e6edf3 }
  .words { fill: #b3bcc7 }
  path { stroke: #8b949e }
  path.strong { stroke: #6cb0ff }
  .head { fill: #8b949e }
  .head.strong { fill: #6cb0ff }
}"""


def port(state: State, side: str, shift: int) -> tuple[int, int]:
    """Return a point on the edge of a state's box."""
    x, y, _ = STATES[state]
    nx, ny = NORMALS[side]
    return x + nx * BOX[0] // 2 + abs(ny) * shift, y + ny * BOX[1] // 2 + abs(nx) * shift


def drawn_arrow(state: State, event: Event) -> str:
    """Return the curve of a transition, its head and its words."""
    arrow = ARROWS[state, event]
    x1, y1 = port(state, arrow.leaves, arrow.shifts[0])
    x4, y4 = port(TABLE[state, event], arrow.arrives, arrow.shifts[1])
    (nx1, ny1), (nx4, ny4) = NORMALS[arrow.leaves], NORMALS[arrow.arrives]
    # The line ends where the head begins, so that its end does not stick out in front.
    x3, y3 = x4 + 9 * nx4, y4 + 9 * ny4
    kind = ' class="strong"' if arrow.strong else ""
    curve = (
        f"M {x1} {y1} C {x1 + arrow.reach * nx1} {y1 + arrow.reach * ny1}"
        f" {x3 + arrow.reach * nx4} {y3 + arrow.reach * ny4} {x3} {y3}"
    )
    tip = f"{x4},{y4} {x4 + 11 * nx4 + 5 * ny4},{y4 + 11 * ny4 + 5 * nx4}"
    tip += f" {x4 + 11 * nx4 - 5 * ny4},{y4 + 11 * ny4 - 5 * nx4}"
    head = "head strong" if arrow.strong else "head"
    lines = [f'<path{kind} d="{curve}"/>', f'<polygon class="{head}" points="{tip}"/>']
    for number, words in enumerate(arrow.words):
        x, y = arrow.at[0], arrow.at[1] + number * LINE
        lines.append(
            f'<text class="words" x="{x}" y="{y}" text-anchor="{arrow.anchor}">'
            f"{escape(words, quote=False)}</text>"
        )
    return "\n".join(lines)


def drawn_state(state: State) -> str:
    """Return the box of a state with its name."""
    x, y, words = STATES[state]
    left, top = x - BOX[0] // 2, y - BOX[1] // 2
    return (
        f'<rect class="state" x="{left}" y="{top}" width="{BOX[0]}" height="{BOX[1]}" rx="8"/>\n'
        f'<text class="name" x="{x}" y="{y - 5}" text-anchor="middle">{state.name}</text>\n'
        f'<text x="{x}" y="{y + 15}" text-anchor="middle">{escape(words, quote=False)}</text>'
    )


def described() -> str:
    """Return the table in sentences, for who does not see the drawing."""
    sentences = [
        f"From {state.name} to {after.name}: {' '.join(ARROWS[state, event].words)}."
        for (state, event), after in TABLE.items()
    ]
    return " ".join(sentences)


def drawing() -> str:
    """Return the drawing. Raises `ValueError` where this file and the table do not agree."""
    if set(STATES) != set(State) or set(ARROWS) != set(TABLE):
        raise ValueError(
            "tools/lifecycle.py does not draw the states and transitions of lifecycle.py:"
            f" {sorted(set(State) ^ set(STATES))} {sorted(set(TABLE) ^ set(ARROWS))}"
        )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="title desc">',
        "<!-- Made by tools/lifecycle.py. -->",
        '<title id="title">The life of a context</title>',
        f'<desc id="desc">{escape(described(), quote=False)}</desc>',
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>',
        *(drawn_arrow(*transition) for transition in TABLE),
        *map(drawn_state, State),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    """Write the drawing, or fail where it is not the table's."""
    if arguments == ["--write"]:
        DRAWING.write_text(drawing())
    elif not DRAWING.exists() or DRAWING.read_text() != drawing():
        print("docs/lifecycle.svg is not lifecycle.py's: `python -m tools.lifecycle --write`.")
        return 1
    print("docs/lifecycle.svg shows the table of lifecycle.py.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
