"""The training tasks of `gradbook demo`: real runs, recorded by examples/record_demo.py, as scripts report them."""
