"""The node's log: one event a line, as text for people or JSON for machines.

A module logs through `structlog.get_logger("net")`. Event names (`block_applied`) are stable; what
varies goes into fields. Bytes are written as hexadecimal. Secrets are never fields: keys and
passphrases stay inside their types. Traces name lines only: with the values of variables they would
show secrets, and take seconds in which a node does nothing else.
"""

import logging
from enum import StrEnum
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe events that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _NamedLogger(structlog.PrintLogger):
    """Prints lines, and keeps its name where structlog looks for it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__(stream)
        self.name = name


def configure_logging(log_format: LogFormat, level: LogLevel, stream: TextIO) -> None:
    """Set up structlog, and the standard library's logging that gRPC and asyncio use, alike.

    A node logs to stderr: stdout belongs to whoever asked a question.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _bytes_as_hex,
    ]
    last: list[Processor]
    if log_format is LogFormat.JSON:
        traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        last = [
            structlog.processors.ExceptionRenderer(traces),
            structlog.processors.JSONRenderer(),
        ]
    else:
        plain = structlog.dev.plain_traceback
        last = [
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain),
        ]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda name="node": _NamedLogger(stream, name),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)


def _bytes_as_hex(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in event.items()
    }
