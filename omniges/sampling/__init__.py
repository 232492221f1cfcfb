"""From a trained model to motion: the flow, its solvers, windows over long audio, and the generate stage."""
