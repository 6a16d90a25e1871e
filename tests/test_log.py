import io
import json
import logging

import pytest
import structlog

from node.log import LogFormat, LogLevel, configure_logging


def _lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_is_one_object_a_line_with_bytes_in_hexadecimal() -> None:
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.INFO, stream)
    structlog.get_logger("chain").info("block_applied", height=7, id=b"\x01\xff")
    (line,) = _lines(stream)
    assert line.pop("timestamp")
    assert line == {
        "logger": "chain",
        "event": "block_applied",
        "level": "info",
        "height": 7,
        "id": "01ff",
    }


def test_text_names_event_and_fields_without_colours_off_a_terminal() -> None:
    stream = io.StringIO()
    configure_logging(LogFormat.TEXT, LogLevel.INFO, stream)
    structlog.get_logger().info("block_applied", height=7)
    assert "block_applied" in stream.getvalue()
    assert "height=7" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_events_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.WARNING, stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    logging.getLogger("asyncio").info("quiet")
    assert [line["event"] for line in _lines(stream)] == ["loud"]


def test_the_standard_librarys_log_comes_out_alike() -> None:
    stream = io.StringIO()
    configure_logging(LogFormat.JSON, LogLevel.INFO, stream)
    logging.getLogger("asyncio").error("Task was destroyed but it is %s", "pending")
    (line,) = _lines(stream)
    assert line["event"] == "Task was destroyed but it is pending"
    assert (line["logger"], line["level"]) == ("asyncio", "error")


def _logged_failure(log_format: LogFormat) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(log_format, LogLevel.INFO, stream)
    seed = "open" + "sesame"
    try:
        raise ValueError("torn") if seed else AssertionError
    except ValueError:
        structlog.get_logger().exception("task_failed", task="gossip")
    return stream


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_traceback_shows_no_values_of_variables(log_format: LogFormat) -> None:
    text = _logged_failure(log_format).getvalue()
    assert "_logged_failure" in text
    assert "opensesame" not in text


def test_a_failure_is_one_json_line_with_its_traceback() -> None:
    (line,) = _lines(_logged_failure(LogFormat.JSON))
    assert line["task"] == "gossip"
    assert "torn" in json.dumps(line["exception"])
