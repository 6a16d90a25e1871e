"""Decoded answers of a node as tables for people.

One walk over any answer's fields serves every query: single values become a list of labels, lists
of messages become tables. A field added to the protocol shows up by itself.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

# A FieldDescriptor: the library's C implementation has a type of its own.
_Field = Any

_NUMBERS = {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
# A table row holds several ids of 64 characters; the ends are enough to tell them apart.
_LONGEST_CELL = 20
_HEAD, _TAIL = 10, 6
# Messages with more fields are shown as cards side by side, each with its labels.
_MOST_COLUMNS = 7


def render(message: Message) -> RenderableType:
    """A view of a message: its single values first, then its parts in the order of the protocol."""
    values = _grid()
    parts: list[RenderableType] = []
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            parts.extend(_list(field, value))
        elif field.message_type is None:
            values.add_row(_label(field), _value(message, field))
        elif message.HasField(field.name):
            parts += [_heading(field), Padding(render(value), (0, 0, 0, 2))]
    return Group(values, *parts) if values.row_count else Group(*parts)


def shorten(text: str) -> str:
    """Both ends of an id or address that is too long for a cell; other text unchanged."""
    is_long = len(text) > _LONGEST_CELL and " " not in text
    return f"{text[:_HEAD]}…{text[-_TAIL:]}" if is_long else text


def _list(field: _Field, items: Any) -> Iterator[RenderableType]:
    if not items:
        yield Text.assemble((_label(field), "dim"), "  none")
        return
    yield _heading(field)
    columns = field.message_type.fields
    rows = [[_cell(item, column) for column in columns] for item in items]
    if len(columns) > _MOST_COLUMNS:
        yield Padding(Columns([_card(columns, row) for row in rows], padding=(1, 4)), (0, 0, 0, 2))
        return
    table = Table(header_style="dim", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        is_number = not column.is_repeated and column.cpp_type in _NUMBERS
        table.add_column(_label(column), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*row)
    yield Padding(table, (0, 0, 0, 2))


def _card(fields: Sequence[_Field], values: Sequence[str]) -> Table:
    card = _grid()
    for field, value in zip(fields, values, strict=True):
        card.add_row(_label(field), value)
    return card


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _cell(message: Message, field: _Field) -> str:
    if not field.is_repeated:
        return shorten(_value(message, field))
    items = getattr(message, field.name)
    if field.message_type is None:
        return ", ".join(shorten(_scalar(field, item)) for item in items)
    inner = field.message_type.fields
    return ", ".join(" ".join(_cell(item, part) for part in inner) for item in items)


def _value(message: Message, field: _Field) -> str:
    """A single value; what is optional and unset is not shown as zero."""
    if field.has_presence and field.message_type is None and not message.HasField(field.name):
        return "unknown"
    return _scalar(field, getattr(message, field.name))


def _scalar(field: _Field, value: Any) -> str:
    if field.enum_type is not None and (known := field.enum_type.values_by_number.get(value)):
        # PHASE_TRAIN of enum Phase reads "train".
        name = str(known.name).removeprefix(f"{field.enum_type.name.upper()}_")
        return name.lower().replace("_", " ")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _label(field: _Field) -> str:
    return str(field.name).replace("_", " ")


def _heading(field: _Field) -> Text:
    return Text(_label(field), style="bold")
