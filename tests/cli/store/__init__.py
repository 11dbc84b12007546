"""Tests of ``trio-speedo mqtt``."""
