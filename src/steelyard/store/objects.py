"""The object store: whole objects by name, at whatever speaks S3, or in a folder that is shared."""

from __future__ import annotations

from datetime import timedelta

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from steelyard.clerk.shipping import ObjectsError

ANSWER_S = 30
"""How long one request may take."""

RETRIES_MAX = 3
RETRY_S_MAX = 20


class Objects:
    """Objects below a URL: ``s3://bucket/prefix``, or ``file:///folder``.

    Where and as whom is in the environment, under the names that AWS gave them: AWS_ENDPOINT_URL,
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION. Nothing is asked of the store but whole
    objects, put and got: no condition, no listing, no renaming.
    """

    def __init__(self, url: str) -> None:
        """Open it, without asking whether it is there. Raises: ObjectsError for a bad URL."""
        try:
            if url.startswith("file:"):
                self._store = from_url(url, mkdir=True)
            else:
                self._store = from_url(
                    url,
                    client_options={"allow_http": True, "timeout": f"{ANSWER_S}s"},
                    retry_config={
                        "max_retries": RETRIES_MAX,
                        "retry_timeout": timedelta(seconds=RETRY_S_MAX),
                    },
                )
        except (BaseError, ValueError) as exc:
            msg = f"{url} names no object store: {_first_line(exc)}"
            raise ObjectsError(msg) from exc

    def put(self, name: str, data: bytes) -> None:
        """Put an object. Raises: ObjectsError."""
        try:
            obstore.put(self._store, name, data)
        except (BaseError, OSError) as exc:
            msg = f"{name} can't be put: {_first_line(exc)}"
            raise ObjectsError(msg) from exc

    def get(self, name: str) -> bytes:
        """An object's content. Raises: ObjectsError."""
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except (BaseError, OSError) as exc:
            msg = f"{name} can't be got: {_first_line(exc)}"
            raise ObjectsError(msg) from exc


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0]
