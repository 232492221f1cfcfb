"""What is true about generated motion: distances, errors against ground truth, listening, and a report of it
all.
"""
