"""The stages of the pipeline, a module each: `run` reads folders of earlier stages and writes its own."""
