"""The brokerage dashboard on other engines, one a file: each does the whole work and writes the same figures."""
