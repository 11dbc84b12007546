"""Proxies in front of a server, which tell it by a PROXY header who connects through them."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

from tests.judges.ports import held_port, wait_for_listener
from tests.judges.program import Program

STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
"""Where Debian puts what makes nginx pass on streams."""

_HAPROXY = """
defaults
    mode tcp
    log stdout format raw daemon
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen front
    option log-health-checks
    unique-id-format %[uuid]
    bind fd@{front} {bind}
    server back {back} {server}
"""

_NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 512; }}
"""

_STREAM = """
load_module {module};
stream {{
    server {{
        listen 127.0.0.1:{front};
        proxy_protocol on;
        proxy_half_close on;
        proxy_pass {back};
    }}
}}
"""


_HTTP = """
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{front};
        location / {{
            proxy_pass http://{back};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""


class HAProxy(Program):
    """HAProxy at a port of its own; `server` and `bind` are options of its lines of these names."""

    def __init__(
        self, folder: Path, back: str, server: str, bind: str = "", host: str = "127.0.0.1"
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as front:
            self.port: int = front.getsockname()[1]
            number = front.fileno()
            config = folder / "haproxy.cfg"
            config.write_text(_HAPROXY.format(front=number, bind=bind, back=back, server=server))
            super().__init__("haproxy", "-db", "-f", str(config), pass_fds=[number])


class Nginx(Program):
    """nginx at a port of its own; it passes on streams, with headers of version 1."""

    template = _STREAM + _NGINX

    def __init__(self, folder: Path, back: str) -> None:
        self._held = ExitStack()
        self.port: int = self._held.enter_context(held_port())
        config = folder / "nginx.conf"
        config.write_text(
            self.template.format(module=STREAM_MODULE, folder=folder, front=self.port, back=back)
        )
        super().__init__("nginx", "-e", "stderr", "-p", str(folder), "-c", str(config))
        try:
            wait_for_listener(self.port)
        except AssertionError as error:
            self.kill()
            raise AssertionError(f"nginx does not listen:\n{self.text}") from error

    def kill(self) -> None:
        super().kill()
        self._held.close()


class NginxForHTTP(Nginx):
    """nginx as sites have it: it passes on HTTP and what becomes of that, such as WebSockets."""

    template = _NGINX + _HTTP
