"""The brokerage dashboard on other engines, one a file: each does all the work, with the same figures."""
