"""What models learn from data: training tasks, their inputs and their curves."""
