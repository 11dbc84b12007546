"""The tests of speedo_trio; `x/y.py` there has `x/test_y.py` here."""
