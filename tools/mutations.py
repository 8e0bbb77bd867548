"""The deliberate mistakes of tools/mutate.py: what can be wrong in a line of a kernel header.

A mutant is one mistake. Some come as a ladder of changes, smallest first: nobody can see that the
last coefficient of a polynomial is wrong in its last digit, but the tests must see it when it is
half as large again. Code is expected as clang-format leaves it: spaces around binary operators
only.

A mistake that changes no result is declared in tools/mutation_equivalent.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Change:
    """Put `text` in place of source[start:end]."""

    start: int
    end: int
    text: str

    def apply(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]


@dataclass(frozen=True)
class Mutant:
    line: int
    kind: str
    changes: tuple[Change, ...]
    equivalent: str | None  # the reason, if it is declared to change no result


OPERATORS = {
    "arithmetic": {"+": "-", "-": "+", "*": "/", "/": "*"}
    | {"+=": "-=", "-=": "+=", "*=": "/=", "/=": "*="},
    "direction": {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "!=", "!=": "=="},
    "boundary": {"<": "<=", ">": ">=", "<=": "<", ">=": ">"},
    "logic": {"&&": "||", "||": "&&", "&": "|", "|": "&", "<<": ">>", ">>": "<<"},
}
BINARY_OPERATOR = re.compile(r"(?<= )(?:[-+*/]=?|[<>=!]=|<<|>>|[<>]|&&?|\|\|?)(?=[ \n])")
NUMBER = re.compile(
    r"(?<![\w.])(?:0x[\da-fA-F]+(?:\.[\da-fA-F]*)?(?:p[-+]?\d+)?|\d+(?:\.\d*)?(?:e[-+]?\d+)?)(?![\w.])"
)
# kind, what to look for, what to put there
REPLACEMENTS = [
    ("sign", re.compile(r"(?<=[ (\[{])-(?=[\w(])"), ""),
    ("ternary", re.compile(r"(?<= )\?(?=[ \n])"), "== false ?"),  # swaps the two branches
    ("truth", re.compile(r"\btrue\b"), "false"),
    ("truth", re.compile(r"\bfalse\b"), "true"),
    ("truth", re.compile(r"(?<![\w)])!(?=[\w(])"), ""),
    ("half", re.compile(r"(?<=\.)high\b"), "low"),
    ("half", re.compile(r"(?<=\.)low\b"), "high"),
    ("call", re.compile(r"\bstd::fabs(?=\()"), ""),
]
# A value that is computed and not used: the declaration gets an empty one, the assignment goes.
TYPE = r"static|constexpr|const|double|bool|float|u?int\w*|DoubleDouble|ValueAndDerivatives"
DECLARATION = re.compile(rf"^ *(?:(?:{TYPE}) )+\w+( = [^;]+);", re.M)
ASSIGNMENT = re.compile(r"(?<=[;{}\n)]) *([\w.]+(?:\[\w+\])? (?:[-+*/|&]|<<|>>)?= [^;]+);")
RETURN = re.compile(r"(?<=\breturn )([^;]+);")
CALL = re.compile(r"\b(fma|copysign|if|if constexpr) ?\(")
DECLARED = Path(__file__).with_name("mutation_equivalent.toml")
# For one header: why the mistakes of a kind in an expression change no result.
Reasons = Mapping[str, Mapping[str, str]]


def declared() -> dict[str, Reasons]:
    """The mistakes that change no result, by header in src/kernels."""
    return tomllib.loads(DECLARED.read_text())


def mutants(source: str, reasons: Reasons) -> list[Mutant]:
    """Every mutant of a header, in the order of its lines."""
    code = _without_comments(source)
    places = [(span, reasons[expression]) for expression, span in _places(code, reasons)]

    def mutant(kind: str, changes: tuple[Change, ...]) -> Mutant:
        start = changes[0].start
        why = [kinds.get(kind) for (begin, end), kinds in places if begin <= start < end]
        return Mutant(code.count("\n", 0, start) + 1, kind, changes, next(filter(None, why), None))

    found = [mutant(kind, changes) for kind, changes in _mistakes(code) if changes]
    return sorted(found, key=lambda mutant: (mutant.line, mutant.changes[0].start))


def unmatched(source: str, reasons: Reasons) -> Iterator[str]:
    """The declarations for this header that no mistake in it matches."""
    for expression, kinds in reasons.items():
        for kind, reason in kinds.items():
            found = mutants(source, {expression: {kind: reason}})
            if not any(mutant.equivalent for mutant in found):
                yield f"{kind} in {expression}"


def lines_of_code(source: str) -> set[int]:
    """The numbers of the lines where a mistake could be made: not those that only name or close."""
    code = _without_comments(source).splitlines()
    structure = re.compile(
        r"[\s{}();]*|.*\{\s*|.*\b(?:namespace|struct|template)\b.*|\s*(?:private|public):"
    )
    return {number for number, line in enumerate(code, 1) if not structure.fullmatch(line)}


def _without_comments(source: str) -> str:
    """The source with blanks for comments, preprocessor lines and strings, every place kept."""
    return re.sub(
        r"//[^\n]*|/\*.*?\*/|^#[^\n]*|\"[^\"\n]*\"",
        lambda match: re.sub(r"[^\n]", " ", match[0]),
        source,
        flags=re.M | re.S,
    )


def _places(code: str, reasons: Reasons) -> Iterator[tuple[str, tuple[int, int]]]:
    """Where the expressions occur, whatever the white space between their words."""
    for expression in reasons:
        pattern = r"\s+".join(map(re.escape, expression.split()))
        for match in re.finditer(pattern, code):
            yield expression, match.span()


def _mistakes(code: str) -> Iterator[tuple[str, tuple[Change, ...]]]:
    for match in NUMBER.finditer(code):
        start, end = match.span()
        yield "constant", tuple(Change(start, end, text) for text in _other_numbers(match[0]))
    for match in BINARY_OPERATOR.finditer(code):
        for kind, others in OPERATORS.items():
            if match[0] in others:
                yield kind, (Change(*match.span(), others[match[0]]),)
    for kind, pattern, replacement in REPLACEMENTS:
        for match in pattern.finditer(code):
            yield kind, (Change(*match.span(), replacement),)
    for match in DECLARATION.finditer(code):
        yield "unused", (Change(*match.span(1), " = {}"),)
    for pattern, replacement in ((ASSIGNMENT, ""), (RETURN, "{}")):
        for match in pattern.finditer(code):
            yield "unused", (Change(*match.span(1), replacement),)
    for match in CALL.finditer(code):
        arguments = _arguments(code, match.end())
        if match[1] == "fma":
            for start, end in (arguments[0], arguments[2]):
                yield "sign", (Change(start, end, f"-({code[start:end]})"),)
        elif match[1] == "copysign":
            yield "sign", (Change(*arguments[1], "1.0"),)
        else:
            start, end = arguments[0]
            yield "truth", (Change(start, end, f"!({code[start:end]})"),)


def _other_numbers(literal: str) -> list[str]:
    """Wrong numbers, from hardly to entirely."""
    if re.fullmatch(r"\d+|0x[\da-fA-F]+", literal):
        number = int(literal, 0)
        spell = hex if literal.startswith("0x") else str
        return [spell(other) for other in (number + 1, number // 2) if other != number]
    value = float.fromhex(literal) if literal.startswith("0x") else float(literal)
    return [(value * factor).hex() for factor in (1 + 2**-20, 1.5, -1)]


def _arguments(code: str, start: int) -> list[tuple[int, int]]:
    """Where the arguments of a call are, whose opening parenthesis ends at `start`."""
    arguments, depth, at = [], 1, start
    while depth:
        depth += (code[at] in "([{") - (code[at] in ")]}")
        if depth == 0 or (depth == 1 and code[at] == ","):
            arguments.append((start, at))
            start = at + 1
        at += 1
    return [(begin + _indent(code[begin:end]), end) for begin, end in arguments]


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())
