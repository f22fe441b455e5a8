"""`make bench`: how fast it is and what it costs, as ratios measured in one run.

A machine that has other work gives other milliseconds every time. So what is compared is measured in turns, pair by
pair, and the medians of the pairs' ratios are printed; a plain time is one of this machine. Calls are counted where
they arrive.
"""
