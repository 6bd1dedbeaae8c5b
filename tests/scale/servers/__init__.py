"""Real servers for the tests of the scale profile: installed once, started on free ports, stopped by pid.

By hand, from the checkout:

    export PYTHONPATH=tests/scale
    python -m servers install           # about 2 minutes of downloads and 5 of compiling, once
    python -m servers install clients   # Spark, which is none of them
    python -m servers start FOLDER      # prints where each listens, and the settings as `export` lines
    python -m servers stop FOLDER
"""
