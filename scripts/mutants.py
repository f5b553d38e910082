"""What a mutant is: one small change to a file that a test should notice.

Comparisons and their boundary neighbours, arithmetic, the order of arguments, minimum for maximum,
conditions and their negation, numbers, members of enums, statements that are gone, returns that
return something else, slices, in-place targets. Texts and types are left as they are.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], list[type[ast.cmpop]]] = {
    ast.Lt: [ast.LtE, ast.GtE, ast.NotEq],
    ast.LtE: [ast.Lt, ast.Gt, ast.Eq],
    ast.Gt: [ast.GtE, ast.LtE, ast.NotEq],
    ast.GtE: [ast.Gt, ast.Lt, ast.Eq],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
}
ARITHMETIC: dict[type[ast.operator], list[type[ast.operator]]] = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add, ast.Mult],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult, ast.Sub],
    ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.Mult],
    ast.Pow: [ast.Mult],
}
TWINS = (
    "min max", "minimum maximum", "argmin argmax", "add subtract", "multiply divide", "any all",
    "lower upper", "_kp _kd", "zeros ones", "_previous _anchor", "_scale_ns _hold_ns",
    "_joint_hold_ns _joint_damp_ns", "_damp_ns _off_ns",
)  # fmt: skip
SWAPPED = {a: b for twins in TWINS for a, b in (twins.split(), reversed(twins.split()))}
COMMUTATIVE = {"min", "max", "minimum", "maximum", "add", "multiply"}
UNWRAPPED = {"abs", "smooth", "all_finite", "isfinite"}
Enums = dict[str, list[str]]


class Mutant(NamedTuple):
    """One change: where, what, and the whole file with it."""

    file: str
    line: int
    function: str
    change: str
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it while lines move."""
        return self.file, self.function, self.change


def enums_of(paths: list[Path]) -> Enums:
    """Members of each IntEnum, in order."""
    return {
        node.name: [target.id for member in node.body if isinstance(member, ast.Assign)
                    for target in member.targets if isinstance(target, ast.Name)]
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and [ast.unparse(b) for b in node.bases] == ["IntEnum"]
    }  # fmt: skip


def changed(node: ast.expr, enums: Enums) -> Iterator[ast.expr]:  # noqa: PLR0912
    """Every neighbour of one expression."""
    match node:
        case ast.Compare(left, ops, others):
            for place, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield ast.Compare(left, [*ops[:place], other(), *ops[place + 1 :]], others)
        case ast.BinOp(left, op, right):
            for operator in ARITHMETIC[type(op)]:
                yield ast.BinOp(left, operator(), right)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            yield from values
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.IfExp(test, body, orelse):
            yield from (ast.IfExp(test, orelse, body), body, orelse)
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield from map(ast.Constant, dict.fromkeys((value + 1, value - 1, value * 2)))
        case ast.Attribute(ast.Name(enum), member) if enum in enums:
            members = enums[enum]
            for step in (1, -1):
                near = members[(members.index(member) + step) % len(members)]
                yield ast.Attribute(ast.Name(enum), near)
        case ast.Attribute(value, name) if name in SWAPPED:
            yield ast.Attribute(value, SWAPPED[name])
        case ast.Name(name) if name in SWAPPED:
            yield ast.Name(SWAPPED[name])
        case ast.Subscript(value, ast.Slice(None, None, None)):
            yield value
        case ast.Subscript(value):
            yield ast.Subscript(value, ast.Slice())
        case ast.Tuple(parts_of, ast.Load()) if len(parts_of) > 1:
            for place in range(len(parts_of)):
                yield ast.Tuple([*parts_of[:place], *parts_of[place + 1 :]])
        case ast.Call(func, args, keywords):
            name = ast.unparse(func).rpartition(".")[2]
            if name in UNWRAPPED:
                yield args[0]
            for place in range(len(args) - 1 if name not in COMMUTATIVE else 0):
                a, b = args[place : place + 2]
                yield ast.Call(func, [*args[:place], b, a, *args[place + 2 :]], keywords)
            if len(args) > 2:
                yield ast.Call(func, args[:-1], keywords)
            for place in range(len(keywords)):
                yield ast.Call(func, args, keywords[:place] + keywords[place + 1 :])


def rewritten(node: ast.stmt, returns: list[ast.Return]) -> Iterator[ast.stmt]:
    """Every neighbour of one statement: gone, told to return something else, turned round."""
    match node:
        case ast.Assign() | ast.AnnAssign(value=ast.expr()) | ast.Raise():
            yield ast.Pass()
        case ast.Expr(ast.Call()):
            yield ast.Pass()
        case ast.AugAssign(target, op, value):
            yield ast.Pass()
            yield from (ast.AugAssign(target, other(), value) for other in ARITHMETIC[type(op)])
            yield ast.Assign([target], value, lineno=0)
        case ast.Return(value):
            place = returns.index(node)
            yield ast.Pass()
            near = returns[(place + 1) % len(returns)].value
            if value is not None and near is not None and ast.dump(near) != ast.dump(value):
                yield ast.Return(near)
        case ast.If(test, body, orelse):
            for other in (ast.UnaryOp(ast.Not(), test), ast.Constant(True), ast.Constant(False)):
                yield ast.If(other, body, orelse)


def names_a_type(node: ast.AST) -> bool:
    """Float64 = npt.NDArray[np.float64] and its like."""
    return isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("npt.NDArray")


def parts(
    node: ast.AST, inside: str, returns: list[ast.Return]
) -> Iterator[tuple[ast.AST, str, list[ast.Return]]]:
    """Every node that runs, with the function it stands in and all that function's returns."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "format_spec", "decorator_list", "bases", "ctx"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or names_a_type(child):
                continue
            here, found = inside, returns
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                here = f"{inside}.{child.name}".lstrip(".")
                found = [n for n in ast.walk(child) if isinstance(n, ast.Return)]
            yield child, here, found
            yield from parts(child, here, found)


def mutants_of(path: Path, enums: Enums) -> list[Mutant]:
    """All mutants of one file, no two alike."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: dict[str, Mutant] = {}
    alike: Counter[tuple[str, str]] = Counter()
    for node, inside, returns in parts(tree, "", []):
        new: list[ast.AST] = []
        if isinstance(node, ast.expr):
            new += changed(node, enums)
        elif isinstance(node, ast.stmt):
            new += rewritten(node, returns)
        for other in new:
            # The copy takes `other` wherever the original has `node`.
            source = ast.unparse(copy.deepcopy(tree, {id(node): other})) + "\n"
            before, after = (ast.unparse(part).split("\n")[0] for part in (node, other))
            change = f"{before}  →  {after}"
            alike[inside, change] += 1
            if (times := alike[inside, change]) > 1:
                change += f"  ({times})"
            found.setdefault(
                source, Mutant(path.name, getattr(node, "lineno", 0), inside, change, source)
            )
    found.pop(ast.unparse(tree) + "\n", None)
    return list(found.values())
