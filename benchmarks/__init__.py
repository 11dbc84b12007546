"""Measurements of speedo_trio beside its peers; `README.md` says how to run and read them."""
