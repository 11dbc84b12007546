"""An ACL file as a hook: what may a client publish and get?

Next: `speedo_trio.mqtt.security.doorman`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from speedo_trio.mqtt.security.acl import parse_acl
from speedo_trio.mqtt.security.user import name_of
from speedo_trio.mqtt.security.users import read_file

if TYPE_CHECKING:
    from speedo_trio.mqtt.hooks import TopicRights
    from speedo_trio.mqtt.requests import ClientInfo


class ACLFile:
    """Allows what a file in mosquitto's syntax allows: for `Hooks.authorise`.

    ::

        Hooks(authenticate=PasswordFile("passwords"), authorise=ACLFile("acl"))

    Without something that authenticates, users have the names that they give themselves.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the file.

        Raises:
            ConfigError: it can't be read, or a line in it is none.
        """
        self._path = os.fspath(path)
        self.reload()

    def reload(self) -> None:
        """Read the file again; `MQTT.refresh_rights` has it hold for those who are there.

        Blocks for as long as that takes.

        Raises:
            ConfigError: as when it was made; then all is as before.
        """
        self._acl = parse_acl(read_file(self._path), self._path)

    def __call__(self, client: ClientInfo) -> TopicRights:
        """What may it do? The hook."""
        return self._acl.rights(client.client_id, name_of(client))
