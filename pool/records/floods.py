"""What one end of a link may send only so much of; more ends the link."""

from __future__ import annotations

from enum import StrEnum


class Flood(StrEnum):
    """Why a link ended: the other end has sent more than anybody can mean."""

    MESSAGES = "too-many-messages"
    REQUESTS = "too-many-requests"
    """Requests for blobs."""
    CHUNKS = "unasked-chunks"
    """Pieces of blobs that nobody waits for."""
    DUPLICATES = "too-many-duplicates"
    """Results that are here already."""
