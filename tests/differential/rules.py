"""URL rules: pieces with converters, values that fit them and values that do not."""

from __future__ import annotations

from dataclasses import dataclass

from .chooser import Chooser


@dataclass(frozen=True)
class Piece:
    """A piece of a rule between two slashes; `{}` in `text` is the variable's name."""

    feature: str
    text: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    values: tuple[str, ...] = ()
    """Source of values for `url_for`."""


UUID = "12345678-1234-5678-1234-567812345678"
LITERALS = (
    Piece("rule: literal", "one", ("one",), ("ONE", "on", "one1")),
    Piece("rule: literal", "tw%o é", ("tw%o é",), ("two",)),
    Piece("rule: literal", "a.b-c", ("a.b-c",), ("a.b",)),
)
PIECES = (
    Piece("converter: string", "<{}>", ("x", "é ü", "a%b"), ("x/y", ""), ("'x y'", "'é'")),
    Piece("converter: int", "<int:{}>", ("7", "007"), ("x", "-7", "7.0"), ("7", "'8'")),
    Piece("converter: float", "<float:{}>", ("1.5", "0.25"), ("1", "x"), ("1.5",)),
    Piece("converter: path", "<path:{}>", ("p/q", "p", "p//q"), ("",), ("'p/q r'",)),
    Piece("converter: uuid", "<uuid:{}>", (UUID,), ("1234", UUID[1:]), (f"uuid.UUID('{UUID}')",)),
    Piece("converter: any", "<any(red, green):{}>", ("red", "green"), ("blue",), ("'red'",)),
    Piece("converter: custom", "<even:{}>", ("4", "20"), ("5", "x"), ("6",)),
    Piece(
        "converter: string with length", "<string(length=2):{}>", ("ab",), ("a", "abc"), ("'ab'",)
    ),
    Piece("converter: int with limits", "<int(min=2, max=9):{}>", ("2", "9"), ("1", "10"), ("5",)),
    Piece("converter: signed", "<int(signed=True):{}>", ("-3", "3"), ("--3",), ("-3",)),
)


def draw_pieces(choose: Chooser, number: int) -> list[tuple[Piece, str]]:
    """The pieces of a rule, each with the name of its variable; the first one tells rules apart."""
    unlike = Piece("rule: literal", f"r{number}", (f"r{number}",), (f"R{number}", f"r{number}x"))
    pieces = [(unlike, "")]
    for letter in "ab"[: choose.number(0, 2)]:
        literal = choose.chance(20)
        pieces.append((choose.one(LITERALS if literal else PIECES), letter))
    return pieces


def rule_of(pieces: list[tuple[Piece, str]], slash: bool) -> str:
    """The rule's text."""
    text = "".join(f"/{piece.text.format(name)}" for piece, name in pieces)
    return text + "/" if slash else text


def good_path(choose: Chooser, pieces: list[tuple[Piece, str]], slash: bool) -> str:
    """A path that matches."""
    path = "".join(f"/{choose.one(piece.good)}" for piece, _ in pieces)
    return path + "/" if slash else path


def bad_path(choose: Chooser, pieces: list[tuple[Piece, str]], slash: bool) -> str:
    """A path with one piece that does not fit."""
    wrong = choose.number(0, len(pieces) - 1)
    parts = [
        choose.one(piece.bad if number == wrong else piece.good)
        for number, (piece, _) in enumerate(pieces)
    ]
    path = "".join(f"/{part}" for part in parts)
    return path + "/" if slash else path


NEAR = {
    "path: slash added or taken away": lambda path: path[:-1] if path.endswith("/") else path + "/",
    "path: doubled slash": lambda path: path.replace("/", "//", 1) if len(path) > 2 else "//",
    "path: doubled slash inside": lambda path: "/" + path[1:].replace("/", "//", 1),
    "path: more than the rule": lambda path: path.rstrip("/") + "/more",
    "path: less than the rule": lambda path: path.rstrip("/").rpartition("/")[0] or "/",
    "path: in capitals": str.upper,
}
"""Ways to miss a rule by little."""
