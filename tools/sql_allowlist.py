"""Checks which SQL may run on a tenant's data source, with an allowlist over the parsed statement. All else is refused, and
the SQL that runs is regenerated from the tree, so nothing that the parser skipped reaches Postgres.

Denylists have been bypassed again and again elsewhere (CVE-2026-25879, -50180, -54760). This is one of two barriers; the other
is a read-only role (`data_source.py`).
"""

from collections.abc import Collection, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from tools.errors import ToolRefused

MAX_CHARACTERS = 10_000
ALLOWED_ROOTS = (exp.Select, exp.Union, exp.Intersect, exp.Except, exp.Values)


def _split(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALLOWED_SYNTAX = _split(
    """Select Union Intersect Except Values From Join Where Group Having Order Ordered Limit Offset Distinct With CTE
    Subquery Tuple Table TableAlias Alias Column Star Identifier Literal Null Boolean Paren Var Interval Case If Cast
    DataType DataTypeParam And Or Not EQ NEQ GT GTE LT LTE Is In Between Like ILike NullSafeEQ NullSafeNEQ Escape Exists
    Add Sub Mul Div Mod Neg DPipe Array Bracket Window WindowSpec Filter WithinGroup AtTimeZone JSONExtract
    JSONExtractScalar JSONPath JSONPathKey JSONPathRoot JSONPathSubscript Cube Rollup GroupingSets Any"""
)
"""Nodes allowed in the tree. Missing on purpose: Command, Into, Lock, Dot (a function of another schema, a field of
a row), Operator (an operator of another schema), Lateral, TableSample, strings with escapes, anything that writes."""

ALLOWED_FUNCTIONS = _split(
    """Count Sum Avg Min Max Stddev StddevSamp StddevPop Variance VariancePop Corr CovarSamp CovarPop Median Mode
    PercentileCont PercentileDisc GroupConcat ArrayAgg LogicalAnd LogicalOr RowNumber Rank DenseRank PercentRank CumeDist
    Ntile Lag Lead FirstValue LastValue NthValue Coalesce Nullif Greatest Least Abs Ceil Floor Round Sign Sqrt Exp Ln Log
    Pow Trunc Lower Upper Initcap Length Trim Substring Left Right Replace Concat ConcatWs StrPosition Split SplitPart
    Reverse Extract TimestampTrunc DateTrunc CurrentDate CurrentTimestamp CurrentTime Localtime Localtimestamp TimeToStr
    StrToDate StrToTime ToNumber Date ArraySize"""
)
ALLOWED_FUNCTION_NAMES = frozenset(
    {"age", "date_part", "make_date", "ntile", "cume_dist", "percent_rank", "char_length", "btrim", "width_bucket"}
)
"""Functions for which sqlglot has no class, by name."""

ALLOWED_TYPES = _split(
    """TEXT VARCHAR CHAR BOOLEAN SMALLINT INT BIGINT DECIMAL FLOAT DOUBLE DATE TIME TIMETZ TIMESTAMP TIMESTAMPTZ INTERVAL
    UUID JSON JSONB"""
)


def check_sql(sql: str, tables: Collection[str], *, parameters: Sequence[str] = ()) -> str:
    """Return the statement as it may run on Postgres. `tables` are `schema.table`; `parameters` are names that it may use as
    `:name`, which become `$1`, `$2`, … in order. Raises ToolRefused, which says what to write instead."""
    if len(sql) > MAX_CHARACTERS:
        raise ToolRefused(f"The statement is longer than {MAX_CHARACTERS:,} characters; ask for less at once.")
    if "\x00" in sql:
        raise ToolRefused("The statement contains a NUL character; remove it.")
    try:
        statements = [each for each in sqlglot.parse(sql, dialect="postgres") if each is not None]
        if len(statements) != 1:
            raise ToolRefused("Send exactly one statement.")
        root = statements[0]
        _check(root, {tuple(table.split(".", 1)) for table in tables}, tables)
        return _bind_parameters(root, parameters).sql(dialect="postgres", comments=False)
    except (SqlglotError, RecursionError, ValueError, AttributeError):
        raise ToolRefused("The statement can't be parsed as PostgreSQL, or is nested too deeply.") from None


def _check(root: exp.Expr, allowed: set[tuple[str, ...]], tables: Collection[str]) -> None:
    if not isinstance(root, ALLOWED_ROOTS):
        raise ToolRefused("Only SELECT is allowed: this tool reads data and never changes it.")
    cte_names = {name for cte in root.find_all(exp.CTE) if (name := _folded_name(cte.args["alias"].this))}
    if any(name.startswith("pg_") for name in cte_names) or any(
        node.args.get("recursive") for node in root.find_all(exp.With)
    ):
        raise ToolRefused("WITH must not be recursive, and its names must not start with pg_.")
    for node in root.walk():
        if isinstance(node, exp.Table):
            _check_table(node, allowed, cte_names, tables)
        _check_node(node)


def _check_node(node: exp.Expr) -> None:
    kind = type(node).__name__
    if isinstance(node, exp.Select) and not node.expressions:
        raise ToolRefused("SELECT names no columns; list the ones you need.")
    if isinstance(node, exp.Anonymous):
        if str(node.this).lower() not in ALLOWED_FUNCTION_NAMES:
            raise ToolRefused(f"The function {str(node.this)[:60]} is not allowed.")
    elif isinstance(node, exp.DataType):
        if getattr(node.this, "name", "") not in ALLOWED_TYPES | {"ARRAY"}:
            raise ToolRefused(f"The type {node.sql(dialect='postgres')[:60]} is not allowed.")
    elif isinstance(node, exp.Placeholder):
        return
    elif kind not in ALLOWED_SYNTAX and kind not in ALLOWED_FUNCTIONS:
        what = "function" if isinstance(node, exp.Func) else "syntax"
        raise ToolRefused(f"The {what} {kind} is not allowed; write the query without it.")


def _check_table(node: exp.Table, allowed: set[tuple[str, ...]], cte_names: set[str], tables: Collection[str]) -> None:
    """A table must be one of the data source's, with its schema, or a CTE. With an empty search_path any other unqualified name
    could only be in pg_catalog, where names start with pg_."""
    extra = {key for key, value in node.args.items() if value} - {"this", "db", "alias", "joins"}
    if isinstance(node.this, exp.Identifier) and not extra:
        name, schema = _folded_name(node.this), node.args.get("db")
        if schema is None and name in cte_names:
            return
        if isinstance(schema, exp.Identifier) and (_folded_name(schema), name) in allowed:
            return
    listed = ", ".join(sorted(tables)[:30]) or "none"
    raise ToolRefused(
        f"{node.sql(dialect='postgres')[:80]} can't be read. Available tables: {listed}. Write them with their schema."
    )


def _folded_name(identifier: exp.Expr) -> str:
    """The name as Postgres reads it: as written if quoted, else in lower case."""
    return identifier.name if identifier.args.get("quoted") else identifier.name.lower()


def _bind_parameters(root: exp.Expr, parameters: Sequence[str]) -> exp.Expr:
    """The tree with `:name` as `$1`. Raises ToolRefused for a name that is not among the parameters."""
    numbers = {name: number for number, name in enumerate(parameters, 1)}
    for node in list(root.find_all(exp.Placeholder)):
        if str(node.this) not in numbers:
            raise ToolRefused(f"The statement uses :{str(node.this)[:60]}, which is not among its parameters.")
        node.replace(exp.Parameter(this=exp.Literal.number(numbers[str(node.this)])))
    return root
