"""Certificates on disk, and who has signed them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import trustme


class Authority:
    """A certificate authority of our own, and the files of what it signs."""

    def __init__(self, folder: Path, name: str = "ours") -> None:
        self._folder = folder
        self._name = name
        self._root = trustme.CA(organization_name=f"The authority of {name}")
        self.file = str(folder / f"{name}.pem")
        """The root's certificate: who trusts it trusts what is signed here."""
        self._root.cert_pem.write_to_path(self.file)

    def server(self, name: str = "server", key: trustme.KeyType = trustme.KeyType.ECDSA) -> str:
        """A file with a certificate for localhost, the intermediate's that signed it, its key."""
        signer = self._root.create_child_ca()
        cert = signer.issue_cert(
            "localhost", "127.0.0.1", common_name=name, organization_name=name, key_type=key
        )
        return self._write(name, cert)

    def client(self, common_name: str, not_after: datetime | None = None) -> str:
        """A file with a client's certificate and its key."""
        cert = self._root.issue_cert(
            f"{common_name}@example.org", common_name=common_name, not_after=not_after
        )
        return self._write(common_name, cert)

    def expired(self) -> str:
        """A client's certificate whose time is over."""
        return self.client("yesterday", datetime(2001, 1, 1, tzinfo=UTC))

    def _write(self, name: str, cert: trustme.LeafCert) -> str:
        path = self._folder / f"{self._name}-{name}.pem"
        cert.private_key_and_cert_chain_pem.write_to_path(str(path))
        return str(path)
