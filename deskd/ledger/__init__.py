"""The ledger: one SQLite file, one writer. Facts are the truth; every other table is a projection of them."""
