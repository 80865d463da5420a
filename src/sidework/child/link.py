"""The child's end of the pipe. Sending blocks, which is safe: the worker always reads."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

from ..wire import ToChild, ToWorker, Unframer, decode_to_child, frame

_CHUNK = 64 * 1024  # from the heap: for more, each read would map memory and unmap it again


class Link:
    """Sends from any thread; received by one."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()

    def send(self, *messages: ToWorker) -> None:
        """Send the messages in one piece. A worker that is gone is no error: nobody listens."""
        data = b"".join(frame(message) for message in messages)
        with self._lock:
            try:
                self._socket.sendall(data)
            except OSError:
                return  # the receiving side sees the end of the stream and ends this child

    def receive(self) -> Iterator[ToChild]:
        """Messages until the worker closes its end or is gone."""
        unframer = Unframer()
        while True:
            try:
                data = self._socket.recv(_CHUNK)
            except OSError:
                return
            if not data:
                return
            for body in unframer.feed(data):
                yield decode_to_child(body)

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
