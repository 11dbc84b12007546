"""The promises of the design, one file each: what no input, load or failure may break."""
