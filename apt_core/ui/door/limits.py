"""How much one request, and all connections together, may take of this process."""

from __future__ import annotations

from apt_core.base.values import Frozen


class DoorLimits(Frozen):
    """Bytes and seconds. A reverse proxy may be stricter; without one these are all there is."""

    body_bytes: int = 1_000_000  # of a request, but an upload
    body_seconds: float = 30.0  # from its headers to its last byte
    upload_bytes: int = 11_000_000  # a text of 10 MB with its envelope
    upload_seconds: float = 120.0
    uploads_at_once: int = 4  # bodies above `body_bytes` that arrive together
    header_bytes: int = 32_768  # request line and headers
    header_seconds: float = 10.0  # from the connection, or from the answer before, to the last header
    connections: int = 1_000  # open at the same time; what comes above is closed at once
    connections_each: int | None = 500  # of these from one address; None behind a proxy, from which all come
    requests_each: int = 500  # of one visitor's address that are under way, streams included
    documents_each: int = 2  # of these reports, comparisons and tables
