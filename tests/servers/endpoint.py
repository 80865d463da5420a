"""Where something that speaks PostgreSQL's protocol is reached: a server, a pooler, a proxy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode


@dataclass(frozen=True)
class Endpoint:
    """``host`` is the folder of a Unix socket or an address, as it is for libpq."""

    host: str
    port: int
    user: str = "postgres"
    password: str = ""

    @property
    def unix(self) -> bool:
        return self.host.startswith("/")

    @property
    def path(self) -> str:
        """The Unix socket itself: libpq makes the name from the port."""
        assert self.unix
        return f"{self.host}/.s.PGSQL.{self.port}"

    def at(self, host: str, port: int) -> Endpoint:
        """The same users, reached elsewhere."""
        return replace(self, host=host, port=port)

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """For libpq, with more parameters if wanted (``application_name="x"``)."""
        login = quote(self.user, safe="")
        if self.password:
            login += ":" + quote(self.password, safe="")
        where = "" if self.unix else f"{self.host}:{self.port}"
        if self.unix:
            parameters = {"host": self.host, "port": str(self.port), **parameters}
        query = "?" + urlencode(parameters, safe="/") if parameters else ""
        return f"postgresql://{login}@{where}/{quote(database, safe='')}{query}"
