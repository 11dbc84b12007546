"""Bytes and sockets; knows no protocol."""
