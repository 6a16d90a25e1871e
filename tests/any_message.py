"""Messages of a service as somebody hostile might change them, and saying them all."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

from node.net.link import LinkClosed

# Values at the edges of their types, where a rule may have been forgotten.
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_UINT32: st.sampled_from([0, 1, 3, 255, 256, 2**31, 2**32 - 1]),
    FieldDescriptor.CPPTYPE_UINT64: st.sampled_from([0, 1, 2, 20_000, 2**63 - 1, 2**63, 2**64 - 1]),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_ENUM: st.sampled_from([-(2**31), -1, 0, 1, 2, 3, 77, 2**31 - 1]),
    FieldDescriptor.CPPTYPE_STRING: st.sampled_from(["", "a\n\x1b[2J", "a" * 100_000]),
}
_BYTES = st.sampled_from([b"", b"short", bytes(30), bytes(32), bytes([255]) * 32, bytes(5_000)])


def changed(draw: st.DrawFn, message: Any) -> Any:
    """Change one field somewhere in a message, in place; entries come, go, or change too."""
    field = draw(st.sampled_from(list(message.DESCRIPTOR.fields)))
    is_message = field.type == FieldDescriptor.TYPE_MESSAGE
    value = getattr(message, field.name)
    if is_message and field.is_repeated:
        if value and draw(st.booleans()):
            changed(draw, value[draw(st.integers(0, len(value) - 1))])
        elif value and draw(st.booleans()):
            del value[-1]
        else:
            value.add()
    elif is_message:
        value.SetInParent()
        if value.DESCRIPTOR.fields:
            changed(draw, value)
    elif field.type == FieldDescriptor.TYPE_BYTES and field.is_repeated:
        value[:] = draw(st.lists(_BYTES, max_size=3))
    elif field.type == FieldDescriptor.TYPE_BYTES:
        setattr(message, field.name, draw(_BYTES))
    elif field.is_repeated:
        value[:] = draw(st.lists(_SCALARS[field.cpp_type], max_size=3))
    else:
        setattr(message, field.name, draw(_SCALARS[field.cpp_type]))
    return message


@st.composite
def message_of(draw: st.DrawFn, examples: list[Any]) -> Any:
    """One of the messages, with up to two changes."""
    message = type(examples[0])()
    message.CopyFrom(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(0, 2))):
        which = message.WhichOneof("content")
        # Mostly within what it is, or nearly every message would be of another kind.
        inner = getattr(message, which) if which else message
        changed(draw, inner if inner.DESCRIPTOR.fields and draw(st.integers(0, 9)) else message)
    return message


async def swallow(link: Any, messages: list[Any]) -> None:
    """Say all this, a little apart, whatever the other side makes of it."""
    try:
        for message in messages:
            await link.send(message)
        while True:
            await link.receive()
    except LinkClosed:
        pass
