"""What pruning did inside one layer, from the stored weights: values without torch, and a file for each thing seen.

values, questions, words   no torch: the page and the command line read them
tiles, change, losers      from the dense and the pruned weights alone
inputs, worked             from a Gram matrix that is computed again on the run's calibration text
look                       all of it for one layer
"""
