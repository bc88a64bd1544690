"""The library for scripts and notebooks: every public name of `apt_core`, and the values that its calls return.

`calls` has the functions, `results` what they return. Imports every room; torch is loaded by the first call that
computes.
"""
