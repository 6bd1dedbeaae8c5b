"""What a script does that publishes a Parquet file with pandas; run by publish.py with packages of its own.

    .venv/bench/bin/python bench/by_hand.py

Reads lines `FILE TABLE` from standard input, the address of Postgres from BENCH_ADDRESS, and prints
the seconds that each took.
"""

from __future__ import annotations

import os
import sys
import time

import pandas as pd
from sqlalchemy import create_engine

engine = create_engine(os.environ["BENCH_ADDRESS"])
for line in sys.stdin:
    file, table = line.split()
    began = time.perf_counter()
    pd.read_parquet(file).to_sql(table, engine, schema="marts", if_exists="replace", index=False)
    print(time.perf_counter() - began, flush=True)
