"""Who may open the page of the host's owner."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from itsdangerous import BadData
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from apt_core.base.errors import BadInput
from apt_core.base.policy import HostPolicy
from apt_core.base.values import Frozen
from apt_core.ui.acting import account_in
from apt_core.ui.door.keys import SigningKeys

COOKIE = "apt_admin"
SECONDS = 8 * 3600  # after the token was given
_SALT = "admin"
_SHORTEST = 16
_TRIES, _TRIES_OF_ALL = 5, 30  # a minute


class Access(Frozen):
    """token: that opens the page. accounts: of Hugging Face that may. home: the host is somebody's own machine, where
    whoever is there may."""

    token: str = ""
    accounts: frozenset[str] = frozenset()
    home: bool = False

    @property
    def possible(self) -> bool:
        """Whether anybody may; the page is not there otherwise."""
        return self.home or bool(self.token or self.accounts)

    @classmethod
    def of(cls, policy: HostPolicy, environment: Mapping[str, str]) -> Access:
        """APT_ADMIN_TOKEN, and where visitors sign in APT_ADMINS, names separated by commas. Raises BadInput."""
        token = environment.get("APT_ADMIN_TOKEN", "").strip()
        if token and len(token) < _SHORTEST:
            raise BadInput(
                f"APT_ADMIN_TOKEN has {len(token)} characters; take {_SHORTEST} random ones or more."
            )
        names = environment.get("APT_ADMINS", "") if policy.signs_in else ""
        accounts = frozenset(name.strip() for name in names.split(",") if name.strip())
        return cls(token=token, accounts=accounts, home=not policy.public)


class Guard:
    """Lets people in. Tries are limited, and the comparison takes the same time whatever is given."""

    def __init__(self, access: Access, keys: SigningKeys):
        self.access, self._keys = access, keys
        self._tries = FixedWindowRateLimiter(MemoryStorage())

    def lets_in(self, scope: Mapping[str, Any], cookie: str | None) -> bool:
        """By where they are, by the account that signed in, or by the cookie that the token brought."""
        if self.access.home or (self.access.accounts and account_in(scope) in self.access.accounts):
            return True
        return bool(self.access.token) and self._is_ours(cookie)

    def cookie_for(self, token: str) -> str:
        """What the browser keeps; empty for a wrong token."""
        given, right = (hashlib.sha256(text.encode()).digest() for text in (token, self.access.token))
        if not hmac.compare_digest(given, right) or not self.access.token:
            return ""
        return self._keys.serializer(_SALT).dumps(self._fingerprint())

    def may_try(self, address: str) -> bool:
        """Whether one more token may be tried from here; it is counted. What is refused here counts for nobody else."""
        return self._tries.hit(RateLimitItemPerMinute(_TRIES), "here", address) and self._tries.hit(
            RateLimitItemPerMinute(_TRIES_OF_ALL), "all"
        )

    def _is_ours(self, cookie: str | None) -> bool:
        try:
            found = self._keys.serializer(_SALT).loads(cookie or "", max_age=SECONDS)
        except BadData:
            return False
        return isinstance(found, str) and hmac.compare_digest(found, self._fingerprint())

    def _fingerprint(self) -> str:
        """Of the token: another one ends every session."""
        return hashlib.sha256(b"session of " + self.access.token.encode()).hexdigest()
