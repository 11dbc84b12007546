"""Sans-I/O contracts: bytes in, messages out."""
