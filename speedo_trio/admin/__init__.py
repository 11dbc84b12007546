"""The admin endpoint: what a server is doing, over HTTP and for Prometheus.

Start reading at `speedo_trio.admin.endpoint`.
"""

from speedo_trio.admin.collector import ServerCollector as ServerCollector
from speedo_trio.admin.endpoint import ADMIN_CONFIG as ADMIN_CONFIG
from speedo_trio.admin.endpoint import Admin as Admin

__all__ = ["ADMIN_CONFIG", "Admin", "ServerCollector"]
