"""The dataset of `gradbook demo`: real passages, questions of every type, and simulated people who answer them."""
