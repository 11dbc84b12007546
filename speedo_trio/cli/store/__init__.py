"""The command `trio-speedo mqtt`: what is in a store."""
