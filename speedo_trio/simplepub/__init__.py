"""SimplePub: publish and subscribe in four kinds of frames; `docs/simplepub.md` specifies it."""
